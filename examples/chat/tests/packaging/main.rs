//! What the folder `packaging` has, beside the real programs: `cargo xtask test packaging` installs them.
//!
//! - `watching`: the dashboard and the alert rules, in a real Prometheus that scrapes real nodes.
//! - `balancing`: three nodes behind a real Caddy with the Caddyfile of the Compose file. `draining`: nodes leave
//!   and come back while people talk. `fleet` starts all of it, `voices` are the people.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod balancing;
mod draining;
mod fleet;
mod voices;
mod watching;

use std::path::PathBuf;
use std::time::Duration;

use dog_test_support::client::within;

/// A file of the folder `packaging`.
fn packaged(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging")).join(path)
}

/// The program that this variable names, or the one of this name on the `PATH`.
fn program(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| name.into(), PathBuf::from)
}

/// How often something is asked that sends no events.
const POLL: Duration = Duration::from_millis(50);

/// Asks until the answer is yes.
async fn until<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    within(what, async {
        while !ask().await {
            tokio::time::sleep(POLL).await;
        }
    })
    .await;
}

/// Waits until a program accepts connections.
async fn listens(address: std::net::SocketAddr) {
    until("a program that listens", || async move { tokio::net::TcpStream::connect(address).await.is_ok() }).await;
}
