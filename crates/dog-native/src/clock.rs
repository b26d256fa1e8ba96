//! The time of one process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dog::Timestamp;

/// A monotonic clock. It reads the system's clock once, at the start, and does not follow later corrections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Self { started: Instant::now(), started_at: Timestamp::from_millis(millis) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }

    /// Returns how long it has run.
    pub(crate) fn uptime(&self) -> Duration {
        self.uptime_at(Instant::now())
    }

    /// Returns how long it had run at `moment`. This does not read the time again.
    pub(crate) fn uptime_at(&self, moment: Instant) -> Duration {
        moment.duration_since(self.started)
    }
}
