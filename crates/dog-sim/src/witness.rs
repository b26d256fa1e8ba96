//! The handle to the [`RunRecord`] that the objects of a run have: [`Witness`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dog::ReplicaId;

use crate::gate::Gate;
use crate::record::RunRecord;

/// A handle to the record in the [`Env`](dog::Env) of the objects.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    record: Arc<Mutex<RunRecord>>,
    gate: Gate,
}

impl Witness {
    pub(crate) fn new(seed: u64, limit: u32, activations_fail: u32) -> Self {
        let record = Arc::new(Mutex::new(RunRecord::new(seed, limit, activations_fail)));
        Self { record, gate: Gate::default() }
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, RunRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds requests for the path `/gate`.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Records that a request of this client has a seat until the returned value is dropped. The client is not known if its id
    /// was generated.
    pub(crate) fn take_seat(&self, life: (ReplicaId, u64), client: Option<String>) -> InFlight {
        self.record().request_begins(life, client.as_deref());
        InFlight { witness: self.clone(), life, client }
    }
}

/// A request that has a seat.
#[derive(Debug)]
pub(crate) struct InFlight {
    witness: Witness,
    life: (ReplicaId, u64),
    client: Option<String>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.witness.record().seats().request_ends(self.life, self.client.as_deref());
    }
}
