//! Fuzzing: the targets in `fuzz/`, built with coverage counters on stable Rust and driven by libFuzzer.
//!
//! It needs neither nightly nor cargo-fuzz: the pass that counts coverage is LLVM's and can be asked for by name, and
//! the crate `libfuzzer-sys` brings libFuzzer as C++ source. What nightly would add are the sanitizers, and there is no
//! unsafe code here for them to look at.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::install;
use crate::step::Step;
use crate::workspace::Workspace;

/// One program of `fuzz/`.
struct Target {
    name: &'static str,
    /// The longest input that is tried, in bytes: longer ones are slower and reach nothing more.
    longest: usize,
}

const TARGETS: &[Target] = &[
    Target { name: "codec", longest: 1_500 },
    Target { name: "inflate", longest: 600 },
    Target { name: "front", longest: 1_500 },
    Target { name: "records", longest: 512 },
    // Two bytes, and two for each of a hundred steps.
    Target { name: "engine", longest: 202 },
];

/// What makes a build count coverage: every edge, with a table of where it is, and what comparisons compare. One unit a
/// crate, or a function inlined in many units would count for as many.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// How long the test command fuzzes each target.
const SHORT: Duration = Duration::from_secs(15);
/// How long the command for it does, unless told.
const LONG: Duration = Duration::from_mins(10);
/// An input that takes longer than this hangs, in seconds; the slowest take milliseconds.
const HANG: &str = "-timeout=20";
/// No target comes near this, in megabytes.
const MEMORY: &str = "-rss_limit_mb=1024";
/// On top of the time asked for: reading the corpus, an input that hangs.
const GRACE: Duration = Duration::from_mins(5);
/// What all corpora in the tree may have together, in bytes.
const CORPORA: u64 = 200 * 1024;
/// How many found inputs of one target stand in the tree: more add little each.
const KEPT: usize = 200;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    /// One target; all, one after the other, without it.
    target: Option<String>,
    /// For each target.
    time: Duration,
    /// Whether the tree's corpora are chosen anew of all that was found.
    keep: bool,
}

impl Options {
    /// Reads the arguments after `fuzz`; the error is one line that says what is wrong with them.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { target: None, time: LONG, keep: false };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--keep" => options.keep = true,
                "--seconds" => {
                    let seconds = rest.next().and_then(|seconds| seconds.parse().ok()).filter(|seconds| *seconds > 0);
                    options.time = Duration::from_secs(seconds.ok_or("--seconds: give a number from 1")?);
                }
                name if TARGETS.iter().any(|target| target.name == name) && options.target.is_none() => {
                    options.target = Some(name.to_owned());
                }
                other => {
                    let known = TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
                    return Err(format!("`{other}` is not one target of: {known}"));
                }
            }
        }
        Ok(options)
    }
}

/// The part of the test command: lints, then each target for a short while from the corpus in the tree.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let build = Build::make(workspace)?;
    let size = build.size_of_corpora()?;
    if size > CORPORA {
        bail!("the corpora have {size} bytes, {CORPORA} is the limit: take some out");
    }
    build.clippy()?;
    let mut outcomes = Vec::new();
    for target in TARGETS {
        // Found before or not, it starts from the tree: the same everywhere.
        let found = workspace.scratch("fuzz").join(target.name);
        start_empty(&found)?;
        outcomes.push(build.fuzz(target, &found, SHORT)?.to_string());
    }
    Ok(outcomes.join("; "))
}

/// The command: longer, and going on from what earlier runs have found.
pub(crate) fn long(workspace: &Workspace, options: &Options) -> Result<()> {
    let build = Build::make(workspace)?;
    let is_wanted = |target: &&Target| options.target.as_ref().is_none_or(|name| name == target.name);
    for target in TARGETS.iter().filter(is_wanted) {
        let found = build.folder.join("corpus").join(target.name);
        build.fuzz(target, &found, options.time)?;
        if options.keep {
            build.keep(target, &found)?;
        }
    }
    Ok(())
}

/// The programs, built.
struct Build<'a> {
    workspace: &'a Workspace,
    /// Where they are built: apart, as everything in there is compiled with flags of its own.
    folder: PathBuf,
    host: String,
}

impl<'a> Build<'a> {
    fn make(workspace: &'a Workspace) -> Result<Self> {
        install::programs(&[("c++", "g++")])?;
        let host = Step::program("rustc").args(["--print", "host-tuple"]).ask()?.trim().to_owned();
        let build = Self { workspace, folder: workspace.target.join("fuzz"), host };
        build.cargo(&["build", "--bins"]).run()?;
        Ok(build)
    }

    /// With a target named, cargo spares build scripts the flags: they would lack the counters' library.
    fn cargo(&self, words: &[&str]) -> Step {
        let step = Step::cargo().within(&self.workspace.root).args(words);
        let step = step.args(["--manifest-path", "fuzz/Cargo.toml", "--release", "--target", &self.host]);
        step.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &self.folder.to_string_lossy())
    }

    /// Here and not with the other lints, as it needs this build's flags.
    fn clippy(&self) -> Result<()> {
        install::component("clippy", "clippy")?;
        self.cargo(&["clippy", "--all-targets"]).args(["--", "-D", "warnings"]).run()
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

    /// Runs every input there is, then new ones made of them until the time is over. What reaches new code is put into
    /// `found`. Fails at the first input that crashes, hangs or takes too much memory, and keeps that.
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
                Some(input) => bail!("{} fails; again: {} {input}", target.name, self.program(target).display()),
                None => bail!("{} ended with {status}", target.name),
            }
        }
        let outcome = Outcome::parse(target.name, &log).context("libFuzzer's log has no end")?;
        println!("{outcome}, of which {} by the corpus", outcome.edges_at_start);
        Ok(outcome)
    }

    /// Chooses anew what of all that was found stands in the tree's corpus. Inputs with a name were written by hand, and
    /// stay. Only whether an edge is passed counts: how often, which counts while fuzzing, would choose thousands.
    fn keep(&self, target: &Target, found: &Path) -> Result<()> {
        let (corpus, chosen) = (self.corpus(target), self.workspace.scratch("fuzz-chosen").join(target.name));
        start_empty(&chosen)?;
        for input in files(&corpus)?.iter().filter(|input| !is_found(input)) {
            copy_into(&chosen, input)?;
        }
        let log = File::create(self.artifacts().join(format!("{}-keep.log", target.name)))?;
        let step = Step::program(self.program(target)).args(["-set_cover_merge=1", "-use_counters=0"]);
        step.args([&chosen, &corpus, &found.to_owned()]).errors_to(log).run()?;
        // The merge copies first what adds most.
        let mut best: Vec<PathBuf> = files(&chosen)?.into_iter().filter(|input| is_found(input)).collect();
        best.sort_by_cached_key(|input| fs::metadata(input).and_then(|metadata| metadata.modified()).ok());
        best.truncate(KEPT);
        for input in files(&corpus)?.iter().filter(|input| is_found(input)) {
            fs::remove_file(input)?;
        }
        best.iter().try_for_each(|input| copy_into(&corpus, input))
    }

    /// Where logs and failing inputs are left for people, and for CI to take along.
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

/// libFuzzer calls an input by its SHA-1.
fn is_found(input: &Path) -> bool {
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// How a run went in which nothing failed.
#[derive(Debug, PartialEq)]
struct Outcome {
    name: &'static str,
    executions: u64,
    /// Edges of the control flow that the corpus passes.
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

/// From a panic's message on, without the frames; or the log's end.
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

    fn options(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_read_in_any_order_and_wrong_ones_named() {
        let engine = |seconds, keep| {
            let time = Duration::from_secs(seconds);
            Ok(Options { target: Some("engine".to_owned()), time, keep })
        };
        assert_eq!(options(""), Ok(Options { target: None, time: LONG, keep: false }));
        assert_eq!(options("engine --seconds 5"), engine(5, false));
        assert_eq!(options("--keep --seconds 5 engine"), engine(5, true));
        for wrong in ["engines", "engine codec", "--seconds", "--seconds 0", "--seconds x"] {
            assert!(options(wrong).is_err(), "{wrong}");
        }
        assert!(options("engines").unwrap_err().contains("codec, inflate"));
    }

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
