//! What a Group knows of its clients when its host ends, for the life that comes after: promise 2 over a restart.

use dog::{ClientId, ReplicaId, Timestamp};

use super::Books;

/// Where a client is to come back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRecord {
    /// Who.
    pub client: ClientId,
    /// The Replica that it went to last.
    pub replica: ReplicaId,
    /// Since when it has had no seat. Of one that has a seat: now, for its socket ends with the host.
    pub since: Timestamp,
}

impl Books {
    /// Every client that is remembered, those that left first at the front.
    pub fn remembered(&self, now: Timestamp) -> Vec<ClientRecord> {
        self.clients.records(now)
    }

    /// Takes up what an earlier life remembered, to be forgotten when that life would have. To be called before anyone
    /// is placed; what this life knows already stays as it is.
    pub fn remember(&mut self, records: Vec<ClientRecord>, now: Timestamp) {
        self.clients.restore(records, now);
        self.clients.forget(now, self.policy.sticky_for);
    }
}
