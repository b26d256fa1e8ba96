//! The part `door`: attacks on a real server that admits with tokens, and what its other clients see meanwhile.

use anyhow::Result;
use dog_test_support::nats::PROGRAM;

use super::cluster;
use super::count::Count;
use super::length::Length;
use crate::workspace::Workspace;

const TEST: &[&str] = &["--test", "door"];

/// The beginning of the lines with what was measured.
const MEASURED: &str = "door: ";

/// Installs the NATS server and builds the tests.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    cluster::nats_server(workspace)?;
    workspace.cargo_test().args(TEST).args(["--no-run"]).run()
}

/// Runs the part. One test after the other, so that what the other clients wait for is the attack.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let step = workspace.cargo_test().args(TEST).args(["--", "--show-output", "--test-threads=1"]);
    let output = step.env(PROGRAM, &cluster::nats_server(workspace)?).run_and_keep()?;
    println!();
    measured(&output).for_each(|line| println!("{line}"));
    Ok(Count::of(&output).passed())
}

/// The test harness may have printed the beginning of a line.
fn measured(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter_map(|line| line.find(MEASURED).map(|at| &line[at..]))
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_figure_is_found_behind_what_the_harness_prints() {
        let output = "running 1 test\ntest a ... door: a flood: 9 ms\nok";
        assert_eq!(measured(output).collect::<Vec<_>>(), ["door: a flood: 9 ms"]);
    }
}
