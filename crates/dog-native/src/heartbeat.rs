//! [`Heartbeat`]: what a worker thread reports about itself to other threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dog::Epoch;
use dog_engine::address::Object;

/// The heartbeat of one worker. No other thread writes its words, and it has a cache line of its own, so that workers
/// do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Heartbeat {
    /// The time of the last beat, in milliseconds since the server started. The loop of a worker beats once per second.
    beat: AtomicU64,
    /// The epoch of the life whose code is running, or zero.
    runs: AtomicU64,
    /// The object of each life on this worker. It is locked when a life begins or ends, and by the watchdog.
    lives: Mutex<HashMap<u64, Object>>,
}

/// The value of `beat` after the worker has ended.
const ENDED: u64 = u64::MAX;

impl Heartbeat {
    /// Notes that the worker's loop is running, at `uptime` of the server.
    pub(crate) fn beats(&self, uptime: Duration) {
        self.beat.store(u64::try_from(uptime.as_millis()).unwrap_or(ENDED - 1), Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) {
        self.beat.store(ENDED, Ordering::Relaxed);
    }

    /// See [`HostObserver::runs`](dog_engine::host::HostObserver::runs).
    pub(crate) fn runs(&self, life: Option<Epoch>) -> Option<Epoch> {
        let before = self.runs.load(Ordering::Relaxed);
        self.runs.store(life.map_or(0, Epoch::as_u64), Ordering::Relaxed);
        (before != 0).then(|| Epoch::from_raw(before))
    }

    /// Notes that a life of an object begins on this worker.
    pub(crate) fn life_begins(&self, epoch: Epoch, object: Object) {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).insert(epoch.as_u64(), object);
    }

    pub(crate) fn life_ends(&self, epoch: Epoch) {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).remove(&epoch.as_u64());
    }

    /// Returns the time since the last beat.
    pub(crate) fn silence(&self, uptime: Duration) -> Duration {
        uptime.saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }

    /// Returns the object whose code is running.
    pub(crate) fn running(&self) -> Option<Object> {
        let life = self.runs.load(Ordering::Relaxed);
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).get(&life).copied()
    }
}
