//! A process of ours that serves while a part runs, and must not outlive it.

use std::process::Child;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::step::{Step, end_with_descendants};

/// How the line begins that our servers print once they accept connections.
const READY: &str = "listening on http://";

/// A running process; dropped, on a panic too, it is ended.
pub(crate) struct Process {
    child: Child,
    output: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it.
    pub(crate) fn start(step: Step) -> Result<Self> {
        Self::start_and_read(step, drop)
    }

    fn start_and_read(step: Step, read: impl FnMut(String) + Send + 'static) -> Result<Self> {
        let (child, output) = step.start(read)?;
        Ok(Self { child, output: Some(output) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end_with_descendants(&mut self.child);
        if let Some(output) = self.output.take() {
            // Its last lines belong before whatever is printed next.
            let _ = output.join();
        }
    }
}

/// A process that has said where it listens.
pub(crate) struct Server {
    process: Process,
    authority: String,
}

impl Server {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(step: Step, patience: Duration) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let process = Process::start_and_read(step, move |line| {
            if let Some(authority) = authority(&line) {
                // Nobody waits for a second such line.
                let _ = sender.send(authority.to_owned());
            }
        })?;
        let authority = receiver.recv_timeout(patience).map_err(|reason| match reason {
            RecvTimeoutError::Timeout => {
                anyhow!("the server printed no line `{READY}…` within {} s", patience.as_secs())
            }
            RecvTimeoutError::Disconnected => anyhow!("the server ended before it printed a line `{READY}…`"),
        })?;
        Ok(Self { process, authority })
    }

    /// Host and port, as the server named them.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// What the system calls it.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Fails when the server has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.process.child.try_wait()? {
            bail!("the server ended by itself with {status}");
        }
        Ok(())
    }
}

fn authority(line: &str) -> Option<&str> {
    line.trim().strip_prefix(READY).map(|rest| rest.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_ready_line_names_host_and_port() {
        assert_eq!(authority("listening on http://127.0.0.1:9000\r"), Some("127.0.0.1:9000"));
        assert_eq!(authority("listening on http://[::1]:9000/"), Some("[::1]:9000"));
        assert_eq!(authority("not yet listening"), None);
    }

    #[test]
    fn a_server_is_ended_when_dropped() {
        let started = Instant::now();
        // It has its descendant before it is ready: one that is just being forked could not be found.
        let script = "sleep 30 & echo hello; echo listening on http://127.0.0.1:1; wait";
        let step = Step::program("sh").args(["-c", script]);
        let mut server = Server::start(step, Duration::from_secs(5)).unwrap();
        assert_eq!(server.authority(), "127.0.0.1:1");
        server.check_alive().unwrap();
        drop(server);
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_server_that_ends_or_stays_silent_is_an_error() {
        let reason = |step, patience| Server::start(step, patience).err().unwrap().to_string();
        assert!(reason(Step::program("true"), Duration::from_secs(5)).contains("ended before"));
        assert!(reason(Step::program("sleep").args(["30"]), Duration::from_millis(100)).contains("within"));
    }
}
