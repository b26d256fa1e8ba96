//! What the peers share: where they listen, and how they say so.

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
    // As long a queue as our own server asks for: a crowd connects fast.
    let listener = socket.listen(4096)?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Without it a message may wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}
