//! The relay in a process of its own under `strace`. The process runs this test binary.

use std::process::{Command, Stdio};
use std::time::Duration;

use dog_test_support::process::Process;
use tokio::io::AsyncReadExt;

use crate::app;
use crate::crowd::Crowd;

/// The variable that makes a process the child. It has the seats per Replica and the number of threads.
const SETTINGS: &str = "DOG_COUNTED_SERVER";

const LISTENS: &str = "listens on ";

/// Far longer than the child takes to start under `strace`.
const PATIENCE: Duration = Duration::from_secs(180);

/// The name of the test that is the child.
const TEST: &str = "child::a_server_for_the_other_tests";

/// The system calls by which bytes can leave a thread.
const CALLS: &str = "trace=write,writev,sendto,sendmsg,sendmmsg";

#[tokio::test]
async fn a_server_for_the_other_tests() {
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    let (limit, workers) = settings.split_once(' ').unwrap();
    let running = app::start(limit.parse().unwrap(), workers.parse().unwrap()).await;
    // The test harness has printed the beginning of the line.
    println!("\n{LISTENS}{}", running.local_addr());
    // The child ends with its parent, which holds the other end of its standard input.
    let _ = tokio::io::stdin().read(&mut [0]).await;
    running.shutdown().await;
}

/// The system calls of a server, one per line: `1234 sendto(7<TCP:…>, "…`.
pub(crate) struct Trace(String);

/// Runs a server with `limit` seats per Replica on `workers` threads, and `act` with a crowd of `sockets` sockets.
/// Returns `None` where tracing is not possible.
pub(crate) fn trace(limit: u32, workers: usize, sockets: usize, act: impl FnOnce(&mut Crowd)) -> Option<Trace> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let traced = ["-f", "-qq", "-y", "-s", "64", "-e", CALLS, "-o"];
    let mut command = Command::new("strace");
    command.args(traced).arg(file.path()).arg(std::env::current_exe().unwrap());
    command.args(["--exact", TEST, "--nocapture"]).env(SETTINGS, format!("{limit} {workers}"));
    let Ok(mut child) = Process::start(command.stdin(Stdio::piped()).stderr(Stdio::piped())) else {
        println!("*** NOT RUN: there is no strace ***");
        return None;
    };
    let address = child.wait_for_line(PATIENCE, |line| line.strip_prefix(LISTENS).map(str::to_owned));
    let Ok(address) = address else {
        child.close_input();
        println!("*** NOT RUN: strace may not trace: {} ***", child.errors().trim());
        return None;
    };
    let mut crowd = Crowd::connect(address.parse().unwrap(), sockets);
    act(&mut crowd);
    drop(crowd);
    child.close_input();
    assert!(child.wait_within(PATIENCE).unwrap().success());
    Some(Trace(std::fs::read_to_string(file.path()).unwrap()))
}

impl Trace {
    /// Returns the number of calls whose line contains `what`. A call that another thread's call interrupts has two
    /// lines, of which the second has no arguments.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lines().filter(|line| line.contains(what)).count()
    }
}
