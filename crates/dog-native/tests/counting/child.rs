//! The relay as a process of its own under `strace`: this test binary, run once more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tokio::io::AsyncReadExt;

use crate::app;
use crate::crowd::Crowd;

/// What tells the child that it is one: seats on a Replica, and threads.
const SETTINGS: &str = "DOG_COUNTED_SERVER";

const LISTENS: &str = "listens on ";

/// What the child's one test must be called.
const TEST: &str = "child::a_server_for_the_other_tests";

/// The calls by which a byte can leave a thread.
const CALLS: &str = "trace=write,writev,sendto,sendmsg,sendmmsg";

#[tokio::test]
async fn a_server_for_the_other_tests() {
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    let (limit, workers) = settings.split_once(' ').unwrap();
    let running = app::start(limit.parse().unwrap(), workers.parse().unwrap()).await;
    // The harness has begun the line.
    println!("\n{LISTENS}{}", running.local_addr());
    // Ends with its parent, which holds the other end.
    let _ = tokio::io::stdin().read(&mut [0]).await;
    running.shutdown().await;
}

/// What a server has called, one call a line: `1234 sendto(7<TCP:…>, "…`.
pub(crate) struct Trace(String);

/// Runs a server with so many seats on a Replica and so many threads; `act` is done with so many sockets. `None` where
/// nobody may trace.
pub(crate) fn trace(limit: u32, workers: usize, sockets: usize, act: impl FnOnce(&mut Crowd)) -> Option<Trace> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let traced = ["-f", "-qq", "-y", "-s", "64", "-e", CALLS, "-o"];
    let mut command = Command::new("strace");
    command.args(traced).arg(file.path()).arg(std::env::current_exe().unwrap());
    command.args(["--exact", TEST, "--nocapture"]).env(SETTINGS, format!("{limit} {workers}"));
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else {
        println!("*** NOT RUN: there is no strace ***");
        return None;
    };
    let Some(address) = told_address(&mut child) else {
        let ended = child.wait_with_output().unwrap();
        println!("*** NOT RUN: strace may not trace: {} ***", String::from_utf8_lossy(&ended.stderr).trim());
        return None;
    };
    let mut crowd = Crowd::connect(address.parse().unwrap(), sockets);
    act(&mut crowd);
    drop(crowd);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    Some(Trace(std::fs::read_to_string(file.path()).unwrap()))
}

/// Where it listens; `None` if it ends before it does.
fn told_address(child: &mut Child) -> Option<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.strip_prefix(LISTENS).map(str::to_owned));
    // Reads on, lest the child wait for room in the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    address
}

impl Trace {
    /// How many calls there were whose line has this in it. One that was interrupted by another thread's is told in two
    /// lines, of which the second has no arguments.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lines().filter(|line| line.contains(what)).count()
    }
}
