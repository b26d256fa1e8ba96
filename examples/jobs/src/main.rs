//! The jobs example as a native program.

use std::process::ExitCode;

use clap::Parser;
use dog::{Env, Limit};
use dog_native::{Server, cli::ServerArgs};
use dog_nats::cli::ClusterArgs;
use jobs::{DEFAULT_LIMIT, Jobs};

/// Pools of jobs that run at their time, are tried again, and show their progress
#[derive(Parser)]
struct Arguments {
    /// Seats of one Replica
    #[arg(long, value_name = "SEATS", default_value_t = DEFAULT_LIMIT)]
    limit: Limit,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { limit, server, cluster } = Arguments::parse();
    // Every object finds the limit in its `Env`.
    let jobs = Server::new(Jobs).env(Env::new().with(limit));
    server.run(cluster.apply(jobs)).await
}
