//! Many runs, on several threads.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::checks::Checks;
use crate::explore::{Finding, Options, RunOutcome, explore};

/// The results of many runs.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RunSummary {
    /// The number of runs.
    pub runs: u64,
    /// The number of steps of the executor and the clock, in runs without a finding.
    pub steps: u64,
    /// How often a handler of a socket ran in those runs.
    pub handled: u64,
    /// How often each promise was checked in those runs.
    pub checks: Checks,
    /// The runs in which a promise was broken, by seed.
    pub findings: BTreeMap<u64, Box<Finding>>,
}

impl RunSummary {
    /// Adds another summary.
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.handled += other.handled;
        self.checks += other.checks;
        self.findings.extend(other.findings);
    }

    fn note(&mut self, seed: u64, run: Result<RunOutcome, Box<Finding>>) {
        self.runs += 1;
        match run {
            Ok(outcome) => {
                self.steps += outcome.steps;
                self.handled += outcome.handled;
                self.checks += outcome.checks;
            }
            Err(finding) => drop(self.findings.insert(seed, finding)),
        }
    }
}

impl fmt::Display for RunSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, steps, handled, checks, findings } = self;
        write!(formatter, "{runs} seeds, {steps} steps, {handled} handlers, {} findings", findings.len())?;
        let mut promises: BTreeMap<u8, usize> = BTreeMap::new();
        findings.values().for_each(|finding| *promises.entry(finding.promise).or_default() += 1);
        for (promise, findings) in promises {
            write!(formatter, ", {findings} of promise {promise}")?;
        }
        write!(formatter, "\nchecks of each promise: {checks}")
    }
}

/// Runs these seeds on `threads` threads.
#[must_use]
pub fn explore_many(seeds: Range<u64>, options: Options, threads: usize) -> RunSummary {
    let (next, summary) = (AtomicU64::new(seeds.start), Mutex::new(RunSummary::default()));
    let work = || {
        let mut own = RunSummary::default();
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
