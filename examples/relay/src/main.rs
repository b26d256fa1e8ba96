//! The relay on this machine: `cargo run --release -p relay -- --listen 127.0.0.1:9000`.

use std::process::ExitCode;

use clap::Parser;
use dog::Env;
use dog_native::Server;
use relay::Relay;
use serving::Options;

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
    /// The largest message taken [default: the host's]
    #[arg(long, value_name = "BYTES")]
    max_message: Option<usize>,
    /// The most that may wait for one socket [default: the host's]
    #[arg(long, value_name = "BYTES")]
    max_outbox: Option<usize>,
    #[command(flatten)]
    options: Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let server = server(&arguments);
    serving::run("relay", arguments.options, server).await
}

fn server(arguments: &Arguments) -> Result<Server<Relay>, String> {
    let env = Env::new().with(serving::limit(arguments.limit)?);
    // A load generator opens all of its sockets from one address.
    let mut server = Server::new(Relay).env(env).bind(&arguments.listen).max_sockets_per_address(1_000_000);
    if let Some(bytes) = arguments.max_message {
        server = server.max_message(bytes);
    }
    if let Some(bytes) = arguments.max_outbox {
        server = server.max_outbox(bytes);
    }
    Ok(server)
}
