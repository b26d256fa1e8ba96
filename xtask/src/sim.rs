//! The simulation (`crates/dog-sim`): as a part of the test command, and at length.

use std::time::Duration;

use anyhow::Result;

use crate::workspace::Workspace;

const PACKAGE: &str = "durable-object-groups-sim";

/// How many seeds the test command runs: half a minute on one core.
const SEEDS: &str = "10000";

/// Whoever asks for a million seeds knows how long that takes.
const LONG: Duration = Duration::from_hours(24);

/// How the line begins that sums up the seeds, and those that say where a bug was found.
const SEEDS_LINE: &str = "sim: ";
const BUG_LINE: &str = "bug: ";

/// Runs the part: the tests of that name. They need a feature that puts bugs into the engine, so they are built apart.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let what = ["test", "-p", PACKAGE, "--features", "bugs", "--test", "sim", "--", "--nocapture"];
    let output = workspace.cargo().args(what).env("DOG_SEEDS", SEEDS).run_and_keep()?;
    Ok(note(&output))
}

/// The command: as many seeds as it is told to run, optimised. What it can be told stands in `src/bin/sim.rs`.
pub(crate) fn long(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let what = ["run", "--release", "-p", PACKAGE, "--features", "bugs", "--bin", "sim", "--"];
    workspace.cargo().args(what).args(arguments).limit(LONG).run()
}

/// What the closing table says. The test harness may have begun a line.
fn note(output: &str) -> String {
    let after = |begin| output.lines().filter_map(move |line| Some(line.split_once(begin)?.1));
    let bugs = after(BUG_LINE).count();
    after(SEEDS_LINE).map(|seeds| format!("{seeds}; {bugs} bugs put in and found")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_tells_seeds_and_bugs() {
        let output = "test no_promise_is_broken ... sim: 10 seeds, 0 findings\nchecks\nbug: one\ntest x ... bug: two\n";
        assert_eq!(note(output), "10 seeds, 0 findings; 2 bugs put in and found");
    }
}
