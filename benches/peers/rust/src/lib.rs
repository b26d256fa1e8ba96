//! What the peers share: [`serve`] listens and reports the address.

use anyhow::Result;
use axum::Router;
use tokio::net::TcpSocket;

/// Serves on a free port of the loopback address, on one thread, until the process is killed.
///
/// # Errors
/// When the operating system refuses something.
pub async fn serve(router: Router) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    // The queue of connections is as long as in our own server.
    let listener = socket.listen(4096)?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Otherwise a message may wait until the one before it is acknowledged.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}
