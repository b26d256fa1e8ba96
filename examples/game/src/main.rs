//! The game as a native program.

use std::process::ExitCode;

use clap::Parser;
use dog::{Env, Limit};
use dog_native::{Server, cli::ServerArgs};
use dog_nats::cli::ClusterArgs;
use game::app::{Arcade, DEFAULT_LIMIT};

/// A game for two to four in each match
#[derive(Parser)]
struct Arguments {
    /// The most players of one match
    #[arg(long, value_name = "PLAYERS", default_value_t = DEFAULT_LIMIT)]
    limit: Limit,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { limit, server, cluster } = Arguments::parse();
    let game = Server::new(Arcade).env(Env::new().with(limit));
    server.run(cluster.apply(game)).await
}
