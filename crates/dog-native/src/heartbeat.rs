//! What a worker thread tells about itself to other threads: when it last came round, and whose code it runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dog::Epoch;
use dog_engine::address::Object;

/// The heartbeat of one worker. It consists of plain stores to words that no other thread writes, in a cache line of their
/// own, so that workers do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Heartbeat {
    /// When the worker last came round, in milliseconds since the server started.
    beat: AtomicU64,
    /// Whose code runs: the epoch of a life, or zero.
    runs: AtomicU64,
    /// The object of each life on this worker. It is locked only when a life begins or ends.
    lives: Mutex<HashMap<u64, Object>>,
}

/// The beat of a worker that has ended and will not come round again.
const ENDED: u64 = u64::MAX;

impl Heartbeat {
    /// The worker comes round, at `uptime` of the server.
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

    /// A life of an object begins on this worker.
    pub(crate) fn life_begins(&self, epoch: Epoch, object: Object) {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).insert(epoch.as_u64(), object);
    }

    pub(crate) fn life_ends(&self, epoch: Epoch) {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).remove(&epoch.as_u64());
    }

    /// How long the worker has not come round.
    pub(crate) fn silence(&self, uptime: Duration) -> Duration {
        uptime.saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }

    /// The object whose code runs now.
    pub(crate) fn running(&self) -> Option<Object> {
        let life = self.runs.load(Ordering::Relaxed);
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).get(&life).copied()
    }
}
