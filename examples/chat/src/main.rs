//! The chat room as a native program.

use std::process::ExitCode;

use chat::app::{Chat, DEFAULT_LIMIT};
use chat::backend::Secret;
use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use dog::{Env, Limit};
use dog_native::{Server, cli::ServerArgs};
use dog_nats::cli::ClusterArgs;

/// A chat room that spreads over several Replicas
#[derive(Parser)]
struct Arguments {
    /// Seats of one Replica
    #[arg(long, value_name = "SEATS", default_value_t = DEFAULT_LIMIT)]
    limit: Limit,
    /// Lets programs that know TEXT announce, list users and remove them [default: nobody can]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    secret: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { limit, secret, server, cluster } = Arguments::parse();
    // Every object finds the limit in its `Env`, and the App the secret.
    let env = Env::new().with(limit);
    let env = match secret.and_then(Secret::new) {
        Some(secret) => env.with(secret),
        None => env,
    };
    let chat = Server::new(Chat).env(env);
    server.run(cluster.apply(chat)).await
}
