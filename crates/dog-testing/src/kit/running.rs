//! How far things go by themselves: while the clock stands still, for some time, or until something is there.

use std::time::Duration;

use dog::Timestamp;

use super::cluster::Cluster;
use crate::world::Micros;

/// How long, on the virtual clock, an answer is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

impl Cluster {
    /// Does all that can be done while the clock stands still: handlers run, messages arrive, until everybody waits for
    /// a client, or for time to pass.
    ///
    /// # Panics
    /// When that finds no end, within [`Builder::max_steps`](crate::Builder::max_steps): a task wakes itself again and
    /// again, or objects write to each other in a circle. (A handler that never returns, `loop {}`, cannot be told from
    /// one that is busy: it hangs the test.)
    #[track_caller]
    pub fn run(&self) {
        self.advance(Duration::ZERO);
    }

    /// Moves the clock on, and does all that happens meanwhile, each thing at its time.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let until = self.world.after(duration);
        let mut here = Here::default();
        while self.step(until, &mut here) {}
        self.world.agenda.go_on_to(until);
    }

    /// The virtual clock, as objects are told it. It begins at midnight before 2026-01-01, UTC.
    pub fn now(&self) -> Timestamp {
        self.world.agenda.now()
    }

    /// Runs until there is something, and no longer than [`PATIENCE`].
    #[track_caller]
    pub(super) fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let until = self.world.after(PATIENCE);
        let mut here = Here::default();
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if !self.step(until, &mut here) {
                return None;
            }
        }
    }

    #[track_caller]
    fn step(&self, until: Micros, here: &mut Here) -> bool {
        let more = self.world.step(until);
        here.count(self.world.agenda.micros());
        assert!(
            here.steps <= self.max_steps,
            "after {} steps the clock has not moved: does a task wake itself without end, or do objects write to each \
             other in a circle? The last to run was {}",
            self.max_steps,
            self.world.last_to_run(),
        );
        more
    }
}

/// The steps at one moment of the clock.
#[derive(Default)]
struct Here {
    at: Micros,
    steps: u64,
}

impl Here {
    fn count(&mut self, now: Micros) {
        if now != self.at {
            *self = Self { at: now, steps: 0 };
        }
        self.steps += 1;
    }
}
