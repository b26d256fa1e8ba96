//! The axum application as a native program.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use dog_native::Server;
use dog_native::cli::{LogArgs, shutdown_signal};
use mounted_in_axum::{Rooms, router};
use tokio::net::TcpListener;

/// Rooms mounted in an axum application
#[derive(Parser)]
struct Arguments {
    /// Address to listen on, as host:port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    listen: String,
    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { listen, log } = Arguments::parse();
    log.init();
    match serve(&listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn serve(listen: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("--listen {listen}: {error}"))?;
    let server = Server::new(Rooms);
    let handle = server.handle();
    let rooms = server.service()?;
    let application = router(rooms.clone(), handle).into_make_service_with_connect_info::<SocketAddr>();
    let shutdown = shutdown_signal();
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, application).with_graceful_shutdown(shutdown).await?;
    // axum has answered its requests. Now close the WebSockets, and wait for writes to the storage.
    rooms.shutdown().await;
    Ok(())
}
