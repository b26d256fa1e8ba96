//! The axum application on this machine: `cargo run --release -p mounted-in-axum -- --listen 127.0.0.1:8790`.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use dog_native::Server;
use mounted_in_axum::{Rooms, router};
use serving::Log;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Rooms mounted in an axum application
#[derive(Parser)]
#[command(name = "mounted-in-axum")]
struct Arguments {
    /// Where to listen: host and port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8790")]
    listen: String,
    #[command(flatten)]
    log: Log,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.log.start();
    match serve(&arguments.listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mounted-in-axum: {error}");
            ExitCode::from(2)
        }
    }
}

async fn serve(listen: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("--listen {listen}: {error}"))?;
    let rooms = Server::new(Rooms).service()?;
    let application = router(rooms.clone());
    let terminate = signal(SignalKind::terminate())?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, application).with_graceful_shutdown(stopped(terminate)).await?;
    // Requests have been answered; now sockets are told to come back, and writes end.
    rooms.shutdown().await;
    Ok(())
}

/// Ctrl-C, or what a service manager sends.
async fn stopped(mut terminate: Signal) {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
