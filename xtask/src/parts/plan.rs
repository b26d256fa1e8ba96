//! Runs the parts: which of them beside which is fixed, so that every run is the same.
//!
//! 1. The parts of [`When::First`], one after the other. Meanwhile a process of lower priority prepares the other parts:
//!    it installs and compiles what they need.
//! 2. When everything is prepared, the other parts one after the other. Nothing compiles any more while they run, because
//!    some of them kill processes, cut networks and wait for deadlines.
//! 3. While `cluster` runs, another process runs the parts of [`When::BesideCluster`]. Its output is printed when it ends.
//!
//! A part that fails does not stop the others, so that one run shows everything. A single part is prepared and run at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::length::Length;
use super::report::{self, Finished, summary};
use super::table::{PARTS, Part, When};
use crate::workspace::Workspace;

/// What to run.
pub(crate) struct Order {
    /// The names of the parts. If there are none: all parts, those on request only in a long run.
    pub(crate) parts: Vec<String>,
    pub(crate) length: Length,
    /// Set in a process that runs some parts for another one: the file for its report.
    pub(crate) report: Option<PathBuf>,
    /// Whether the parts are prepared only, or were prepared before.
    pub(crate) preparation: Preparation,
}

/// What is done about the preparation of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// Prepare, then run.
    Included,
    /// Only prepare.
    Only,
    /// Another process has prepared them.
    Done,
}

impl Preparation {
    /// Its value on the command line.
    fn flag(self) -> &'static str {
        match self {
            Self::Included => "included",
            Self::Only => "only",
            Self::Done => "done",
        }
    }
}

/// Carries out the order; true when all parts passed.
pub(crate) fn run(workspace: &Workspace, order: &Order) -> Result<bool> {
    let by_default = |part: &Part| part.when != When::OnRequest || order.length == Length::Long;
    let is_wanted = |part: &&Part| match order.parts.is_empty() {
        true => by_default(part),
        false => order.parts.iter().any(|name| name == part.name),
    };
    let parts: Vec<&Part> = PARTS.iter().filter(is_wanted).collect();
    let started = Instant::now();
    let finished = match (order.preparation, &order.report) {
        // The last parts take longest to prepare, and in folders that the parts which run meanwhile do not lock.
        (Preparation::Only, _) => parts.iter().rev().map(|part| prepare(part, workspace)).collect(),
        (preparation, Some(_)) => parts.iter().map(|part| one(part, workspace, order.length, preparation)).collect(),
        (_, None) => all(&parts, workspace, order.length)?,
    };
    match &order.report {
        Some(path) => report::write(path, &finished)?,
        None => println!("\n{}", summary(&finished, started.elapsed())),
    }
    Ok(finished.iter().all(|part| part.result.is_ok()))
}

/// The plan.
fn all(parts: &[&Part], workspace: &Workspace, length: Length) -> Result<Vec<Finished>> {
    let (first, rest): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| part.when == When::First);
    // One part alone prepares itself.
    let has_preparation = parts.len() > 1 && !rest.is_empty();
    let preparation =
        has_preparation.then(|| Other::start(workspace, "prepare", Preparation::Only, &rest, length)).transpose()?;
    let mut finished: Vec<Finished> =
        first.iter().map(|part| one(part, workspace, length, Preparation::Included)).collect();
    let prepared = preparation.map(Other::wait).unwrap_or_default();
    let has_cluster = rest.iter().any(|part| part.name == "cluster");
    let (beside, rest): (Vec<&Part>, Vec<&Part>) =
        rest.iter().partition(|part| has_cluster && part.when == When::BesideCluster);
    for part in rest {
        let is_beside = part.name == "cluster" && !beside.is_empty();
        let preparation = preparation_of(&beside, &prepared);
        let other =
            is_beside.then(|| Other::start(workspace, "beside-cluster", preparation, &beside, length)).transpose()?;
        finished.push(after_preparation(part, workspace, length, &prepared));
        if let Some(other) = other {
            let mut others = other.wait();
            others.iter_mut().for_each(|other| other.prepared = time_to_prepare(&other.name, &prepared));
            finished.extend(others);
        }
    }
    Ok(finished)
}

/// Runs a part that was prepared, or prepares it again where that failed: then its output shows why.
fn after_preparation(part: &Part, workspace: &Workspace, length: Length, prepared: &[Finished]) -> Finished {
    let mut finished = one(part, workspace, length, preparation_of(&[part], prepared));
    finished.prepared += time_to_prepare(part.name, prepared);
    finished
}

fn preparation_of(parts: &[&Part], prepared: &[Finished]) -> Preparation {
    let is_done = |part: &&Part| prepared.iter().any(|other| other.name == part.name && other.result.is_ok());
    if parts.iter().all(is_done) { Preparation::Done } else { Preparation::Included }
}

fn time_to_prepare(name: &str, prepared: &[Finished]) -> Duration {
    prepared.iter().filter(|other| other.name == name).map(|other| other.prepared).sum()
}

fn prepare(part: &Part, workspace: &Workspace) -> Finished {
    println!("\n=== preparing {}", part.name);
    let started = Instant::now();
    let result = (part.prepare)(workspace);
    let prepared = started.elapsed();
    println!("=== prepared {} in {:.1} s", part.name, prepared.as_secs_f64());
    let result = result.map(|()| String::new()).map_err(|error| format!("{error:#}"));
    Finished { name: part.name.to_owned(), prepared, took: Duration::ZERO, result }
}

fn one(part: &Part, workspace: &Workspace, length: Length, preparation: Preparation) -> Finished {
    println!("\n=== {}: {}", part.name, part.about);
    let started = Instant::now();
    let ready = if preparation == Preparation::Included { (part.prepare)(workspace) } else { Ok(()) };
    let prepared = started.elapsed();
    let result = ready.and_then(|()| (part.run)(workspace, length)).map_err(|error| format!("{error:#}"));
    let took = started.elapsed().saturating_sub(prepared);
    let times = format!("{:.1} s, after {:.1} s of preparation", took.as_secs_f64(), prepared.as_secs_f64());
    match &result {
        Ok(_) => println!("=== {} passed in {times}", part.name),
        Err(reason) => println!("=== {} FAILED in {times}: {reason}", part.name),
    }
    Finished { name: part.name.to_owned(), prepared, took, result }
}

/// Another process of this program, which works on some parts. It writes its output to a file.
struct Other {
    child: Child,
    /// The names of the parts.
    names: Vec<String>,
    log: PathBuf,
    report: PathBuf,
    /// Whether its output is printed when it ends.
    is_shown: bool,
}

impl Other {
    fn start(
        workspace: &Workspace,
        name: &str,
        preparation: Preparation,
        parts: &[&Part],
        length: Length,
    ) -> Result<Self> {
        let folder = workspace.target.join("artifacts");
        fs::create_dir_all(&folder)?;
        let (log, report) = (folder.join(format!("{name}.log")), workspace.scratch(&format!("{name}.json")));
        fs::create_dir_all(workspace.scratch(""))?;
        // An old report must not count for this run.
        let _ = fs::remove_file(&report);
        let output = File::create(&log)?;
        let is_preparation = preparation == Preparation::Only;
        // Below the priority of the tests that run meanwhile.
        let mut command = Command::new("nice");
        command.args(["-n", if is_preparation { "10" } else { "0" }]).arg(this_program()?);
        command.args(["test", "--preparation", preparation.flag()]).arg("--report").arg(&report);
        if length == Length::Long {
            command.arg("--all");
        }
        command.args(parts.iter().map(|part| part.name));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().context("no second process")?;
        let verb = if is_preparation { "prepares" } else { "runs" };
        let names: Vec<String> = parts.iter().map(|part| part.name.to_owned()).collect();
        println!("meanwhile another process {verb} {}: {}", names.join(", "), workspace.show(&log));
        Ok(Self { child, names, log, report, is_shown: !is_preparation })
    }

    /// Waits until it ends. Without a report, all its parts have failed.
    fn wait(mut self) -> Vec<Finished> {
        let started = Instant::now();
        let status = self.child.wait();
        println!("\nwaited {:.1} s for the other process", started.elapsed().as_secs_f64());
        let report = report::read(&self.report);
        if self.is_shown || report.is_err() {
            println!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
        report.unwrap_or_else(|error| {
            let reason = format!("the other process ended with {status:?} and without a report: {error:#}");
            let failed = |name: &String| Finished {
                name: name.clone(),
                prepared: Duration::ZERO,
                took: Duration::ZERO,
                result: Err(reason.clone()),
            };
            self.names.iter().map(failed).collect()
        })
    }
}

/// This program, even if cargo has replaced its file meanwhile.
fn this_program() -> Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(format!("/proc/{}/exe", std::process::id()).into()) } else { Ok(std::env::current_exe()?) }
}
