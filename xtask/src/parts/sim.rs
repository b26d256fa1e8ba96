//! The part `sim` and the command `sim`: the simulation in `crates/dog-sim`.

use std::time::Duration;

use anyhow::Result;

use super::length::Length;
use crate::workspace::Workspace;

const PACKAGE: &str = "durable-object-groups-sim";

/// How many seeds the test command runs: half a minute on one core.
const SEEDS: &str = "10000";
/// How many it runs with `--all`.
const MANY_SEEDS: &str = "200000";

/// The feature that plants bugs.
const BUGS: &str = "durable-object-groups-sim/bugs";

const NORMAL: Duration = Duration::from_mins(10);
/// The command of that name may run for as long as its user wants.
const LONG: Duration = Duration::from_hours(24);

/// The beginnings of the line that sums up the seeds, and of the lines about the planted bugs that were found.
const SEEDS_LINE: &str = "sim: ";
const BUG_LINE: &str = "bug: ";

/// Builds the test. Its feature plants bugs in the engine, so cargo builds the engine once more.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    workspace.cargo_test().args(["--features", BUGS, "--test", "sim", "--no-run"]).run()
}

/// Runs the part.
pub(super) fn run(workspace: &Workspace, length: Length) -> Result<String> {
    let step = workspace.cargo_test().args(["--features", BUGS, "--test", "sim", "--", "--show-output"]);
    let step = step.env("DOG_SEEDS", length.choose(SEEDS, MANY_SEEDS)).limit(length.choose(NORMAL, LONG));
    Ok(note(&step.run_and_keep()?))
}

/// The command, optimised. `src/bin/sim.rs` reads its arguments.
pub(crate) fn long(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let what = ["run", "--release", "-p", PACKAGE, "--features", "bugs", "--bin", "sim", "--"];
    workspace.cargo().args(what).args(arguments).limit(LONG).run()
}

/// What the closing table says. The test harness may have printed the beginning of a line.
fn note(output: &str) -> String {
    let after = |begin| output.lines().filter_map(move |line| Some(line.split_once(begin)?.1));
    let bugs = after(BUG_LINE).count();
    after(SEEDS_LINE).map(|seeds| format!("{seeds}; {bugs} planted bugs found")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_tells_seeds_and_bugs() {
        let output = "test no_promise_is_broken ... sim: 10 seeds, 0 findings\nchecks\nbug: one\ntest x ... bug: two\n";
        assert_eq!(note(output), "10 seeds, 0 findings; 2 planted bugs found");
    }
}
