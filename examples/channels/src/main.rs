//! The server of channels as a native program.

use std::path::PathBuf;
use std::process::ExitCode;

use channels::{ChannelsApp, Rules, Settings};
use clap::Parser;
use dog::Env;
use dog_native::{Server, cli::ServerArgs};
use dog_nats::cli::ClusterArgs;

/// Channels for the Centrifuge clients
#[derive(Parser)]
struct Arguments {
    /// The configuration, as JSON. Without it, nobody may connect
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { config, server, cluster } = Arguments::parse();
    let settings = match config.as_deref().map_or(Ok("{}".to_owned()), std::fs::read_to_string) {
        Ok(json) => Settings::read(&json).map_err(|error| error.to_string()),
        Err(error) => Err(format!("the configuration cannot be read: {error}")),
    };
    let rules = match settings {
        Ok(settings) => {
            settings.unknown().iter().for_each(|field| eprintln!("not known, and ignored: {field}"));
            Rules::new(settings)
        }
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let channels = Server::new(ChannelsApp::new(rules.clone())).env(Env::new().with(rules));
    server.run(cluster.apply(channels)).await
}
