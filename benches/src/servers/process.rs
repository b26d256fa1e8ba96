//! A server as a child process: [`ServerProcess`] starts it, waits until it listens, and kills it. When the benchmark is
//! killed, so is the server.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::machine::pin_to;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// What our servers print, followed by their address, once they accept connections.
pub const READY: &str = "listening on http://";

/// The same of a server with TLS.
const READY_WITH_TLS: &str = "listening on https://";

/// The subcommand of the benchmark that runs a [`Guard`].
pub const GUARD: &str = "guard";

/// A running server. It is killed when this is dropped, and by the kernel when this process dies in any other way.
pub struct ServerProcess {
    child: Child,
    /// The lines that it prints.
    lines: Receiver<String>,
    address: SocketAddr,
}

impl ServerProcess {
    /// Starts `program` and waits until it prints [`READY`] and its address. `bench` is the benchmark's own executable, which
    /// runs the [`Guard`]. With `processors` the server is pinned to those.
    ///
    /// # Errors
    /// When it does not start within ten seconds.
    pub fn start<A: AsRef<OsStr>>(bench: &Path, processors: &[usize], program: &Path, arguments: &[A]) -> Result<Self> {
        Self::start_and_find(bench, processors, program, arguments, own_address)
    }

    /// Starts a program that reports its address in another way: `find` returns it when it sees the right line.
    ///
    /// # Errors
    /// When it does not start within ten seconds.
    pub fn start_and_find<A: AsRef<OsStr>>(
        bench: &Path,
        processors: &[usize],
        program: &Path,
        arguments: &[A],
        find: impl Fn(&str) -> Option<SocketAddr>,
    ) -> Result<Self> {
        let mut command = Command::new(bench);
        command.arg(GUARD);
        command.args(processors.iter().flat_map(|processor| ["--processor".into(), processor.to_string()]));
        command.arg("--").arg(program).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let lines = lines(child.stdout.take());
        // The value exists before the wait: a server that never listens must be killed too.
        let mut server = Self { child, lines, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        server.address = server.wait_for(find).with_context(|| format!("{} did not start", program.display()))?;
        Ok(server)
    }

    /// Waits for another line with an address, after those that were already found.
    ///
    /// # Errors
    /// When there is none within ten seconds.
    pub fn wait_for(&self, find: impl Fn(&str) -> Option<SocketAddr>) -> Result<SocketAddr> {
        let begun = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            if let Some(address) = find(&line) {
                return Ok(address);
            }
        }
        bail!("it ended, or {} seconds passed, before it printed its address", PATIENCE.as_secs())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not end within ten seconds.
    pub fn stop(mut self) -> Result<()> {
        let begun = Instant::now();
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        // What it prints ends when it does.
        let ended = loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(_) => {}
                Err(error) => break error == RecvTimeoutError::Disconnected,
            }
        };
        ensure!(ended, "it did not end within {} seconds", PATIENCE.as_secs());
        self.child.wait()?;
        Ok(())
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line of one of our servers.
fn own_address(line: &str) -> Option<SocketAddr> {
    let address = line.strip_prefix(READY).or_else(|| line.strip_prefix(READY_WITH_TLS))?;
    address.trim_end_matches('/').parse().ok()
}

/// Reads until the server ends, so that it never waits for space in the pipe.
fn lines(output: Option<ChildStdout>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in output.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Becomes a server that dies with the benchmark. The arguments of the subcommand [`GUARD`].
#[derive(clap::Args)]
pub struct Guard {
    /// A processor that the server may use; may be repeated
    #[arg(long = "processor")]
    processors: Vec<usize>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Guard {
    /// Replaces this process by the program, which the kernel kills when its parent dies.
    ///
    /// # Errors
    /// When there is no such program. Otherwise it does not return.
    pub fn run(&self) -> Result<()> {
        let (program, arguments) = self.command.split_first().context("no program is named")?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died just before.
        ensure!(rustix::process::getppid() != Some(Pid::INIT), "the benchmark has ended");
        if !self.processors.is_empty() {
            pin_to(&self.processors)?;
        }
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("{} cannot be run", Path::new(program).display()))
    }
}
