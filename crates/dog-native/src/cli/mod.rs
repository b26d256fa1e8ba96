//! What a program needs around a [`Server`]: flags, a log and a graceful shutdown. This module needs the
//! feature `cli`, which is off by default.
//!
//! The shortest program has no flags of its own. [`run`] reads [`ServerArgs`] from the command line:
//!
//! ```no_run
//! # struct Chat;
//! # impl dog::App for Chat {
//! #     type Groups = ();
//! #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> {
//! #         Ok(dog::text_response(dog::http::StatusCode::OK, ""))
//! #     }
//! # }
//! use std::process::ExitCode;
//!
//! use dog_native::{Server, cli};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> ExitCode {
//!     cli::run(Server::new(Chat)).await
//! }
//! ```
//!
//! A program with flags of its own flattens [`ServerArgs`] into them:
//!
//! ```no_run
//! # struct Chat;
//! # impl dog::App for Chat {
//! #     type Groups = ();
//! #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> {
//! #         Ok(dog::text_response(dog::http::StatusCode::OK, ""))
//! #     }
//! # }
//! use std::process::ExitCode;
//!
//! use clap::Parser;
//! use dog::{Env, Limit};
//! use dog_native::{Server, cli};
//!
//! #[derive(Parser)]
//! struct Arguments {
//!     /// Seats of one Replica
//!     #[arg(long, value_name = "SEATS", default_value = "50")]
//!     limit: Limit,
//!     #[command(flatten)]
//!     server: cli::ServerArgs,
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> ExitCode {
//!     let Arguments { limit, server } = Arguments::parse();
//!     server.run(Server::new(Chat).env(Env::new().with(limit))).await
//! }
//! ```
//!
//! Both programs behave alike:
//!
//! - The first line on stdout is `listening on http://HOST:PORT`, or `https://` with `--tls-cert` and `--tls-key`. With `--admin` there is a second line,
//!   `admin on http://HOST:PORT`.
//! - The log goes to stderr, from level `warn` up unless `--log` says otherwise. Errors of handlers are part of it.
//! - SIGINT or SIGTERM starts a graceful shutdown, see [`Running::until_signal`](crate::Running::until_signal). A second
//!   signal ends the program at once. The exit code is 0 in both cases.
//! - If the server cannot start, one line on stderr says why, and the exit code is 2.
//!
//! A program with a server of its own, for example axum's, takes [`LogArgs`] and [`shutdown_signal`] alone.

mod log;
mod server;

use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches};
use dog::App;

use crate::running::Signals;
use crate::server::Server;

pub use log::LogArgs;
pub use server::ServerArgs;

/// Reads [`ServerArgs`] from the command line, then runs `server` with them until a signal ends it. See
/// [`ServerArgs::run`].
///
/// If the command line is wrong, or asks for `--help`, this function prints a message and exits the process.
pub async fn run<A: App + Send + Sync>(server: Server<A>) -> ExitCode {
    // `--help` and messages name the file of the program.
    let matches = ServerArgs::augment_args(Command::new("server")).get_matches();
    match ServerArgs::from_arg_matches(&matches) {
        Ok(arguments) => arguments.run(server).await,
        Err(error) => error.exit(),
    }
}

/// Completes at the first SIGINT or SIGTERM after this call.
///
/// The call itself takes over both signals, so call it before the program reports that it is ready. From then on these
/// signals do not end the process. Cancel safe.
///
/// # Panics
/// Outside of a Tokio runtime with I/O enabled.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send {
    let mut signals = Signals::listen();
    async move { signals.any().await }
}
