//! A node in a process of its own, to be killed and stopped: this test binary, run once more.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dog_native::Server;
use dog_native::cluster::Versions;
use dog_nats::Nats;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{PATIENCE, Rooms};
use crate::clocks::Clock;
use crate::network::Host;

/// What the child's one test is called.
const TEST: &str = "child::a_node_for_the_other_tests";
const NATS: &str = "DOG_TEST_NATS";
const LEASE: &str = "DOG_TEST_LEASE";
const OLDEST: &str = "DOG_TEST_OLDEST_LETTERS";
const NEWEST: &str = "DOG_TEST_NEWEST_LETTERS";
const ADDRESS: &str = "DOG_TEST_ADDRESS";
const PORT: &str = "DOG_TEST_PORT";
const LOG: &str = "DOG_TEST_LOG";
const LISTENS: &str = "listens on ";

/// A node that runs. Dropped, it is killed.
pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) address: SocketAddr,
    /// Where it tells how it is.
    pub(crate) admin: SocketAddr,
}

impl Child {
    pub(crate) fn start(nats: &str, lease: Duration) -> Self {
        Self::start_with(nats, lease, &[])
    }

    /// Speaks these letters to other nodes, as another release does.
    pub(crate) fn start_speaking(nats: &str, lease: Duration, letters: Versions) -> Self {
        let [oldest, newest] = [letters.oldest, letters.newest].map(|version| version.to_string());
        Self::start_with(nats, lease, &[(OLDEST, &oldest), (NEWEST, &newest)])
    }

    /// Writes all that it logs into that file, down to single steps of its connections.
    pub(crate) fn start_logging(nats: &str, lease: Duration, log: std::fs::File) -> Self {
        Self::run(Self::logging(log), nats, lease, &[])
    }

    /// One that may not join and ends with an error, which goes into that file with all that it logs.
    pub(crate) fn fails(nats: &str, log: std::fs::File) {
        let mut command = Self::logging(log);
        command.args([TEST, "--exact", "--nocapture", "--test-threads=1"]).env(NATS, nats).env(LEASE, "15");
        let status = command.stdout(Stdio::null()).status().expect("a process");
        assert!(!status.success(), "it was let in");
    }

    fn logging(log: std::fs::File) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.stdin(Stdio::null()).stderr(log).env(LOG, "trace");
        command
    }

    fn start_with(nats: &str, lease: Duration, more: &[(&str, &str)]) -> Self {
        Self::run(Command::new(std::env::current_exe().expect("this program")), nats, lease, more)
    }

    /// On that host, at whose address it is reached by clients, by other nodes, and by whoever watches it.
    pub(crate) fn start_on(host: &Host, nats: &str, lease: Duration) -> Self {
        let command = host.command(std::env::current_exe().expect("this program"));
        // The port is nobody else's there, and the same for whoever follows it.
        Self::run(command, nats, lease, &[(ADDRESS, &host.address.to_string()), (PORT, "8787")])
    }

    /// Whose wall clock is what `clock` has it be, from its start on.
    pub(crate) fn start_by(clock: &Clock, nats: &str, lease: Duration) -> Self {
        let environment = clock.environment();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::start_with(nats, lease, &environment)
    }

    fn run(mut command: Command, nats: &str, lease: Duration, more: &[(&str, &str)]) -> Self {
        command.args([TEST, "--exact", "--nocapture", "--test-threads=1"]);
        command.env(NATS, nats).env(LEASE, lease.as_secs().to_string());
        command.envs(more.iter().copied());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a process");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut lines = output.lines().map_while(Result::ok);
        let addresses = lines.find_map(|line| line.split_once(LISTENS).map(|(_, addresses)| addresses.to_owned()));
        // Read on, lest it wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let addresses = addresses.expect("the node listens");
        let (address, admin) = addresses.split_once(' ').expect("two addresses");
        let [address, admin] = [address, admin].map(|address| address.parse().expect("an address"));
        Self { process, address, admin }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it says there: whether that is good, and the text.
    pub(crate) async fn tells(&self, path: &str) -> (bool, String) {
        let mut stream = TcpStream::connect(self.admin).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        (head.starts_with("HTTP/1.1 200 "), text.trim().to_owned())
    }

    /// Waits until it says that it is ready for clients, or that it is not; gives what it says of that.
    pub(crate) async fn until_ready(&self, wanted: bool) -> String {
        let by = Instant::now() + PATIENCE;
        loop {
            let (ready, text) = self.tells("/readyz").await;
            if ready == wanted {
                return text;
            }
            assert!(Instant::now() < by, "{text}");
            // As a load balancer does: it can only ask.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Stops it, as if its machine did nothing any more; or has it go on.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status().expect("the program kill");
        assert!(status.success());
    }

    /// Ends it in good order.
    pub(crate) fn terminate(mut self) {
        self.signal("-TERM");
        let status = self.process.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Logs to standard error what `DOG_TEST_LOG` names, a level: for whoever looks for what is wrong.
pub(crate) fn log() {
    if let Ok(level) = std::env::var(LOG) {
        let level: tracing_subscriber::filter::LevelFilter = level.parse().expect("a level");
        // Another test of this process may have begun to log.
        let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).try_init();
    }
}

/// What this child is to speak, if that is not what it speaks by itself.
fn letters() -> Option<Versions> {
    let version = |variable: &str| std::env::var(variable).ok().map(|version| version.parse().expect("a version"));
    Some(Versions { oldest: version(OLDEST)?, newest: version(NEWEST)? })
}

/// Does nothing unless it is run as a child.
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
    let server = match letters() {
        Some(versions) => server.letters(versions),
        None => server,
    };
    let running = server.start().await.expect("a node");
    let (address, admin) = (running.local_addr(), running.admin_addr().expect("an address to be watched at"));
    let ended = running.until_signal();
    println!("{LISTENS}{address} {admin}");
    ended.await;
}
