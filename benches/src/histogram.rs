//! Many times, few bytes: a histogram with buckets of about one percent.

use std::time::Duration;

/// Buckets to each doubling, as a power of two.
const PRECISION: u32 = 6;

/// How often each time was seen. Recording one allocates nothing.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        // Room for every number of nanoseconds that 64 bits hold.
        let doublings = (u64::BITS - PRECISION + 1) as usize;
        Self { counts: vec![0; doublings << PRECISION], total: 0 }
    }
}

/// Up to 64 each number has its own bucket; from there on, each doubling is cut into 64.
fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(PRECISION + 1);
    let within = usize::try_from(nanos >> shift).unwrap_or(usize::MAX);
    ((shift as usize) << PRECISION) + within
}

/// The least number in a bucket.
fn lowest(bucket: usize) -> u64 {
    let shift = (bucket >> PRECISION).saturating_sub(1);
    ((bucket - (shift << PRECISION)) as u64) << shift
}

impl Histogram {
    /// Counts one more.
    pub fn record(&mut self, time: Duration) {
        self.counts[bucket(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))] += 1;
        self.total += 1;
    }

    /// The time that `share` of all (0 to 1) did not pass, to about one percent; zero if there are none.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a count is a count, and to about one percent"
    )]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        Duration::from_nanos(reached.map_or(0, lowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_near_its_lowest() {
        for nanos in (0..200).chain([1_000, 65_535, 65_536, 1 << 40, u64::MAX]) {
            let low = lowest(bucket(nanos));
            assert!(low <= nanos && nanos - low <= nanos / 64, "{nanos} in a bucket from {low}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        (1..=50).for_each(|nanos| histogram.record(Duration::from_nanos(nanos)));
        assert_eq!(histogram.quantile(0.5), Duration::from_nanos(25));
        assert_eq!(histogram.quantile(0.99), Duration::from_nanos(50));
        assert_eq!(histogram.quantile(0.0), Duration::from_nanos(1));
    }
}
