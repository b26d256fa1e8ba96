//! The chat room on this machine: `cargo run --release -p chat -- --listen 127.0.0.1:8787 --limit 2`.

use std::error::Error;
use std::process::ExitCode;

use chat::app::Chat;
use clap::Parser;
use dog::{Env, Limit};
use dog_native::Server;
use tracing_subscriber::filter::LevelFilter;

/// A chat room that spreads over several Replicas
#[derive(Parser)]
#[command(name = "chat")]
struct Arguments {
    /// Where to listen: host and port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    listen: String,
    /// Seats on one Replica
    #[arg(long, value_name = "SEATS", default_value = "2")]
    limit: u32,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "THREADS")]
    workers: Option<usize>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_writer(std::io::stderr).init();
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::from(2)
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let limit = Limit::try_from(arguments.limit).map_err(|error| format!("--limit {}: {error}", arguments.limit))?;
    let mut server = Server::new(Chat).env(Env::new().with(limit)).bind(arguments.listen);
    if let Some(workers) = arguments.workers {
        server = server.workers(workers);
    }
    let running = server.start().await?;
    let address = running.local_addr();
    // Before the line is printed: whoever reads it may send a signal at once.
    let ended = running.until_signal();
    println!("listening on http://{address}");
    ended.await;
    Ok(())
}
