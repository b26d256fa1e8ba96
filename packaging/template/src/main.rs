//! The program. `--help` lists its flags: addresses, data, TLS, metrics, cluster.

use std::process::ExitCode;

use clap::Parser;
use dog_native::{Server, cli::ServerArgs};
use dog_nats::cli::ClusterArgs;
use {{crate_name}}::Rooms;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { server, cluster } = Arguments::parse();
    server.run(cluster.apply(Server::new(Rooms))).await
}
