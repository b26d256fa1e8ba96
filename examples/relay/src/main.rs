//! The relay as a native program.

use std::process::ExitCode;

use clap::Parser;
use dog::{Env, Limit};
use dog_native::{Server, cli::ServerArgs};
use dog_nats::cli::ClusterArgs;
use relay::{DEFAULT_LIMIT, Relay};

/// Sends every message to everyone in the room
#[derive(Parser)]
struct Arguments {
    /// Seats of one Replica
    #[arg(long, value_name = "SEATS", default_value_t = DEFAULT_LIMIT)]
    limit: Limit,
    /// Largest message accepted from a client [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    max_message: Option<usize>,
    /// Most bytes that may wait for one socket [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    max_outbox: Option<usize>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { limit, max_message, max_outbox, server, cluster } = Arguments::parse();
    // A load generator opens all of its sockets from one address.
    let mut relay = Server::new(Relay).env(Env::new().with(limit)).max_sockets_per_address(1_000_000);
    if let Some(bytes) = max_message {
        relay = relay.max_message(bytes);
    }
    if let Some(bytes) = max_outbox {
        relay = relay.max_outbox(bytes);
    }
    server.run(cluster.apply(relay)).await
}
