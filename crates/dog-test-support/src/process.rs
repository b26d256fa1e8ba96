//! A child process: [`Process`].

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// How often [`Process::wait_within`] checks whether the process has ended.
const POLL: Duration = Duration::from_millis(10);

/// A running child process. When the value is dropped, also by a panic, the process is killed.
///
/// A thread reads the process's standard output until it ends, so that the process never blocks on a full pipe.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    output: Option<JoinHandle<()>>,
    errors: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts a process. Its standard output is piped; the command decides about the other two streams. If standard error
    /// is piped, [`Process::errors`] returns it. If standard input is piped, it stays open until [`Process::close_input`].
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Self::start_and_read(command, |_| {})
    }

    /// As [`Process::start`]; a thread also passes every line of standard output to `read`.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_and_read(command: &mut Command, read: impl FnMut(&str) + Send + 'static) -> io::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let (sender, lines) = mpsc::channel();
        let mut read = read;
        let output = child.stdout.take().map(|output| {
            thread::spawn(move || {
                for_each_line(output, |line| {
                    read(&line);
                    // Nobody receives it when the process's value is gone.
                    let _ = sender.send(line);
                });
            })
        });
        let errors = child.stderr.take().map(|mut errors| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = errors.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            })
        });
        Ok(Self { child, lines, output, errors })
    }

    /// Waits for the first line of standard output from which `find` returns a value. It skips the lines before. A later
    /// call continues after that line.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when no such line comes within `patience`, and [`ErrorKind::UnexpectedEof`] when the process
    /// ends its output without one.
    pub fn wait_for_line<T>(&self, patience: Duration, mut find: impl FnMut(&str) -> Option<T>) -> io::Result<T> {
        let started = Instant::now();
        loop {
            match self.lines.recv_timeout(patience.saturating_sub(started.elapsed())) {
                Ok(line) => {
                    if let Some(found) = find(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let text = format!("the process did not print the expected line within {} s", patience.as_secs());
                    return Err(io::Error::new(ErrorKind::TimedOut, text));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let text = "the process ended before it printed the expected line";
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
                }
            }
        }
    }

    /// The lines of standard output that were not yet waited for. After the process has ended, these are all that is left.
    pub fn rest_of_output(&mut self) -> Vec<String> {
        if let Some(output) = self.output.take_if(|_| matches!(self.child.try_wait(), Ok(Some(_)))) {
            // It only reads, and does not panic.
            let _ = output.join();
        }
        self.lines.try_iter().collect()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, for example [`Signal::TERM`], [`Signal::STOP`] or [`Signal::CONT`].
    ///
    /// # Errors
    /// When the process has ended.
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child), signal).map_err(io::Error::from)
    }

    /// Closes its standard input, if that is piped: many programs then end.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when it runs for longer than `patience`.
    pub fn wait_within(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > patience {
                let text = format!("the process still runs after {} s", patience.as_secs());
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            }
            thread::sleep(POLL);
        }
    }

    /// Kills it with SIGKILL and waits until it is gone. Does nothing if it has ended.
    pub fn kill(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it wrote to standard error, if that is piped. Waits until the process has closed it. A second call returns
    /// nothing.
    pub fn errors(&mut self) -> String {
        // It only reads, and does not panic.
        self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Passes every line to `read`. A line that is not UTF-8 must not end the reading: the child would die of a closed pipe.
fn for_each_line(output: ChildStdout, mut read: impl FnMut(String)) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        read(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[test]
    fn lines_are_waited_for_in_turn() {
        let mut process = Process::start(&mut shell("echo one; echo two=2; echo three=3; echo four")).unwrap();
        let number = |line: &str| line.split_once('=').map(|(_, number)| number.to_owned());
        assert_eq!(process.wait_for_line(SOON, number).unwrap(), "2");
        assert_eq!(process.wait_for_line(SOON, number).unwrap(), "3");
        assert!(process.wait_within(SOON).unwrap().success());
        assert_eq!(process.rest_of_output(), ["four"]);
    }

    #[test]
    fn a_process_that_ends_or_stays_silent_is_an_error() {
        let kind = |script: &str, patience| {
            let process = Process::start(&mut shell(script)).unwrap();
            process.wait_for_line(patience, |line| line.parse::<u32>().ok()).unwrap_err().kind()
        };
        assert_eq!(kind("echo text", SOON), ErrorKind::UnexpectedEof);
        assert_eq!(kind("exec sleep 30", Duration::from_millis(100)), ErrorKind::TimedOut);
    }

    #[test]
    fn input_errors_and_signals_reach_the_process() {
        let mut process = Process::start(&mut shell("cat; echo wrong >&2; exit 3")).unwrap();
        assert_eq!(process.status().unwrap(), None);
        process.close_input();
        assert_eq!(process.wait_within(SOON).unwrap().code(), Some(3));
        assert_eq!(process.errors(), "wrong\n");

        let mut process = Process::start(&mut shell("exec sleep 30")).unwrap();
        assert!(process.wait_within(Duration::ZERO).is_err());
        process.send_signal(Signal::TERM).unwrap();
        assert_eq!(process.wait_within(SOON).unwrap().code(), None);
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = Process::start(&mut shell("exec sleep 30")).unwrap();
        let id = Pid::from_child(&process.child);
        drop(process);
        assert!(rustix::process::test_kill_process(id).is_err());
    }
}
