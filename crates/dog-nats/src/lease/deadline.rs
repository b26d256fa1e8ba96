//! [`LeaseDeadline`]: the time until which this node may act.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::LeaseClock;

/// The time until which this node may act. Any thread can read it without a lock.
#[derive(Debug, Default)]
pub(crate) struct LeaseDeadline {
    clock: LeaseClock,
    /// In nanoseconds of the lease clock. Zero while there is no lease.
    ends: AtomicU64,
}

impl LeaseDeadline {
    /// Creates a deadline without a lease.
    pub(crate) fn new(clock: LeaseClock) -> Self {
        Self { clock, ends: AtomicU64::new(0) }
    }

    /// Returns the present time of the lease clock.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Returns how long the node may still act. Zero: it may not act.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_nanos(self.ends.load(Ordering::Acquire)).saturating_sub(self.clock.now())
    }

    /// Begins a new lease: its node may act until `end`.
    pub(crate) fn begin(&self, end: Duration) {
        self.ends.store(nanoseconds(end), Ordering::Release);
    }

    /// Extends the lease to `end`, after a renewal. Does nothing after [`Self::end`].
    pub(crate) fn extend(&self, end: Duration) {
        let extended = |ends| (ends != 0).then(|| nanoseconds(end));
        let _ = self.ends.fetch_update(Ordering::AcqRel, Ordering::Acquire, extended);
    }

    /// Ends the lease.
    pub(crate) fn end(&self) {
        self.ends.store(0, Ordering::Release);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_begins_ended_and_a_late_renewal_does_not_revive_it() {
        let deadline = LeaseDeadline::default();
        assert!(deadline.left().is_zero());
        deadline.begin(deadline.now() + Duration::from_secs(9));
        assert!(!deadline.left().is_zero());
        deadline.extend(deadline.now() + Duration::from_secs(99));
        assert!(deadline.left() > Duration::from_secs(9));
        deadline.end();
        assert!(deadline.left().is_zero());
        deadline.extend(deadline.now() + Duration::from_secs(9));
        assert!(deadline.left().is_zero(), "a late answer to a renewal does not revive the lease");
    }
}
