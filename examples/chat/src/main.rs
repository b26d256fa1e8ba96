//! The chat room as a native program.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use chat::app::{Chat, DEFAULT_LIMIT, rate};
use chat::backend::Secret;
use chat::door::Door;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, CommandFactory, FromArgMatches, Parser};
use dog::{Env, Limit};
use dog_door::Sessions;
use dog_native::{Server, cli::ServerArgs};
use dog_nats::cli::ClusterArgs;

/// A chat room that spreads over several Replicas
#[derive(Parser)]
#[command(group = ArgGroup::new("door").args(["open", "session_secret"]))]
struct Arguments {
    /// Seats of one Replica
    #[arg(long, value_name = "SEATS", default_value_t = DEFAULT_LIMIT)]
    limit: Limit,
    /// Lets everybody enter under the name in the address, ?u=NAME, for demos and tests [default: users log in]
    #[arg(long)]
    open: bool,
    /// File with the secret that signs sessions, 32 bytes at least, the same on all nodes [default: a new one at each start]
    #[arg(long, value_name = "FILE")]
    session_secret: Option<PathBuf>,
    /// How long a session lasts without being renewed, which pages do that are open; not less than 60 [default: 604800, a week]
    #[arg(long, value_name = "SECONDS", conflicts_with = "open", value_parser = clap::value_parser!(u32).range(60..))]
    session_lasts: Option<u32>,
    /// Cookies are for HTTPS only; for a server behind a proxy with TLS [default: with --tls-cert]
    #[arg(long, conflicts_with = "open")]
    https: bool,
    /// Messages of one socket per second, five times as many after a pause; what is over it waits [default: 20, and with --open any number]
    #[arg(long, value_name = "N")]
    messages_per_second: Option<NonZeroU32>,
    /// Lets programs that know TEXT announce, list users and remove them [default: nobody can]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    secret: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Arguments {
    fn read() -> Result<Self, clap::Error> {
        // Nodes with a secret of their own would not know each other's sessions.
        let command = Self::command().mut_arg("cluster", |cluster| cluster.requires("door"));
        Self::from_arg_matches(&command.get_matches())
    }

    fn door(&self) -> Result<Door, String> {
        if self.open {
            return Ok(Door::Open);
        }
        let secret = self.session_secret.as_deref().map_or_else(any_secret, secret_in)?;
        let mut sessions = Sessions::new(&secret).map_err(|error| error.to_string())?;
        if let Some(seconds) = self.session_lasts {
            sessions = sessions.lifetime(Duration::from_secs(seconds.into()));
        }
        Ok(Door::login(if self.https || self.server.has_tls() { sessions } else { sessions.insecure() }))
    }
}

/// The end of the last line is not part of it.
fn secret_in(file: &Path) -> Result<Vec<u8>, String> {
    let secret = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(secret.trim_ascii_end().to_vec())
}

fn any_secret() -> Result<Vec<u8>, String> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(secret)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::read().unwrap_or_else(|error| error.exit());
    let door = match arguments.door() {
        Ok(door) => door,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let Arguments { limit, open, messages_per_second, secret, server, cluster, .. } = arguments;
    // Every object finds the limit in its `Env`, and the App the rest.
    let env = Env::new().with(limit).with(door);
    let env = match secret.and_then(Secret::new) {
        Some(secret) => env.with(secret),
        None => env,
    };
    let env = match messages_per_second {
        Some(messages) => env.with(rate(messages.get())),
        None => env,
    };
    let server = if open { server.warn(Door::OPEN) } else { server };
    let chat = Server::new(Chat).env(env);
    server.run(cluster.apply(chat)).await
}
