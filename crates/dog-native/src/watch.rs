//! Whether the workers live: each tells of its turns, and of whose code it runs, in words that another thread can read.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dog::Epoch;
use dog_engine::address::{Object, ReplicaAddress};

use crate::worker::Shared;

/// What one worker tells. Plain stores to words that no other thread writes; a cache line of its own, so that nobody
/// slows the others.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Watched {
    /// When it last came round, in milliseconds of the server's life.
    beat: AtomicU64,
    /// Whose code runs: the number of a life, or zero.
    runs: AtomicU64,
    /// Which object each life on this worker is of. Touched when one begins or ends.
    lives: Mutex<HashMap<u64, Object>>,
}

/// Says that a worker has ended, and will not come round any more.
const ENDED: u64 = u64::MAX;

impl Watched {
    pub(crate) fn beats(&self, life: Duration) {
        self.beat.store(u64::try_from(life.as_millis()).unwrap_or(ENDED - 1), Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) {
        self.beat.store(ENDED, Ordering::Relaxed);
    }

    /// See [`dog_engine::host::Host::runs`].
    pub(crate) fn runs(&self, life: Option<Epoch>) -> Option<Epoch> {
        let before = self.runs.load(Ordering::Relaxed);
        self.runs.store(life.map_or(0, Epoch::as_u64), Ordering::Relaxed);
        (before != 0).then(|| Epoch::from_raw(before))
    }

    pub(crate) fn begun(&self, epoch: Epoch, object: Object) {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).insert(epoch.as_u64(), object);
    }

    pub(crate) fn ended(&self, epoch: Epoch) {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).remove(&epoch.as_u64());
    }

    /// How long it has not come round.
    pub(crate) fn silence(&self, life: Duration) -> Duration {
        life.saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }

    fn running(&self) -> Option<Object> {
        let life = self.runs.load(Ordering::Relaxed);
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).get(&life).copied()
    }
}

/// A worker that does not come round, and why as far as can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    pub(crate) worker: usize,
    silence: Duration,
    class: Option<&'static str>,
    object: Option<Object>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "worker {} has not come round for {} s, ", self.worker, self.silence.as_secs())?;
        let class = self.class.unwrap_or_default();
        match self.object {
            // Whole ids, for whoever has to find the object.
            Some(Object::Group(group)) => write!(formatter, "kept by the Group \"{class}\" {}", group.group),
            Some(Object::Replica(ReplicaAddress { group, replica })) => {
                write!(formatter, "kept by the Replica {replica} of the Group \"{class}\" {}", group.group)
            }
            None => formatter.write_str("kept by no object: by App::fetch, or its thread has ended"),
        }
    }
}

/// The workers that have not come round for the time that is configured.
pub(crate) fn stuck(shared: &Shared) -> Vec<Stuck> {
    let life = shared.life();
    let look = |(worker, watched): (usize, &Watched)| {
        let silence = watched.silence(life);
        if silence < shared.config.stuck_after {
            return None;
        }
        let object = watched.running();
        let class = object.and_then(|object| shared.class_names.get(usize::from(object.group().class.0)).copied());
        Some(Stuck { worker, silence, class, object })
    };
    shared.watched.iter().enumerate().filter_map(look).collect()
}
