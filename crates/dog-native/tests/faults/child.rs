//! A server in a process of its own, which tests kill and measure: this test binary, run once more.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use dog::App;
use dog_native::Server;
use dog_test_support::process::{Process, Signal};

/// Longer than anything here takes on a machine that does much else besides; reached only by what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Set, the child ends by a signal, as a server does; without it, with its standard input.
pub(crate) const SIGNALS: &str = "DOG_TEST_SIGNALS";

/// Where it listens; without it, on a port that is free.
pub(crate) const LISTEN: &str = "DOG_TEST_LISTEN";

/// Set, the child prints to its standard error what it and its libraries log as a warning or worse.
pub(crate) const LOGS: &str = "DOG_TEST_LOGS";

/// How many files and sockets it may have open; without it, as many as this process.
pub(crate) const LIMIT: &str = "DOG_TEST_LIMIT";

const LISTENS: &str = "listens on ";
const REFUSES: &str = "refuses: ";

/// What the child's one test must be called.
const TEST: &str = "a_server_for_the_other_tests";

/// A server that runs. When the value is dropped, it is killed.
pub(crate) struct Child {
    process: Process,
    pub(crate) address: SocketAddr,
    /// The address for its operator, if it has one.
    pub(crate) admin: Option<SocketAddr>,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) struct NoStart {
    /// The error of `Server::start`; nothing if it never got there.
    pub(crate) refusal: Option<String>,
    /// What the process wrote to its standard error.
    pub(crate) errors: String,
}

/// A process that may not listen yet. When the value is dropped, it is killed.
pub(crate) struct Starting(Process);

impl Child {
    /// Starts one with these settings, and waits until it listens or has ended.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Result<Self, NoStart> {
        Starting::spawn(settings).wait()
    }

    /// Kills it at once, as `kill -9` does, and returns what it wrote to its standard error.
    pub(crate) fn kill(mut self) -> String {
        self.process.kill();
        self.process.errors()
    }

    /// Ends it gracefully, and returns what it wrote to its standard error.
    pub(crate) fn end(mut self) -> String {
        self.process.close_input();
        self.has_ended()
    }

    /// Ends it as a service manager does, and returns what it wrote to its standard error.
    pub(crate) fn terminate(self) -> String {
        self.process.send_signal(Signal::TERM).unwrap();
        self.has_ended()
    }

    fn has_ended(mut self) -> String {
        let status = self.process.wait_within(PATIENCE).unwrap();
        let errors = self.process.errors();
        assert!(status.success(), "{status}: {errors}");
        errors
    }

    /// Stops it as if its machine did nothing any more, or lets it continue.
    pub(crate) fn pause(&self, paused: bool) {
        self.process.send_signal(if paused { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// The memory that it takes now, in bytes.
    pub(crate) fn resident(&self) -> usize {
        resident_of(&self.process.id().to_string())
    }

    /// The most memory that it has ever taken, in bytes.
    pub(crate) fn most_resident(&self) -> usize {
        memory_of(&self.process.id().to_string(), "VmHWM:")
    }

    /// How many files and sockets it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }
}

/// The memory that a process takes, in bytes.
pub(crate) fn resident_of(process: &str) -> usize {
    memory_of(process, "VmRSS:")
}

fn memory_of(process: &str, figure: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

impl Starting {
    pub(crate) fn spawn(settings: &[(&str, &str)]) -> Self {
        let mut command = command(settings);
        Self(Process::start(command.stdin(Stdio::piped()).stderr(Stdio::piped())).unwrap())
    }

    /// Kills it, at whatever point of its start it is.
    pub(crate) fn kill(mut self) {
        self.0.kill();
    }

    pub(crate) fn wait(self) -> Result<Child, NoStart> {
        let Self(mut process) = self;
        let told = process.wait_for_line(PATIENCE, |line| {
            let addresses = line.strip_prefix(LISTENS).map(|addresses| Ok(addresses.to_owned()));
            addresses.or_else(|| line.strip_prefix(REFUSES).map(|refusal| Err(refusal.to_owned())))
        });
        match told {
            Ok(Ok(addresses)) => {
                let mut addresses = addresses.split(' ').map(|address| address.parse().unwrap());
                let address = addresses.next().expect("it listens somewhere");
                Ok(Child { process, address, admin: addresses.next() })
            }
            told => {
                let is_late = told.as_ref().is_err_and(|error| error.kind() == ErrorKind::TimedOut);
                assert!(!is_late, "the server neither starts nor ends");
                process.wait_within(PATIENCE).unwrap();
                Err(NoStart { refusal: told.ok().and_then(Result::err), errors: process.errors() })
            }
        }
    }
}

/// Fails if what is resident is more than `allowed` beyond what was before.
pub(crate) fn within(resident: usize, before: usize, allowed: usize, what: &str) {
    let kilobytes = |bytes: usize| bytes / 1024;
    let (now, bound) = (kilobytes(resident), kilobytes(before + allowed));
    println!(
        "memory: {}% of its bound, {what}: {now} KiB resident of {bound} KiB, which are {} before and {}",
        now * 100 / bound,
        kilobytes(before),
        kilobytes(allowed)
    );
    assert!(now <= bound, "{what}: the memory grew to {now} KiB, beyond {bound} KiB");
}

/// This program as the child that `settings` make it.
pub(crate) fn command(settings: &[(&str, &str)]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match settings.iter().find(|(name, _)| *name == LIMIT) {
        Some((_, limit)) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]).arg(program);
            shell
        }
        None => Command::new(program),
    };
    command.args(["--exact", TEST, "--ignored", "--nocapture", "--test-threads=1"]);
    // Some tests read what it has to say of its panics: a line, and not what led there.
    command.env("RUST_BACKTRACE", "0").envs(settings.iter().copied());
    command
}

/// A setting of the child that this process is.
pub(crate) fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: {value:?}")))
}

/// What the child does: it serves until its standard input ends.
pub(crate) async fn serve<A: App + Send + Sync>(server: Server<A>) {
    let tell = |line: String| {
        // The test harness may have begun a line.
        println!("\n{line}");
        std::io::stdout().flush().unwrap();
    };
    if setting::<String>(LOGS).is_some() {
        tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    }
    let running = match server.bind(setting(LISTEN).unwrap_or_else(|| "127.0.0.1:0".to_owned())).start().await {
        Ok(running) => running,
        Err(error) => return tell(format!("{REFUSES}{error}")),
    };
    let admin = running.admin_addr().map(|address| format!(" {address}")).unwrap_or_default();
    let address = running.local_addr();
    if setting::<String>(SIGNALS).is_some() {
        // Before anyone knows that there is somebody to send signals to.
        let ended = running.until_signal();
        tell(format!("{LISTENS}{address}{admin}"));
        return ended.await;
    }
    tell(format!("{LISTENS}{address}{admin}"));
    let (ended, has_ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    has_ended.await.unwrap();
    running.shutdown().await;
}

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// From `DOG_SEED`, or a seed of its own; it is printed, so that a failure can be had again.
    pub(crate) fn new(what: &str) -> Self {
        let seed = setting("DOG_SEED").unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            now.as_secs() << 20 | u64::from(now.subsec_micros())
        });
        println!("{what}: DOG_SEED={seed}");
        Self(seed)
    }

    /// Another one, for something that runs beside it.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.number())
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }
}
