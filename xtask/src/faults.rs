//! The part `faults`: the native host's tests of that name, at length.

use anyhow::Result;

use crate::workspace::Workspace;

/// How often and how many: what a plain `cargo test` does a little of.
const LENGTHS: &[(&str, &str)] =
    &[("DOG_KILLS", "100"), ("DOG_CROWD", "10000"), ("DOG_STORM", "1000000"), ("DOG_DAMAGES", "1")];

/// What the tests print of what they could not do here.
const NOT_RUN: &str = "NOT RUN: ";

/// How the lines begin that sum a test up.
const SUMMARIES: &[&str] = &["kill: ", "full disk: ", "damage: ", "storm: "];

/// Runs the part. Optimised, because it counts in hundreds of thousands; one test after the other, because they weigh
/// their servers and fill their disks.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let what = ["test", "--release", "-p", "durable-object-groups-native", "--test", "faults", "--"];
    let mut step = workspace.cargo().args(what).args(["--nocapture", "--test-threads=1"]);
    for (name, value) in LENGTHS {
        step = step.env(name, value);
    }
    let output = step.run_and_keep()?;
    println!();
    SUMMARIES.iter().for_each(|begin| summaries(&output, begin).for_each(|line| println!("{line}")));
    Ok(note(&output))
}

/// The lines of a test that sum it up. The test harness may have begun them.
fn summaries<'a>(output: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    output
        .lines()
        .filter_map(move |line| line.find(begin).map(|at| &line[at..]))
        .filter(|line| !line.contains("DOG_SEED"))
}

/// What the closing table says: what was not run before all else.
fn note(output: &str) -> String {
    let not_run: Vec<&str> = summaries(output, NOT_RUN).map(|line| line.trim_end_matches([' ', '*'])).collect();
    let kills = summaries(output, "kill: ").last().and_then(|line| line.strip_prefix("kill: "));
    let notes = not_run.into_iter().chain(kills.and_then(|line| line.split(';').next()));
    notes.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_run_is_told_first() {
        let output = "test a ... kill: DOG_SEED=1\nkill: 100 kills survived; 9 writes\n\n*** NOT RUN: full disk: no mount ***\nok";
        assert_eq!(note(output), "NOT RUN: full disk: no mount; 100 kills survived");
        assert_eq!(note("ok"), "");
    }
}
