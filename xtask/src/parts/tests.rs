//! The parts `unit`, `conformance` and `counting`: tests that cargo builds together.

use std::collections::BTreeSet;

use anyhow::Result;

use super::count::Count;
use super::length::Length;
use super::twins;
use crate::provision::apt;
use crate::workspace::Workspace;

/// The integration tests that have a part of their own.
pub(super) const OTHER_PARTS: &[&str] =
    &["browser", "cluster", "conformance", "counting", "door", "faults", "packaging", "sdks", "sim", "workers"];

/// Those of them that are not built with the others: one is optimised, one has a feature that plants bugs.
const BUILT_APART: &[&str] = &["faults", "sim"];

/// Tells the benchmarks' smoke test where the relay's program is. Built alone, the relay would be compiled once more, because its
/// dependencies have fewer features then.
const RELAY: &str = "DOG_RELAY";

/// How many inputs `--all` gives to each property test.
const MANY_CASES: &str = "10000";

/// Builds what `unit` runs, and the other tests that use the same packages and features: one cargo command keeps all cores
/// busy to its end.
pub(super) fn build(workspace: &Workspace) -> Result<()> {
    let targets = ["--no-run", "--lib", "--bins", "--examples", "--bench", "*", "--test", "browser"];
    let tests = integration_tests(workspace, BUILT_APART);
    let tests = tests.iter().flat_map(|name| ["--test", name]);
    workspace.cargo_test().args(targets).args(tests).run()
}

/// Every test that has no part of its own. Cargo cannot exclude a test target, so the integration tests are named.
pub(super) fn unit(workspace: &Workspace, length: Length) -> Result<String> {
    let tests = integration_tests(workspace, OTHER_PARTS);
    let units = workspace.cargo_test().args(["--no-fail-fast", "--lib", "--bins", "--examples"]);
    let units = units.args(tests.iter().flat_map(|name| ["--test", name]));
    // The relay's own integration test has cargo build it.
    let units = units.env(RELAY, &workspace.program("relay").to_string_lossy());
    let units =
        length.choose(None, Some(MANY_CASES)).into_iter().fold(units, |step, cases| step.env("PROPTEST_CASES", cases));
    let units = units.run_and_keep();
    // Each benchmark once, to see that it works.
    let benches = workspace.cargo_test().args(["--no-fail-fast", "--bench", "*"]).run();
    let documentation = workspace.cargo_test().args(["--no-fail-fast", "--doc"]).run_and_keep();
    // All of them ran, whatever failed: one run shows everything.
    let (units, documentation) = (Count::of(&units?), Count::of(&documentation?));
    benches?;
    twins::are_refused(workspace)?;
    Ok(format!("{units}; documentation: {documentation}; benches run"))
}

/// The conformance suite on every host that needs nothing installed.
pub(super) fn conformance(workspace: &Workspace, _: Length) -> Result<String> {
    let output = workspace.cargo_test().args(["--test", "conformance"]).run_and_keep()?;
    Ok(Count::of(&output).to_string())
}

/// Installs the program that counts system calls.
pub(super) fn prepare_counting(_: &Workspace) -> Result<()> {
    apt::programs(&[("strace", "strace")])
}

/// What a delivery takes. Where `strace` may not trace, the note says what was not counted.
pub(super) fn counting(workspace: &Workspace, _: Length) -> Result<String> {
    let output = workspace.cargo_test().args(["--test", "counting", "--", "--show-output"]).run_and_keep()?;
    let not_run = output.lines().filter_map(|line| Some(line.split_once("*** ")?.1.trim_end_matches([' ', '*'])));
    let notes = not_run.map(str::to_owned).chain([Count::of(&output).to_string()]);
    Ok(notes.collect::<Vec<_>>().join("; "))
}

/// The names of the integration tests that need no feature, but these.
fn integration_tests<'a>(workspace: &'a Workspace, but: &[&str]) -> BTreeSet<&'a str> {
    let tests = workspace.packages.iter().flat_map(|package| &package.integration_tests).map(String::as_str);
    tests.filter(|test| !but.contains(test)).collect()
}

#[cfg(test)]
mod unit_tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn a_test_with_a_part_of_its_own_is_left_to_that_part() {
        let package = |tests: &[&str]| Package {
            name: "any".to_owned(),
            dependencies: Vec::new(),
            integration_tests: tests.iter().map(ToString::to_string).collect(),
        };
        let packages = vec![package(&["front", "conformance"]), package(&["front", "browser", "axum"])];
        let workspace = Workspace { root: "/w".into(), target: "/w/target".into(), packages };
        let names = |but| integration_tests(&workspace, but).into_iter().collect::<Vec<_>>();
        assert_eq!(names(OTHER_PARTS), ["axum", "front"]);
        assert_eq!(names(BUILT_APART), ["axum", "browser", "conformance", "front"]);
    }
}
