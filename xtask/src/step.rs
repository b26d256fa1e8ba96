//! One command of a part: printed as a person would type it, run within a time limit, its output passed on.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a cold build on two cores, and short enough that a step that hangs fails before CI gives up.
const DEFAULT_LIMIT: Duration = Duration::from_mins(20);

/// How often it is checked whether a step has ended.
const POLL: Duration = Duration::from_millis(20);

/// How long the last lines of a step that has ended may take to arrive.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How many lines of a failed step are repeated, if its tests do not say what failed.
const LAST_SHOWN: usize = 20;

/// How many lines of a failed step are repeated at most.
const MOST_SHOWN: usize = 60;

/// How many characters of such a line are repeated.
const LONGEST_SHOWN: usize = 400;

/// A command that is about to run.
pub(crate) struct Step {
    command: Command,
    shown: String,
    limit: Duration,
}

impl Step {
    /// The cargo that runs this program, so that a toolchain chosen with `+name` or an override applies to every step.
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

    /// Writes its standard error to this file instead of the console.
    pub(crate) fn errors_to(mut self, file: File) -> Self {
        self.command.stderr(file);
        self
    }

    /// Kills it, and fails, after this time.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Prints and runs it. Fails if its exit code is not 0.
    pub(crate) fn run(self) -> Result<()> {
        let name = self.name();
        let status = self.run_to_end()?;
        succeeded(status, &name)
    }

    /// Prints and runs it, and returns how it ended.
    pub(crate) fn run_to_end(mut self) -> Result<ExitStatus> {
        self.show();
        let child = self.spawn()?;
        wait(child, self.limit, &self.name())
    }

    /// As [`Step::run`], and returns a copy of its standard output. The error of a step that failed has the lines of its output
    /// that say why.
    pub(crate) fn run_and_keep(self) -> Result<String> {
        let (name, limit) = (self.name(), self.limit);
        let (sender, receiver) = mpsc::channel();
        let (child, _reader) = self.start(move |line| {
            // The receiver is gone only if the step has failed already.
            let _ = sender.send(line);
        })?;
        let ended = wait(child, limit, &name).and_then(|status| succeeded(status, &name));
        // Not joined: a process that a test left behind would keep the pipe open.
        let lines: Vec<String> = std::iter::from_fn(|| receiver.recv_timeout(LAST_LINES).ok()).collect();
        match ended {
            Ok(()) => Ok(lines.join("\n")),
            Err(error) => bail!("{error:#}\n{}", reasons(&lines)),
        }
    }

    /// Prints and starts it. A thread passes every line of its standard output to the console and to `keep`, which is dropped
    /// when the output ends.
    fn start(mut self, keep: impl FnMut(String) + Send + 'static) -> Result<(Child, JoinHandle<()>)> {
        self.show();
        self.command.stdout(Stdio::piped());
        let mut child = self.spawn()?;
        let output = child.stdout.take().context("a piped child has a standard output")?;
        Ok((child, thread::spawn(move || pass_on(output, keep))))
    }

    /// Runs it without printing it and returns its standard output: for questions, not for work.
    pub(crate) fn ask(mut self) -> Result<String> {
        let name = self.name();
        let output = self.command.output().with_context(|| format!("`{name}` could not be started"))?;
        if !output.status.success() {
            bail!("`{}` ended with {}: {}", self.shown, output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Prints the command line such that a person can run it by hand.
    pub(crate) fn show(&self) {
        println!("$ {}", self.shown);
    }

    /// The command itself, for a process that is not waited for.
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

/// What the output of tests says about those that failed: the sections between `failures:` and `test result:`. If there are
/// none, the last lines.
fn reasons(lines: &[String]) -> String {
    let mut is_inside = false;
    let mut told: Vec<&str> = Vec::new();
    for line in lines {
        is_inside = (is_inside || line == "failures:") && !line.starts_with("test result:");
        if is_inside && !line.trim().is_empty() && !is_of_a_backtrace(line) {
            told.push(line);
        }
    }
    if told.is_empty() {
        told = lines[lines.len().saturating_sub(LAST_SHOWN)..].iter().map(String::as_str).collect();
    }
    let cut = |line: &&str| line.chars().take(LONGEST_SHOWN).collect::<String>();
    told[told.len().saturating_sub(MOST_SHOWN)..].iter().map(cut).collect::<Vec<_>>().join("\n")
}

/// Whether a line is a frame of a backtrace, or says where that frame is: `  12: name` or `    at file:1:2`.
fn is_of_a_backtrace(line: &str) -> bool {
    let (text, is_indented) = (line.trim_start(), line.starts_with(' '));
    let number = text.split_once(": ").map_or("", |(number, _)| number);
    is_indented && (text.starts_with("at ") || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())))
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
            bail!("`{name}` still ran after {} s and was killed", limit.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// Kills a process and all its descendants: if only cargo were killed, the hanging test would go on.
fn end_with_descendants(child: &mut Child) {
    // They are listed first: when the parent is gone, the kernel forgets whose children they were. Process groups are no
    // alternative, because a child in a group of its own does not get the terminal's Ctrl-C.
    let descendants = descendants(child.id());
    let _ = child.kill();
    for id in descendants.into_iter().filter_map(|id| Pid::from_raw(id.cast_signed())) {
        // It may have ended.
        let _ = kill_process(id, Signal::KILL);
    }
    let _ = child.wait();
}

/// The descendants of a process by `/proc`; none on systems without `/proc`.
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

/// The parent in a line of `/proc/ID/stat`. The program's name may contain spaces and brackets, so fields count from its end.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A path as an argument or the value of a variable.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))
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
    fn the_error_of_tests_names_those_that_failed() {
        let output = "test a ... ok\n\nfailures:\n\n---- b stdout ----\nb panicked\n  12: frame\n     at a.rs:1:2\n\ntest result: FAILED. 1 passed\ntest c ... ok";
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        assert_eq!(reasons(&lines), "failures:\n---- b stdout ----\nb panicked");
        assert_eq!(reasons(&lines[..1]), "test a ... ok");
        let error = Step::program("sh").args(["-c", "echo why; exit 3"]).run_and_keep().unwrap_err().to_string();
        assert!(error.ends_with("\nwhy"), "{error}");
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
        assert!(error.to_string().contains("still ran"), "{error}");
    }

    #[test]
    fn the_parent_is_read_past_an_odd_program_name() {
        assert_eq!(parent("42 (a) b) S 7 42 42 0"), Some(7));
        assert_eq!(parent("nonsense"), None);
    }
}
