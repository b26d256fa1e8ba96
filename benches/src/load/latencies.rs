//! Latencies: [`Latencies`], a histogram of durations.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart: one hour. A longer one counts as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Significant decimal digits. Two keep the histogram at about 40 KB, which fits into a cache, with an error below 1 %.
const DIGITS: u8 = 2;

/// How often each latency was seen. Recording one allocates nothing.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("the bounds are in order"))
    }
}

impl Latencies {
    /// Counts one more.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST));
    }

    /// The latency that a share of all (0 to 1) does not exceed, within 1 %; zero if none was recorded.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        (1..=50).for_each(|nanos| latencies.record(Duration::from_nanos(nanos)));
        assert_eq!(latencies.quantile(0.5), Duration::from_nanos(25));
        assert_eq!(latencies.quantile(0.99), Duration::from_nanos(50));
        assert_eq!(latencies.quantile(0.0), Duration::from_nanos(1));
    }

    #[test]
    fn a_quantile_is_within_one_percent() {
        for nanos in [1_000, 65_535, 65_536, 1 << 40] {
            let mut latencies = Latencies::default();
            latencies.record(Duration::from_nanos(nanos));
            let found = u64::try_from(latencies.quantile(0.5).as_nanos()).unwrap();
            assert!(found.abs_diff(nanos) <= nanos / 100, "{nanos} was found as {found}");
        }
        let mut latencies = Latencies::default();
        latencies.record(Duration::MAX);
        assert!(latencies.quantile(0.5) >= Duration::from_nanos(LONGEST));
    }
}
