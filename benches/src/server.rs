//! A server as a child process: started, waited for, and ended whatever happens to us.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server prints, before its address, once it accepts connections.
pub const READY: &str = "listening on http://";

/// The word that makes the bench's own executable run [`Guard`].
pub const GUARD: &str = "guard";

/// A running server. Dropped, on a panic too, it is killed; so it is when this process dies in any other way.
pub struct Server {
    child: Child,
    /// What it prints.
    lines: Receiver<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `program`, by way of `bench`, the bench's own executable, and waits until it says where it listens. With
    /// `processors` it is kept to those.
    ///
    /// # Errors
    /// When it does not start within ten seconds.
    pub fn start<A: AsRef<OsStr>>(bench: &Path, processors: &[usize], program: &Path, arguments: &[A]) -> Result<Self> {
        Self::start_told(bench, processors, program, arguments, told_address)
    }

    /// The same for one that says it otherwise: `told` finds the address in the line that does, or says where it is once a
    /// line tells that it is there.
    ///
    /// # Errors
    /// When it does not start within ten seconds.
    pub fn start_told<A: AsRef<OsStr>>(
        bench: &Path,
        processors: &[usize],
        program: &Path,
        arguments: &[A],
        told: impl Fn(&str) -> Option<SocketAddr>,
    ) -> Result<Self> {
        let mut command = Command::new(bench);
        command.arg(GUARD);
        command.args(processors.iter().flat_map(|processor| ["--processor".into(), processor.to_string()]));
        command.arg("--").arg(program).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let lines = lines(child.stdout.take());
        // Under guard before the wait: a server that never gets ready must be ended too.
        let mut server = Self { child, lines, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        server.address = server.wait_told(told).with_context(|| format!("{} did not start", program.display()))?;
        Ok(server)
    }

    /// Waits until it says where else it listens, after what it has said of that before.
    ///
    /// # Errors
    /// When it does not within ten seconds.
    pub fn wait_told(&self, told: impl Fn(&str) -> Option<SocketAddr>) -> Result<SocketAddr> {
        let begun = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            if let Some(address) = told(&line) {
                return Ok(address);
            }
        }
        bail!("it ended, or {} seconds passed, before it printed where it listens", PATIENCE.as_secs())
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the line of a server of ours.
fn told_address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix(READY)?.trim_end_matches('/').parse().ok()
}

/// Reads until the server ends, lest that wait for room in the pipe.
fn lines(output: Option<ChildStdout>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in output.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// What stands between us and a server, and what of the command line follows the word [`GUARD`].
#[derive(clap::Args)]
pub struct Guard {
    /// One that it may use
    #[arg(long = "processor")]
    processors: Vec<usize>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Guard {
    /// Becomes the program, which then dies when we do, however that happens.
    ///
    /// # Errors
    /// When there is no such program; otherwise it does not come back.
    pub fn run(&self) -> Result<()> {
        let (program, arguments) = self.command.split_first().context("no program is named")?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // Our parent may have died just before.
        ensure!(rustix::process::getppid() != Some(rustix::process::Pid::INIT), "the bench has gone");
        if !self.processors.is_empty() {
            pin_to(&self.processors)?;
        }
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("{} cannot be run", Path::new(program).display()))
    }
}

/// The processors that this thread may use.
///
/// # Errors
/// When the operating system does not tell.
pub fn processors() -> Result<Vec<usize>> {
    let all = rustix::thread::sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|processor| all.is_set(*processor)).collect())
}

/// Keeps this thread, and what it starts, to some processors.
///
/// # Errors
/// When there are none of these.
pub fn pin_to(processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        ensure!(*processor < CpuSet::MAX_CPU, "there is no processor {processor}");
        set.set(*processor);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Lets this process, and those it starts, open as many files as the system allows.
///
/// # Errors
/// When that are fewer than `needed`.
pub fn raise_file_limit(needed: usize) -> Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised)?;
    let enough = limit.maximum.is_none_or(|maximum| maximum >= needed as u64);
    ensure!(enough, "{needed} open files are needed, and the system allows {:?}", limit.maximum);
    Ok(())
}

/// Keeps this thread to the last processor, if so wished: the others are for the servers, and named.
///
/// # Errors
/// When there is but one.
pub fn share_processors(pin: bool) -> Result<Vec<usize>> {
    if !pin {
        return Ok(Vec::new());
    }
    let mut processors = processors()?;
    let last = processors.pop().filter(|_| !processors.is_empty());
    pin_to(&[last.context("--pin: there is but one processor, which all must share")?])?;
    Ok(processors)
}
