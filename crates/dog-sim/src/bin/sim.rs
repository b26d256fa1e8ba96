//! Runs the simulation: `cargo xtask sim`.

use std::process::ExitCode;
use std::thread::available_parallelism;

use dog_sim::{Options, Summary, explore, explore_and_tell, explore_many};

const USAGE: &str = "sim [--seeds N] [--from F] [--seed S] [--bug NAME]
  --seeds N   so many runs, one a seed; 20000 without it
  --from F    the first of them is seed F; 0 without it
  --seed S    this one run, and all that happens in it
  --bug NAME  with this bug put in, to see that it is found";

/// So many runs, and then a word on how far it is.
const CHUNK: u64 = 10_000;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Wanted {
    seeds: u64,
    from: u64,
    seed: Option<u64>,
    options: Options,
}

impl Wanted {
    /// Reads the command line; the error is one line that says what is wrong with it.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self { seeds: 20_000, from: 0, seed: None, options: Options::default() };
        while let Some(name) = arguments.next() {
            if !["--seeds", "--from", "--seed", "--bug"].contains(&name.as_str()) {
                return Err(format!("there is no `{name}`"));
            }
            let value = arguments.next().ok_or_else(|| format!("{name}: a value is missing"))?;
            if name == "--bug" {
                wanted.options = wanted.options.bug(value.parse()?);
                continue;
            }
            let number: u64 = value.parse().map_err(|_| format!("{name}: `{value}` is no number"))?;
            match name.as_str() {
                "--seeds" => wanted.seeds = number,
                "--from" => wanted.from = number,
                _ => wanted.seed = Some(number),
            }
        }
        Ok(wanted)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let wanted = match Wanted::parse(arguments.into_iter()) {
        Ok(wanted) => wanted,
        Err(reason) => {
            eprintln!("sim: {reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let well = match wanted.seed {
        Some(seed) => replay(seed, wanted.options),
        None => run_all(&wanted),
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One run with its trace; true when no promise was broken.
fn replay(seed: u64, options: Options) -> bool {
    match explore(seed, options.trace()) {
        Ok(outcome) => {
            outcome.trace.iter().for_each(|line| println!("{line}"));
            println!("seed {seed}: no promise is broken: {} steps, {} handlers", outcome.steps, outcome.handled);
            true
        }
        Err(failure) => {
            println!("{failure}");
            false
        }
    }
}

/// All runs; then the trace of the first that failed, and what came of the others.
fn run_all(wanted: &Wanted) -> bool {
    let threads = available_parallelism().map_or(1, usize::from);
    let end = wanted.from.saturating_add(wanted.seeds);
    let (mut summary, mut next) = (Summary::default(), wanted.from);
    while next < end {
        let until = next.saturating_add(CHUNK).min(end);
        summary.add(explore_many(next..until, wanted.options, threads));
        next = until;
        println!("{} of {} seeds, {} findings", summary.runs, wanted.seeds, summary.failures.len());
    }
    let first = summary.failures.keys().next().copied();
    if let Some(Err(failure)) = first.map(|seed| explore_and_tell(seed, wanted.options)) {
        println!("{failure}");
    }
    for failure in summary.failures.values().skip(1).take(20) {
        println!("seed {}: promise {}: {}", failure.seed, failure.promise, failure.what);
    }
    println!("{summary}");
    summary.failures.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(line: &str) -> Result<Wanted, String> {
        Wanted::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read_in_any_order_and_wrong_ones_named() {
        let options = Options::default().bug("leaked-seat".parse().unwrap());
        let expected = Wanted { seeds: 5, from: 7, seed: None, options };
        assert_eq!(wanted("--bug leaked-seat --from 7 --seeds 5"), Ok(expected));
        assert_eq!(wanted("--seed 9").map(|wanted| wanted.seed), Ok(Some(9)));
        for (wrong, told) in
            [("--sed 5", "--sed"), ("--seeds", "missing"), ("--seeds x", "`x`"), ("--bug bee", "forgotten-books")]
        {
            let reason = wanted(wrong).unwrap_err();
            assert!(reason.contains(told), "{wrong}: {reason}");
        }
    }
}
