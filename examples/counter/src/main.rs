//! A counting game with a leaderboard: `cargo run --release -p counter -- --listen 127.0.0.1:8788`.

use std::process::ExitCode;

use clap::Parser;
use counter::Games;
use dog::Env;
use dog_native::Server;
use serving::Options;

/// A counting game with a leaderboard
#[derive(Parser)]
#[command(name = "counter")]
struct Arguments {
    /// Where to listen: host and port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    listen: String,
    /// Seats on one Replica
    #[arg(long, value_name = "SEATS", default_value = "50")]
    limit: u32,
    #[command(flatten)]
    options: Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { listen, limit, options } = Arguments::parse();
    let server = serving::limit(limit).map(|limit| Server::new(Games).env(Env::new().with(limit)).bind(listen));
    serving::run("counter", options, server).await
}
