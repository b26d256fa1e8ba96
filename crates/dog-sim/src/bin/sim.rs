//! Runs the simulation: `cargo xtask sim`.

use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser;
use dog_sim::{Bug, Options, RunSummary, explore, explore_many, explore_with_trace};

/// The number of runs after which the command prints its progress.
const CHUNK: u64 = 10_000;

/// The number of findings that are listed after the first.
const LISTED: usize = 20;

/// Runs the simulation, one run per seed, and checks the promises of DESIGN.md.
#[derive(Debug, Parser, PartialEq)]
#[command(name = "sim")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "F", default_value_t = 0)]
    from: u64,
    /// Run only this seed, and print everything that happens in it.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Plant this bug, to see that it is found.
    #[arg(long, value_name = "NAME")]
    bug: Option<Bug>,
}

impl Arguments {
    fn options(&self) -> Options {
        self.bug.map_or_else(Options::default, |bug| Options::default().bug(bug))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_well = match arguments.seed {
        Some(seed) => repeat(seed, arguments.options()),
        None => run_all(&arguments),
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one seed with its trace. Returns whether no promise was broken.
fn repeat(seed: u64, options: Options) -> bool {
    match explore(seed, options.trace()) {
        Ok(outcome) => {
            outcome.trace.iter().for_each(|line| println!("{line}"));
            println!("seed {seed}: no promise is broken: {} steps, {} handlers", outcome.steps, outcome.handled);
            true
        }
        Err(finding) => {
            println!("{finding}");
            false
        }
    }
}

/// Runs all seeds. Prints the trace of the first finding and lists the others. Returns whether no promise was broken.
fn run_all(arguments: &Arguments) -> bool {
    let threads = available_parallelism().map_or(1, usize::from);
    let (options, end) = (arguments.options(), arguments.from.saturating_add(arguments.seeds));
    let (mut summary, mut next) = (RunSummary::default(), arguments.from);
    while next < end {
        let until = next.saturating_add(CHUNK).min(end);
        summary.add(explore_many(next..until, options, threads));
        next = until;
        println!("{} of {} seeds, {} findings", summary.runs, arguments.seeds, summary.findings.len());
    }
    let first = summary.findings.keys().next().copied();
    if let Some(Err(finding)) = first.map(|seed| explore_with_trace(seed, options)) {
        println!("{finding}");
    }
    for finding in summary.findings.values().skip(1).take(LISTED) {
        println!("seed {}: promise {}: {}", finding.seed, finding.promise, finding.what);
    }
    println!("{summary}");
    summary.findings.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("sim").chain(line.split_whitespace()))
    }

    #[test]
    fn arguments_come_in_any_order_and_wrong_ones_are_named() {
        let expected = Arguments { seeds: 5, from: 7, seed: None, bug: Some(Bug::LeakedSeat) };
        assert_eq!(parsed("--bug leaked-seat --from 7 --seeds 5").unwrap(), expected);
        assert_eq!(parsed("--seed 9").unwrap().seed, Some(9));
        for (wrong, named) in
            [("--sed 5", "--sed"), ("--seeds", "--seeds"), ("--seeds x", "'x'"), ("--bug bee", "forgotten-books")]
        {
            let reason = parsed(wrong).unwrap_err().to_string();
            assert!(reason.contains(named), "{wrong}: {reason}");
        }
    }
}
