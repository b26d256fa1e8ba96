//! The command line that all families share: [`BenchOptions`], and what follows from it: [`Timing`].

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

/// The flags of every family.
#[derive(Args, Clone, Debug, Default)]
pub struct BenchOptions {
    /// Measure only this scenario; may be repeated
    #[arg(long, value_name = "SCENARIO")]
    pub only: Vec<String>,
    /// Measure only entrants whose name begins like this; may be repeated
    #[arg(long, value_name = "NAME")]
    pub entrant: Vec<String>,
    /// Measure one short round: shows that everything works, not what it costs
    #[arg(long)]
    pub quick: bool,
    /// Rounds [default: 3, or 1 with --quick]
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Seconds per measurement [default: all 2, tls 2, cluster 1.5, relay 5, workers 4; with --quick 0.5]
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Pin the load generator to the last processor and the servers to the others
    #[arg(long)]
    pub pin: bool,
    /// Continue the interrupted run in the file of --results
    #[arg(long, requires = "results")]
    pub resume: bool,
    /// Measure nothing: show the run in the file of --results again
    #[arg(long, requires = "results")]
    pub render: bool,
    /// List the scenarios
    #[arg(long)]
    pub list: bool,
    /// Keep every sample in this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// Write the report into this document
    #[arg(long, value_name = "FILE")]
    pub document: Option<PathBuf>,
}

/// How often and how long each entrant is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Rounds.
    pub rounds: usize,
    /// How long clients send before anything is counted: a quarter of `measured`, one second at most.
    pub warm_up: Duration,
    /// How long is counted.
    pub measured: Duration,
}

impl BenchOptions {
    /// The timing of a family whose measurements take `seconds` by default.
    ///
    /// # Errors
    /// When a flag is out of range.
    pub fn timing(&self, seconds: f64) -> Result<Timing> {
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { 3 });
        let seconds = self.seconds.unwrap_or(if self.quick { 0.5 } else { seconds });
        ensure!((1..=100).contains(&rounds), "--rounds: give 1 to 100");
        ensure!((0.05..=600.0).contains(&seconds), "--seconds: give 0.05 to 600");
        let measured = Duration::from_secs_f64(seconds);
        Ok(Timing { rounds, warm_up: (measured / 4).min(Duration::from_secs(1)), measured })
    }

    /// Whether the flags select this scenario.
    pub fn selects_scenario(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Whether the flags select this entrant.
    pub fn selects_entrant(&self, name: &str) -> bool {
        self.entrant.is_empty() || self.entrant.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_is_one_short_round_unless_told_otherwise() {
        let quick = BenchOptions { quick: true, ..BenchOptions::default() };
        let timing = quick.timing(2.0).unwrap();
        assert_eq!((timing.rounds, timing.measured), (1, Duration::from_millis(500)));
        let timing = BenchOptions { seconds: Some(8.0), ..quick }.timing(2.0).unwrap();
        assert_eq!((timing.warm_up, timing.measured), (Duration::from_secs(1), Duration::from_secs(8)));
        assert!(BenchOptions { rounds: Some(0), ..BenchOptions::default() }.timing(2.0).is_err());
        assert!(BenchOptions { seconds: Some(f64::NAN), ..BenchOptions::default() }.timing(2.0).is_err());
    }

    #[test]
    fn scenarios_are_selected_by_name_and_entrants_by_prefix() {
        let all = BenchOptions::default();
        assert!(all.selects_scenario("one") && all.selects_entrant("ours"));
        let some = BenchOptions { only: vec!["one".into()], entrant: vec!["our".into()], ..BenchOptions::default() };
        assert!(some.selects_scenario("one") && !some.selects_scenario("on"));
        assert!(some.selects_entrant("ours, 2 workers") && !some.selects_entrant("floor"));
    }
}
