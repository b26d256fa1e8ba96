//! A server in a process of its own, which tests kill and measure. The process runs this test binary.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use dog::App;
use dog_native::Server;
use dog_test_support::process::{Process, Signal};

/// Longer than anything here takes, even on a machine that is busy with other work. Only a test that hangs reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// If this is set, a signal shuts the child down, as in production. Otherwise the child ends when its standard input
/// ends.
pub(crate) const SIGNALS: &str = "DOG_TEST_SIGNALS";

/// The address that the child listens on. The default is a free port.
pub(crate) const LISTEN: &str = "DOG_TEST_LISTEN";

/// If this is set, the child prints the log lines of level WARN and above to its standard error.
pub(crate) const LOGS: &str = "DOG_TEST_LOGS";

/// How many files and sockets the child may have open. The default is the limit of this process.
pub(crate) const LIMIT: &str = "DOG_TEST_LIMIT";

const LISTENS: &str = "listens on ";
const REFUSES: &str = "refuses: ";

/// The name of the test that is the child.
const TEST: &str = "a_server_for_the_other_tests";

/// A running server. Dropping the value kills it.
pub(crate) struct Child {
    process: Process,
    pub(crate) address: SocketAddr,
    /// The admin address, if it has one.
    pub(crate) admin: Option<SocketAddr>,
}

/// Why a child did not start.
#[derive(Debug)]
pub(crate) struct NoStart {
    /// The error of `Server::start`, or `None` if the child never got there.
    pub(crate) refusal: Option<String>,
    /// The standard error of the process.
    pub(crate) errors: String,
}

/// A process that may not listen yet. Dropping the value kills it.
pub(crate) struct Starting(Process);

impl Child {
    /// Starts a child with these settings, and waits until it listens or has ended.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Result<Self, NoStart> {
        Starting::spawn(settings).wait()
    }

    /// Kills the child at once, as `kill -9` does, and returns its standard error.
    pub(crate) fn kill(mut self) -> String {
        self.process.kill();
        self.process.errors()
    }

    /// Shuts the child down gracefully, and returns its standard error.
    pub(crate) fn end(mut self) -> String {
        self.process.close_input();
        self.has_ended()
    }

    /// Shuts the child down with SIGTERM, as a service manager does, and returns its standard error.
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

    /// Suspends the child, or lets it continue.
    pub(crate) fn pause(&self, paused: bool) {
        self.process.send_signal(if paused { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// Returns the memory that the child uses now, in bytes.
    pub(crate) fn resident(&self) -> usize {
        resident_of(&self.process.id().to_string())
    }

    /// Returns the most memory that the child has ever used, in bytes.
    pub(crate) fn most_resident(&self) -> usize {
        memory_of(&self.process.id().to_string(), "VmHWM:")
    }

    /// Returns how many files and sockets the child has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }
}

/// Returns the memory that a process uses, in bytes.
pub(crate) fn resident_of(process: &str) -> usize {
    memory_of(process, "VmRSS:")
}

fn memory_of(process: &str, figure: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).expect("Linux reports this figure");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

impl Starting {
    pub(crate) fn spawn(settings: &[(&str, &str)]) -> Self {
        let mut command = command(settings);
        Self(Process::start(command.stdin(Stdio::piped()).stderr(Stdio::piped())).unwrap())
    }

    /// Kills the child at any point of its start.
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
                let address = addresses.next().expect("the child prints an address");
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

/// Fails if `resident` is more than `before` plus `allowed`.
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

/// Returns the command that runs this program as a child with these settings.
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
    // Some tests read the child's panic messages. Without backtraces each is short.
    command.env("RUST_BACKTRACE", "0").envs(settings.iter().copied());
    command
}

/// Reads a setting of this process, which is a child.
pub(crate) fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: {value:?}")))
}

/// Runs the server of a child until its standard input ends, or until a signal.
pub(crate) async fn serve<A: App + Send + Sync>(server: Server<A>) {
    let tell = |line: String| {
        // The test harness may have printed the beginning of a line.
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
        // The signal handlers are installed before the address is printed, because the parent may send a signal as soon
        // as it has read the address.
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

/// Random numbers from a seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// Takes the seed from `DOG_SEED`, or from the clock. The seed is printed, so that a failure can be repeated.
    pub(crate) fn new(what: &str) -> Self {
        let seed = setting("DOG_SEED").unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            now.as_secs() << 20 | u64::from(now.subsec_micros())
        });
        println!("{what}: DOG_SEED={seed}");
        Self(seed)
    }

    /// Returns another generator, for work that runs at the same time.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.number())
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns one of `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }
}
