//! What the folder `packaging` has, beside the real programs: `cargo xtask test packaging` installs them.
//!
//! - `watching`: the dashboard and the alert rules, in a real Prometheus that scrapes real nodes.
//! - `balancing`: three nodes behind a real Caddy with the Caddyfile of the Compose file. `draining`: nodes leave
//!   and come back while people talk. `fleet` starts all of it, `voices` are the people,
//!   `entering` is how they get in.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod balancing;
mod draining;
mod entering;
mod fleet;
mod voices;
mod watching;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A file of the folder `packaging`.
fn packaged(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging")).join(path)
}

/// The program that this variable names, or the one of this name on the `PATH`.
fn program(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| name.into(), PathBuf::from)
}

/// Longer than a lease: the room of a node that was not given the time to leave is elsewhere after that.
const PATIENCE: Duration = Duration::from_secs(180);

/// The outcome of `future`. `what` says in a failure what was waited for.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("waited {} s for {what}", PATIENCE.as_secs()))
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
async fn listens(address: SocketAddr) {
    until("a program that listens", || async move { tokio::net::TcpStream::connect(address).await.is_ok() }).await;
}
