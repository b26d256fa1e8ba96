//! One command of a part: shown as a person would type it, run within a time limit, its output passed through.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Long enough for a cold build on two cores; a step that hangs must fail while CI still listens.
const DEFAULT_LIMIT: Duration = Duration::from_mins(20);

/// How often a running step is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How long the last lines of a step that has ended may be on their way.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A command that is about to run.
pub(crate) struct Step {
    command: Command,
    shown: String,
    limit: Duration,
}

impl Step {
    /// The cargo that runs us, so that a toolchain chosen with `+name` or an override holds for every step.
    pub(crate) fn cargo() -> Self {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Self::shown_as(&program, "cargo")
    }

    /// Any other program.
    pub(crate) fn program(program: impl AsRef<OsStr>) -> Self {
        let shown = quoted(&program.as_ref().to_string_lossy());
        Self::shown_as(program.as_ref(), &shown)
    }

    fn shown_as(program: &OsStr, shown: &str) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self { command, shown: shown.to_owned(), limit: DEFAULT_LIMIT }
    }

    /// Adds arguments.
    pub(crate) fn args<Argument: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = Argument>) -> Self {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&quoted(&argument.as_ref().to_string_lossy()));
            self.command.arg(argument);
        }
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.shown = format!("{name}={} {}", quoted(value), self.shown);
        self.command.env(name, value);
        self
    }

    /// Runs it in this folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Has its standard error go to this file, not to the console: for what says more than anybody reads.
    pub(crate) fn errors_to(mut self, file: File) -> Self {
        self.command.stderr(file);
        self
    }

    /// Ends it, and fails, after this long.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Shows it, runs it, and fails unless it ends well.
    pub(crate) fn run(self) -> Result<()> {
        let name = self.name();
        let status = self.run_to_end()?;
        succeeded(status, &name)
    }

    /// Shows it, runs it, and hands back how it ended, which the caller judges.
    pub(crate) fn run_to_end(mut self) -> Result<ExitStatus> {
        self.show();
        let child = self.spawn()?;
        wait(child, self.limit, &self.name())
    }

    /// As [`Step::run`], with a copy of what it wrote to its standard output.
    pub(crate) fn run_and_keep(self) -> Result<String> {
        let (name, limit) = (self.name(), self.limit);
        let (sender, receiver) = mpsc::channel();
        let (child, _reader) = self.start(move |line| {
            // The receiver is gone only when the step has failed already.
            let _ = sender.send(line);
        })?;
        succeeded(wait(child, limit, &name)?, &name)?;
        // Not joined: a process that a test left behind would hold the pipe open, and us with it.
        let lines: Vec<String> = std::iter::from_fn(|| receiver.recv_timeout(LAST_LINES).ok()).collect();
        Ok(lines.join("\n"))
    }

    /// Shows and starts it; a thread of its own passes every line of its standard output on, to the console and to
    /// `keep`, which is dropped when the output ends.
    fn start(mut self, keep: impl FnMut(String) + Send + 'static) -> Result<(Child, JoinHandle<()>)> {
        self.show();
        self.command.stdout(Stdio::piped());
        let mut child = self.spawn()?;
        let output = child.stdout.take().context("a piped child has a standard output")?;
        Ok((child, thread::spawn(move || pass_on(output, keep))))
    }

    /// Runs it unseen and hands back its standard output: for questions, not for work.
    pub(crate) fn ask(mut self) -> Result<String> {
        let name = self.name();
        let output = self.command.output().with_context(|| format!("`{name}` could not be started"))?;
        if !output.status.success() {
            bail!("`{}` ended with {}: {}", self.shown, output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Prints the command line, such that a person can run it by hand.
    pub(crate) fn show(&self) {
        println!("$ {}", self.shown);
    }

    /// The command itself, for what is started and not waited for.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    fn spawn(&mut self) -> Result<Child> {
        let name = self.name();
        self.command.spawn().with_context(|| format!("`{name}` could not be started"))
    }

    /// The program and its first argument, for messages.
    fn name(&self) -> String {
        let file = Path::new(self.command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let first = self.command.get_args().next().map(|argument| argument.to_string_lossy().into_owned());
        first.map_or(file.clone(), |first| format!("{file} {first}"))
    }
}

fn succeeded(status: ExitStatus, name: &str) -> Result<()> {
    if !status.success() {
        bail!("`{name}` ended with {status}");
    }
    Ok(())
}

fn pass_on(output: ChildStdout, mut keep: impl FnMut(String)) {
    // A line that is not UTF-8 must not end the reading: the child would die of a closed pipe.
    for line in BufReader::new(output).split(b'\n').map_while(std::result::Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        println!("{line}");
        keep(line);
    }
}

fn wait(mut child: Child, limit: Duration, name: &str) -> Result<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() > limit {
            end_with_descendants(&mut child);
            bail!("`{name}` was not done after {} s and was ended", limit.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// Ends a process and all that it started: killing cargo alone would leave the hung test behind.
fn end_with_descendants(child: &mut Child) {
    // Listed first: once the parent is gone, the kernel forgets whose children they were. Process groups would be
    // surer, but a child in a group of its own does not get the terminal's Ctrl-C.
    let descendants = descendants(child.id());
    let _ = child.kill();
    if !descendants.is_empty() {
        let mut script = String::from("kill -KILL");
        descendants.iter().for_each(|id| write!(script, " {id}").expect("a string takes all"));
        let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
    }
    let _ = child.wait();
}

/// The processes that descend from this one, as `/proc` tells; none where there is no `/proc`.
fn descendants(root: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id: u32| Some((id, parent(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&id) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == id).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

/// The parent named in a line of `/proc/ID/stat`. The program's name may hold spaces and brackets, so count from its end.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A word as a shell needs it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=+./:,@%{}".contains(letter);
    match word {
        _ if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let step = Step::program("tool").args(["--flag", "two words", "12.*"]).env("NAME", "-D warnings");
        assert_eq!(step.shown, "NAME='-D warnings' tool --flag 'two words' '12.*'");
    }

    #[test]
    fn a_quote_survives_quoting() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn output_is_kept_and_failure_told() {
        assert_eq!(Step::program("sh").args(["-c", "echo one; echo two"]).run_and_keep().unwrap(), "one\ntwo");
        assert!(Step::program("sh").args(["-c", "exit 3"]).run().is_err());
        assert!(Step::program("there-is-no-such-program").run().is_err());
    }

    #[test]
    fn a_step_over_its_limit_is_ended_with_its_descendants() {
        let started = Instant::now();
        // The inner sleep holds the pipe open: if it outlived its parent, the reader would wait for it.
        let step = Step::program("sh").args(["-c", "sleep 30 & sleep 30; true"]).limit(Duration::from_millis(200));
        let (mut child, reader) = step.start(drop).unwrap();
        thread::sleep(Duration::from_millis(200));
        end_with_descendants(&mut child);
        reader.join().unwrap();
        assert!(started.elapsed() < Duration::from_secs(10));

        let error = Step::program("sleep").args(["30"]).limit(Duration::from_millis(100)).run().unwrap_err();
        assert!(error.to_string().contains("not done"), "{error}");
    }

    #[test]
    fn the_parent_is_read_past_an_odd_program_name() {
        assert_eq!(parent("42 (a) b) S 7 42 42 0"), Some(7));
        assert_eq!(parent("nonsense"), None);
    }
}
