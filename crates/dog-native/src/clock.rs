//! The time of one process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dog::Timestamp;

/// The time, which never goes back: what the wall clock does after the start is not followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    began_at: Timestamp,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Self { began: Instant::now(), began_at: Timestamp::from_millis(millis) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.began_at + self.began.elapsed()
    }

    /// How long it has run.
    pub(crate) fn life(&self) -> Duration {
        self.life_at(Instant::now())
    }

    /// How long it had run at that moment, without another look at the time.
    pub(crate) fn life_at(&self, moment: Instant) -> Duration {
        moment.duration_since(self.began)
    }
}
