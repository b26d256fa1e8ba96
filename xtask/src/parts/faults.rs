//! The part `faults`: the native host's tests of that name, with more and larger faults than `cargo test` uses.

use std::time::Duration;

use anyhow::Result;

use super::length::Length;
use crate::workspace::Workspace;

/// How many kills, clients of a crowd, clients of a storm, and rounds of damage.
const NORMAL: &[(&str, &str)] =
    &[("DOG_KILLS", "100"), ("DOG_CROWD", "10000"), ("DOG_STORM", "1000000"), ("DOG_DAMAGES", "1")];
/// The same with `--all`.
const LONG: &[(&str, &str)] =
    &[("DOG_KILLS", "1000"), ("DOG_CROWD", "10000"), ("DOG_STORM", "5000000"), ("DOG_DAMAGES", "10")];

const NORMAL_LIMIT: Duration = Duration::from_mins(20);
const LONG_LIMIT: Duration = Duration::from_hours(4);

/// The beginning of the lines that say what could not be tested on this machine.
const NOT_RUN: &str = "NOT RUN: ";

/// The beginnings of the lines that sum up a test.
const SUMMARIES: &[&str] = &["kill: ", "full disk: ", "damage: ", "goodbye: ", "storm: ", MEMORY];

/// The beginning of those about a server's memory.
const MEMORY: &str = "memory: ";

/// Builds the tests.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    workspace.build_optimised()
}

/// Runs the part. Two tests run at a time: most of them wait for disks and deadlines, and the servers that they measure and
/// kill are processes of their own.
pub(super) fn run(workspace: &Workspace, length: Length) -> Result<String> {
    let step = workspace.optimised_test().args(["--test", "faults", "--", "--show-output", "--test-threads=2"]);
    let mut step = step.limit(length.choose(NORMAL_LIMIT, LONG_LIMIT));
    for (name, value) in length.choose(NORMAL, LONG) {
        step = step.env(name, value);
    }
    let output = step.run_and_keep()?;
    println!();
    SUMMARIES.iter().for_each(|begin| summaries(&output, begin).for_each(|line| println!("{line}")));
    Ok(note(&output))
}

/// The lines that sum up a test. The test harness may have printed the beginning of a line.
fn summaries<'a>(output: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    output
        .lines()
        .filter_map(move |line| line.find(begin).map(|at| &line[at..]))
        .filter(|line| !line.contains("DOG_SEED"))
}

/// What the closing table says. What was not tested comes first.
fn note(output: &str) -> String {
    let not_run = summaries(output, NOT_RUN).map(|line| line.trim_end_matches([' ', '*']).to_owned());
    let headline = |begin: &'static str| summaries(output, begin).last().and_then(|line| first_clause(line, begin));
    let notes = not_run.chain(["kill: ", "storm: "].into_iter().filter_map(headline)).chain(tightest(output));
    notes.collect::<Vec<_>>().join("; ")
}

/// A summary up to its first semicolon.
fn first_clause(line: &str, begin: &str) -> Option<String> {
    Some(line.strip_prefix(begin)?.split(';').next()?.to_owned())
}

/// How close to its memory bound any server came.
fn tightest(output: &str) -> Option<String> {
    let percent = |line: &str| line.strip_prefix(MEMORY)?.split('%').next()?.parse::<u32>().ok();
    let all: Vec<u32> = summaries(output, MEMORY).filter_map(percent).collect();
    Some(format!("{} memory bounds kept, at most {}% used", all.len(), all.iter().max()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_run_is_told_first() {
        let output = "test a ... kill: DOG_SEED=1\nkill: 100 kills survived; 9 sockets\n\n*** NOT RUN: full disk: no mount \
            ***\nok\nmemory: 9% of its bound\nmemory: 71% of its bound, x\nstorm: 7 came";
        let expected =
            "NOT RUN: full disk: no mount; 100 kills survived; 7 came; 2 memory bounds kept, at most 71% used";
        assert_eq!(note(output), expected);
        assert_eq!(note("ok"), "");
    }
}
