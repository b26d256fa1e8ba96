//! The chat room on this machine: `cargo run --release -p chat -- --listen 127.0.0.1:8787 --limit 2`.

use std::process::ExitCode;

use chat::app::Chat;
use clap::Parser;
use dog::Env;
use dog_native::Server;
use serving::Options;

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
    #[command(flatten)]
    options: Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { listen, limit, options } = Arguments::parse();
    let server = serving::limit(limit).map(|limit| Server::new(Chat).env(Env::new().with(limit)).bind(listen));
    serving::run("chat", options, server).await
}
