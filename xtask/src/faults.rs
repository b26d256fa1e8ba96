//! The part `faults`: the native host's tests of that name, at length.

use anyhow::Result;

use crate::workspace::Workspace;

/// How often and how many: what a plain `cargo test` does a little of.
const LENGTHS: &[(&str, &str)] =
    &[("DOG_KILLS", "100"), ("DOG_CROWD", "10000"), ("DOG_STORM", "1000000"), ("DOG_DAMAGES", "1")];

/// What the tests print of what they could not do here.
const NOT_RUN: &str = "NOT RUN: ";

/// How the lines begin that sum a test up.
const SUMMARIES: &[&str] = &["kill: ", "full disk: ", "damage: ", "goodbye: ", "storm: ", MEMORY];

/// How those begin that weigh a server.
const MEMORY: &str = "memory: ";

/// Runs the part. Optimised, because it counts in hundreds of thousands; two tests at a time, as each waits for disks and
/// deadlines: what they weigh and kill are processes of their own.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let what = ["test", "--release", "-p", "durable-object-groups-native", "--test", "faults", "--"];
    let mut step = workspace.cargo().args(what).args(["--nocapture", "--test-threads=2"]);
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
    let not_run = summaries(output, NOT_RUN).map(|line| line.trim_end_matches([' ', '*']).to_owned());
    let headline = |begin: &'static str| summaries(output, begin).last().and_then(|line| first_clause(line, begin));
    let notes = not_run.chain(["kill: ", "storm: "].into_iter().filter_map(headline)).chain(tightest(output));
    notes.collect::<Vec<_>>().join("; ")
}

/// What a summary says up to its first semicolon.
fn first_clause(line: &str, begin: &str) -> Option<String> {
    Some(line.strip_prefix(begin)?.split(';').next()?.to_owned())
}

/// How near to its bound any server came.
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
