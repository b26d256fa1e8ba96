//! A proxy that speaks TLS for clients that do not.

use std::net::SocketAddr;
use std::sync::Arc;

use dog_test_support::tls::connect;
use rustls::ClientConfig;
use tokio::net::TcpListener;

/// Starts a proxy for a server with TLS, and returns its address.
pub(crate) async fn before(server: SocketAddr, config: Arc<ClientConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                client.set_nodelay(true)?;
                let mut server = connect(&config, server).await?;
                // If one side breaks off, both streams are dropped, so the other side breaks off too.
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}
