//! A node in a process of its own, to be killed and stopped: this test binary, run once more.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use dog_native::Server;
use dog_native::cluster::Versions;
use dog_nats::Nats;

use crate::app::Rooms;

/// What the child's one test is called.
const TEST: &str = "child::a_node_for_the_other_tests";
const NATS: &str = "DOG_TEST_NATS";
const LEASE: &str = "DOG_TEST_LEASE";
const OLDEST: &str = "DOG_TEST_OLDEST_LETTERS";
const NEWEST: &str = "DOG_TEST_NEWEST_LETTERS";
const LISTENS: &str = "listens on ";

/// A node that runs. Dropped, it is killed.
pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) address: SocketAddr,
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

    fn start_with(nats: &str, lease: Duration, more: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([TEST, "--exact", "--nocapture", "--test-threads=1"]);
        command.env(NATS, nats).env(LEASE, lease.as_secs().to_string());
        command.envs(more.iter().copied());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a process");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut lines = output.lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.split_once(LISTENS).map(|(_, address)| address.to_owned()));
        // Read on, lest it wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.expect("the node listens").parse().expect("an address");
        Self { process, address }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
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
    if let Ok(level) = std::env::var("DOG_TEST_LOG") {
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
    let server =
        Server::new(Rooms).bind("127.0.0.1:0").workers(2).cluster(cluster).close_timeout(Duration::from_secs(1));
    let server = match letters() {
        Some(versions) => server.letters(versions),
        None => server,
    };
    let running = server.start().await.expect("a node");
    let address = running.local_addr();
    let ended = running.until_signal();
    println!("{LISTENS}{address}");
    ended.await;
}
