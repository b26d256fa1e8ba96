//! Many runs, on as many threads as are given.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::checks::Checks;
use crate::explore::{Failure, Options, Outcome, explore};

/// What came of many runs.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// How many there were.
    pub runs: u64,
    /// Steps of the executor and the clock, in the runs that went well.
    pub steps: u64,
    /// How often a handler of a socket ran in them.
    pub handled: u64,
    /// How often each promise was checked in them.
    pub checks: Checks,
    /// The runs in which a promise was broken, by their seeds.
    pub failures: BTreeMap<u64, Box<Failure>>,
}

impl Summary {
    /// Takes in another.
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.handled += other.handled;
        self.checks += other.checks;
        self.failures.extend(other.failures);
    }

    fn note(&mut self, seed: u64, run: Result<Outcome, Box<Failure>>) {
        self.runs += 1;
        match run {
            Ok(outcome) => {
                self.steps += outcome.steps;
                self.handled += outcome.handled;
                self.checks += outcome.checks;
            }
            Err(failure) => drop(self.failures.insert(seed, failure)),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, steps, handled, checks, failures } = self;
        write!(formatter, "{runs} seeds, {steps} steps, {handled} handlers, {} findings", failures.len())?;
        let mut promises: BTreeMap<u8, usize> = BTreeMap::new();
        failures.values().for_each(|failure| *promises.entry(failure.promise).or_default() += 1);
        for (promise, findings) in promises {
            write!(formatter, ", {findings} of promise {promise}")?;
        }
        write!(formatter, "\nchecks of each promise: {checks}")
    }
}

/// Runs all these seeds, on that many threads.
#[must_use]
pub fn explore_many(seeds: Range<u64>, options: Options, threads: usize) -> Summary {
    let (next, summary) = (AtomicU64::new(seeds.start), Mutex::new(Summary::default()));
    let work = || {
        let mut own = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break summary.lock().unwrap_or_else(PoisonError::into_inner).add(own);
            }
            own.note(seed, explore(seed, options));
        }
    };
    thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}
