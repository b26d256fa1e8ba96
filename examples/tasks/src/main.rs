//! Named pools that are told when a task is done: `cargo run --release -p tasks -- --listen 127.0.0.1:8789`.

use std::process::ExitCode;

use clap::Parser;
use dog::Env;
use dog_native::Server;
use serving::Options;
use tasks::Tasks;

/// Named pools that are told when a task is done
#[derive(Parser)]
#[command(name = "tasks")]
struct Arguments {
    /// Where to listen: host and port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8789")]
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
    let server = serving::limit(limit).map(|limit| Server::new(Tasks).env(Env::new().with(limit)).bind(listen));
    serving::run("tasks", options, server).await
}
