//! The idle time of one object, as plain state.

use std::cell::Cell;
use std::time::Duration;

use dog::Timestamp;

/// Since when an object has been idle, and what waits for it to hibernate: at most one timer and one task per object,
/// regardless of the number of events.
#[derive(Debug, Default)]
pub(super) struct IdleState {
    last_event: Cell<Timestamp>,
    timer_runs: Cell<bool>,
    waits_for_writes: Cell<bool>,
}

impl IdleState {
    pub(super) fn note_event(&self, now: Timestamp) {
        self.last_event.set(now);
    }

    /// Returns whether a timer has to be started: false while one runs.
    pub(super) fn begin_timer(&self) -> bool {
        !self.timer_runs.replace(true)
    }

    pub(super) fn end_timer(&self) {
        self.timer_runs.set(false);
    }

    /// How long until the object has been idle for `after`.
    pub(super) fn remaining(&self, after: Duration, now: Timestamp) -> Duration {
        after.saturating_sub(now.since(self.last_event.get()))
    }

    /// Returns whether a task has to be started that waits for the object's writes: false while one waits.
    pub(super) fn begin_wait_for_writes(&self) -> bool {
        !self.waits_for_writes.replace(true)
    }

    pub(super) fn end_wait_for_writes(&self) {
        self.waits_for_writes.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_counts_from_the_last_event_and_there_is_one_timer() {
        let (idle, after) = (IdleState::default(), Duration::from_secs(5));
        let remaining = |seconds: u64| idle.remaining(after, Timestamp::from_millis(seconds * 1000)).as_secs();
        idle.note_event(Timestamp::from_millis(10_000));
        assert_eq!((remaining(10), remaining(12), remaining(15), remaining(99)), (5, 3, 0, 0));
        idle.note_event(Timestamp::from_millis(12_000));
        assert_eq!((remaining(15), remaining(17)), (2, 0));
        assert!(idle.begin_timer() && !idle.begin_timer());
        idle.end_timer();
        assert!(idle.begin_timer());
        assert!(idle.begin_wait_for_writes() && !idle.begin_wait_for_writes());
    }
}
