//! A node in its own process, so that a test can kill or suspend it. The process runs this test binary again, with only
//! the test `a_node_for_the_other_tests`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dog_native::Server;
use dog_native::cluster::Versions;
use dog_nats::Nats;
use dog_test_support::process::{Process, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{PATIENCE, Rooms};
use crate::clocks::Clock;
use crate::encrypted::NodeFiles;
use crate::network::Host;

/// The name of the test that the child process runs.
const TEST: &str = "child::a_node_for_the_other_tests";
const NATS: &str = "DOG_TEST_NATS";
const LEASE: &str = "DOG_TEST_LEASE";
const OLDEST: &str = "DOG_TEST_OLDEST_PROTOCOL";
const NEWEST: &str = "DOG_TEST_NEWEST_PROTOCOL";
const ADDRESS: &str = "DOG_TEST_ADDRESS";
const PORT: &str = "DOG_TEST_PORT";
const LOG: &str = "DOG_TEST_LOG";
/// A folder with the files of [`NodeFiles`].
const NODE_TLS: &str = "DOG_TEST_NODE_TLS";
const LISTENS: &str = "listens on ";

/// A running node. Dropping this kills its process.
pub(crate) struct Child {
    process: Process,
    pub(crate) address: SocketAddr,
    /// The address of its admin port, for example for `/readyz`.
    pub(crate) admin: SocketAddr,
}

impl Child {
    pub(crate) fn start(nats: &str, lease: Duration) -> Self {
        Self::start_with(nats, lease, &[])
    }

    /// Starts a node that supports only these versions of the node protocol, as another release would.
    pub(crate) fn start_speaking(nats: &str, lease: Duration, versions: Versions) -> Self {
        let [oldest, newest] = [versions.oldest, versions.newest].map(|version| version.to_string());
        Self::start_with(nats, lease, &[(OLDEST, &oldest), (NEWEST, &newest)])
    }

    /// Starts a node that writes its log into a file, at the level `trace`.
    pub(crate) fn start_logging(nats: &str, lease: Duration, log: std::fs::File) -> Self {
        Self::run(Self::logging(log), nats, lease, &[])
    }

    /// Asserts that a node cannot join and ends with an error. It writes its log into the file, at the level `trace`.
    pub(crate) fn fails(nats: &str, log: std::fs::File) {
        let mut command = Self::logging(log);
        command.args([TEST, "--exact", "--nocapture", "--test-threads=1"]).env(NATS, nats).env(LEASE, "15");
        let status = command.stdout(Stdio::null()).status().expect("the process starts");
        assert!(!status.success(), "the node has joined");
    }

    /// Starts a node that speaks TLS with other nodes, if it has `files`. It writes warnings into the log.
    pub(crate) fn start_secured(nats: &str, lease: Duration, files: Option<&NodeFiles>, log: std::fs::File) -> Self {
        let folder = files.map(|files| files.folder().to_str().expect("text"));
        let more: Vec<_> = [(LOG, "warn")].into_iter().chain(folder.map(|folder| (NODE_TLS, folder))).collect();
        Self::run(Self::logging(log), nats, lease, &more)
    }

    fn logging(log: std::fs::File) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.stdin(Stdio::null()).stderr(log).env(LOG, "trace");
        command
    }

    fn start_with(nats: &str, lease: Duration, more: &[(&str, &str)]) -> Self {
        Self::run(Command::new(std::env::current_exe().expect("this program")), nats, lease, more)
    }

    /// Starts a node on that host. Its public port, cluster port and admin port use the host's address.
    pub(crate) fn start_on(host: &Host, nats: &str, lease: Duration) -> Self {
        let command = host.command(std::env::current_exe().expect("this program"));
        // No other process on that host uses this port. A node that replaces this one gets the same port.
        Self::run(command, nats, lease, &[(ADDRESS, &host.address.to_string()), (PORT, "8787")])
    }

    /// Starts a node whose wall clock is `clock`.
    pub(crate) fn start_by(clock: &Clock, nats: &str, lease: Duration) -> Self {
        let environment = clock.environment();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::start_with(nats, lease, &environment)
    }

    fn run(mut command: Command, nats: &str, lease: Duration, more: &[(&str, &str)]) -> Self {
        command.args([TEST, "--exact", "--nocapture", "--test-threads=1"]);
        command.env(NATS, nats).env(LEASE, lease.as_secs().to_string());
        command.envs(more.iter().copied());
        let process = Process::start(command.stdin(Stdio::null())).expect("the process starts");
        let addresses = process.wait_for_line(PATIENCE, |line| Some(line.split_once(LISTENS)?.1.to_owned()));
        let addresses = addresses.expect("the node prints its addresses in time");
        let (address, admin) = addresses.split_once(' ').expect("two addresses");
        let [address, admin] = [address, admin].map(|address| address.parse().expect("an address"));
        Self { process, address, admin }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a GET request to the admin port. Returns whether the status is 200, and the body.
    pub(crate) async fn tells(&self, path: &str) -> (bool, String) {
        let mut stream = TcpStream::connect(self.admin).await.expect("the admin port is open");
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the admin port is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the admin port answers");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        (head.starts_with("HTTP/1.1 200 "), text.trim().to_owned())
    }

    /// Waits until `/readyz` reports `wanted`. Returns the body of that response.
    pub(crate) async fn until_ready(&self, wanted: bool) -> String {
        let by = Instant::now() + PATIENCE;
        loop {
            let (ready, text) = self.tells("/readyz").await;
            if ready == wanted {
                return text;
            }
            assert!(Instant::now() < by, "{text}");
            // `/readyz` must be polled, as a load balancer does.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends a signal. STOP suspends the process, as if its machine were suspended, and CONT resumes it.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.send_signal(signal).expect("the process runs");
    }

    /// Starts the graceful shutdown and waits until the process has ended.
    pub(crate) fn terminate(mut self) {
        self.signal(Signal::TERM);
        let status = self.process.wait_within(PATIENCE).expect("the process ends in time");
        assert!(status.success(), "{status}");
    }
}

/// Logs to standard error at the level that `DOG_TEST_LOG` names. Without that variable, nothing is logged.
pub(crate) fn log() {
    if let Ok(level) = std::env::var(LOG) {
        let level: tracing_subscriber::filter::LevelFilter = level.parse().expect("a level");
        // Fails if another test of this process has already installed a subscriber.
        let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).try_init();
    }
}

/// Returns the protocol versions that the environment sets. `None`: those of this release.
fn versions() -> Option<Versions> {
    let version = |variable: &str| std::env::var(variable).ok().map(|version| version.parse().expect("a version"));
    Some(Versions { oldest: version(OLDEST)?, newest: version(NEWEST)? })
}

/// Runs a node if the environment says so. In an ordinary test run it does nothing.
#[tokio::test]
async fn a_node_for_the_other_tests() {
    let (Ok(nats), Ok(lease)) = (std::env::var(NATS), std::env::var(LEASE)) else { return };
    log();
    let lease = Duration::from_secs(lease.parse().expect("seconds"));
    let cluster = Nats::connect(nats).lease(lease);
    let host = std::env::var(ADDRESS).unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = std::env::var(PORT).unwrap_or_else(|_| "0".to_owned());
    let address = format!("{host}:0");
    let server = Server::new(Rooms).bind(format!("{host}:{port}")).advertise(&address).admin(&address).workers(2);
    let server = server.cluster(cluster).close_timeout(Duration::from_secs(1));
    let server = match versions() {
        Some(versions) => server.node_versions(versions),
        None => server,
    };
    let server = match std::env::var(NODE_TLS) {
        Ok(folder) => {
            let [certificate, key, authorities] = NodeFiles::within(Path::new(&folder));
            server.node_tls(certificate, key, authorities)
        }
        Err(_) => server,
    };
    let running = server.start().await.expect("the node starts");
    let (address, admin) = (running.local_addr(), running.admin_addr().expect("the admin port has an address"));
    let ended = running.until_signal();
    println!("{LISTENS}{address} {admin}");
    ended.await;
}
