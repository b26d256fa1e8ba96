//! The relay on this machine: `cargo run --release -p relay -- --listen 127.0.0.1:9000`.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use dog::{Env, Limit};
use dog_native::Server;
use relay::Relay;
use tracing_subscriber::filter::LevelFilter;

/// Sends every message on to everyone in the room
#[derive(Parser)]
#[command(name = "relay")]
struct Arguments {
    /// Where to listen: host and port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: String,
    /// Seats on one Replica
    #[arg(long, value_name = "SEATS", default_value = "10000")]
    limit: u32,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "THREADS")]
    workers: Option<usize>,
    /// The largest message taken [default: the host's]
    #[arg(long, value_name = "BYTES")]
    max_message: Option<usize>,
    /// The most that may wait for one socket [default: the host's]
    #[arg(long, value_name = "BYTES")]
    max_outbox: Option<usize>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_writer(std::io::stderr).init();
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::from(2)
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let limit = Limit::try_from(arguments.limit).map_err(|error| format!("--limit {}: {error}", arguments.limit))?;
    // A load generator opens all of its sockets from one address.
    let mut server =
        Server::new(Relay).env(Env::new().with(limit)).bind(arguments.listen).max_sockets_per_address(1_000_000);
    if let Some(workers) = arguments.workers {
        server = server.workers(workers);
    }
    if let Some(bytes) = arguments.max_message {
        server = server.max_message(bytes);
    }
    if let Some(bytes) = arguments.max_outbox {
        server = server.max_outbox(bytes);
    }
    let running = server.start().await?;
    let address = running.local_addr();
    // Before the line is printed: whoever reads it may send a signal at once.
    let ended = running.until_signal();
    println!("listening on http://{address}");
    ended.await;
    Ok(())
}
