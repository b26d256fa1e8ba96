//! The parts that are hardly more than a cargo command.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bench::RUST_PEERS;
use crate::install;
use crate::parts::PARTS;
use crate::step::Step;
use crate::workspace::Workspace;

/// A measurement warms up, repeats, and runs its peers: no limit of a test fits it.
pub(crate) const BENCH_LIMIT: Duration = Duration::from_hours(2);

/// The sources are as rustfmt writes them.
pub(crate) fn fmt(workspace: &Workspace) -> Result<String> {
    install::component("fmt", "rustfmt")?;
    workspace.cargo().args(["fmt", "--all", "--check"]).run()?;
    // What lies outside the workspace.
    for manifest in ["fuzz/Cargo.toml", RUST_PEERS] {
        workspace.cargo().args(["fmt", "--manifest-path", manifest, "--check"]).run()?;
    }
    Ok(String::new())
}

/// No warning in any target. All features, since a test behind a feature is code too.
pub(crate) fn clippy(workspace: &Workspace) -> Result<String> {
    install::component("clippy", "clippy")?;
    let what = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    workspace.cargo().args(what).run()?;
    Ok(String::new())
}

/// The documentation builds without a warning, what stands behind a feature included.
pub(crate) fn docs(workspace: &Workspace) -> Result<String> {
    workspace
        .cargo()
        .args(["doc", "--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    Ok(String::new())
}

/// Every test but those that have a part of their own. Cargo knows no "all but", so the integration tests are named.
pub(crate) fn unit(workspace: &Workspace) -> Result<String> {
    let tests = shared_integration_tests(workspace);
    let named = tests.iter().flat_map(|name| ["--test", name]);
    let units = workspace.cargo().args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--examples"]);
    let units = units.args(named).run_and_keep();
    // Benches, each once: what measures must work.
    let benches = workspace.cargo().args(["test", "--workspace", "--no-fail-fast", "--bench", "*"]).run();
    // Documentation tests run even after a failure: one run shows everything.
    let documentation = workspace.cargo().args(["test", "--workspace", "--no-fail-fast", "--doc"]).run_and_keep();
    let (units, documentation) = (Count::of(&units?), Count::of(&documentation?));
    benches?;
    for (package, test) in [("durable-object-groups-testing", "alarms"), ("durable-object-groups-native", "tracing")] {
        twins_are_refused(workspace, workspace.cargo().args(["rustc", "-p", package, "--test", test]))?;
    }
    Ok(format!("{units}; documentation: {documentation}; benches run"))
}

/// An App with two Groups of one name, which that target has with `--cfg twins`, does not compile: for this one reason.
pub(crate) fn twins_are_refused(workspace: &Workspace, build: Step) -> Result<()> {
    let said = workspace.scratch("twins.log");
    fs::create_dir_all(workspace.scratch(""))?;
    let refused = build.args(["--", "--cfg", "twins"]).errors_to(File::create(&said)?).run_to_end()?;
    let said = fs::read_to_string(&said)?;
    let errors = said.lines().filter(|line| line.starts_with("error[")).count();
    let by_name = said.contains("have the same Group::NAME") && errors == 1;
    ensure!(!refused.success() && by_name, "two Groups of one name were to be refused, and for that alone:\n{said}");
    Ok(())
}

/// The conformance suite on every host that needs nothing installed. With the whole workspace, though one package has
/// the target: cargo then picks the same features as for `unit` and builds nothing twice.
pub(crate) fn conformance(workspace: &Workspace) -> Result<String> {
    let output = workspace.cargo().args(["test", "--workspace", "--test", "conformance"]).run_and_keep()?;
    Ok(Count::of(&output).to_string())
}

/// What a delivery takes, counted. Most of it is seen by `strace`, if that may look: what it could not see is in the note.
pub(crate) fn counting(workspace: &Workspace) -> Result<String> {
    install::programs(&[("strace", "strace")])?;
    let what = ["test", "--workspace", "--test", "counting", "--", "--nocapture"];
    let output = workspace.cargo().args(what).run_and_keep()?;
    let not_run = output.lines().filter_map(|line| Some(line.split_once("*** ")?.1.trim_end_matches([' ', '*'])));
    let notes = not_run.map(str::to_owned).chain([Count::of(&output).to_string()]);
    Ok(notes.collect::<Vec<_>>().join("; "))
}

/// The fan-out of the relay beside its floor.
pub(crate) fn bench_relay(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let step = workspace.cargo().args(["run", "--release", "-p", "dog-benches", "--bin", "fanout", "--"]);
    step.args(arguments).limit(BENCH_LIMIT).run()
}

fn shared_integration_tests(workspace: &Workspace) -> BTreeSet<&str> {
    let tests = workspace.packages.iter().flat_map(|package| &package.integration_tests).map(String::as_str);
    tests.filter(|test| PARTS.iter().all(|part| part.name != *test)).collect()
}

/// How many tests a run of cargo's test harness ran.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Count {
    passed: u32,
    ignored: u32,
}

impl Count {
    /// Adds up the lines `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn of(output: &str) -> Self {
        let results = output.lines().filter_map(|line| line.trim().strip_prefix("test result: "));
        results.fold(Self::default(), |sum, line| Self {
            passed: sum.passed + number_before(line, "passed"),
            ignored: sum.ignored + number_before(line, "ignored"),
        })
    }

    /// Those that passed alone: where what is ignored belongs to another part.
    pub(crate) fn passed(&self) -> String {
        format!("{} passed", self.passed)
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} passed", self.passed)?;
        if self.ignored > 0 {
            write!(formatter, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

fn number_before(line: &str, word: &str) -> u32 {
    let mut words = line.split([' ', ';', '.']).filter(|part| !part.is_empty()).rev();
    words.find(|part| *part == word);
    words.next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn tests_are_counted_over_all_targets() {
        let output = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
            test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        assert_eq!(Count::of(output), Count { passed: 43, ignored: 1 });
        assert_eq!(Count::of(output).to_string(), "43 passed, 1 ignored");
        assert_eq!(Count::of("no tests at all"), Count::default());
    }

    #[test]
    fn a_test_with_a_part_of_its_own_is_left_to_that_part() {
        let package = |tests: &[&str]| Package {
            name: "any".to_owned(),
            dependencies: Vec::new(),
            integration_tests: tests.iter().map(ToString::to_string).collect(),
        };
        let packages = vec![package(&["front", "conformance"]), package(&["front", "browser", "axum"])];
        let workspace = Workspace { root: "/w".into(), target: "/w/target".into(), packages };
        assert_eq!(shared_integration_tests(&workspace).into_iter().collect::<Vec<_>>(), ["axum", "front"]);
    }
}
