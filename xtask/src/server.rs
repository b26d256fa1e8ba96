//! A server that runs while a part runs.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dog_test_support::process::Process;

use crate::step::Step;

/// How the line begins that our servers print when they accept connections.
const READY: &str = "listening on http://";

/// A server that has printed where it listens. When the value is dropped, it is killed.
pub(crate) struct Server {
    process: Process,
    authority: String,
}

impl Server {
    /// Starts it and waits until it prints where it listens.
    pub(crate) fn start(step: Step, patience: Duration) -> Result<Self> {
        let process = start(step)?;
        let authority = process.wait_for_line(patience, |line| authority(line).map(str::to_owned));
        let authority = authority.with_context(|| format!("a line that begins with `{READY}` was expected"))?;
        Ok(Self { process, authority })
    }

    /// Host and port, as the server printed them.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Fails when the server has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.process.status()? {
            bail!("the server ended by itself with {status}");
        }
        Ok(())
    }
}

/// Starts a process whose standard output is passed on to the console.
fn start(step: Step) -> Result<Process> {
    step.show();
    let mut command = step.into_command();
    Ok(Process::start_and_read(command.stdin(Stdio::null()), |line| println!("{line}"))?)
}

fn authority(line: &str) -> Option<&str> {
    line.trim().strip_prefix(READY).map(|rest| rest.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_host_and_port() {
        assert_eq!(authority("listening on http://127.0.0.1:9000\r"), Some("127.0.0.1:9000"));
        assert_eq!(authority("listening on http://[::1]:9000/"), Some("[::1]:9000"));
        assert_eq!(authority("not yet listening"), None);
    }

    #[test]
    fn a_server_is_alive_until_it_ends() {
        let step = |script| Step::program("sh").args(["-c", script]);
        let patience = Duration::from_secs(30);
        let mut server =
            Server::start(step("echo hello; echo listening on http://127.0.0.1:1; exec cat"), patience).unwrap();
        assert_eq!(server.authority(), "127.0.0.1:1");
        // Its standard input is empty, so it ends by itself.
        while server.check_alive().is_ok() {
            std::thread::yield_now();
        }
        let reason = format!("{:#}", Server::start(step("echo hello"), patience).err().unwrap());
        assert!(reason.contains("ended before"), "{reason}");
    }
}
