//! [`LeaseKeeper`]: acquires a lease and renews it.

use std::sync::Arc;
use std::time::Duration;

use dog_engine::address::NodeId;
use tokio::time::{sleep, timeout};

use super::{Lease, LeaseStore};
use crate::faults::{Fault, is_planted};
use crate::identity::Identity;
use crate::stream::{RETRY_AFTER, StreamError, nonce};

/// Returns the part of a lease during which its node may act.
fn usable(time: Duration) -> Duration {
    if is_planted(Fault::UsesTheWholeLease) { time } else { time * 4 / 5 }
}

/// The result of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Done,
    /// Another process has deleted or replaced the lease.
    Revoked,
}

/// Renews the lease of one node id. Each acknowledged renewal extends the deadline of the [`Identity`].
pub(crate) struct LeaseKeeper {
    store: LeaseStore,
    identity: Arc<Identity>,
    node: NodeId,
    lease: Lease,
    time: Duration,
    /// The message number of the last stored renewal. Zero before the first one.
    sequence: u64,
    /// The nonce of each renewal without an answer, and when it was sent. Each of them may have been stored.
    unanswered: Vec<(String, Duration)>,
}

impl LeaseKeeper {
    /// Creates a keeper without a lease. [`Self::renew`] acquires the lease. `time` is the lease time.
    pub(crate) fn new(store: LeaseStore, identity: Arc<Identity>, node: NodeId, lease: Lease, time: Duration) -> Self {
        Self { store, identity, node, lease, time, sequence: 0, unanswered: Vec::new() }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Returns the message number of the last stored renewal.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Replaces the lease message by a new one.
    pub(crate) async fn renew(&mut self) -> Result<Renewal, StreamError> {
        self.lease.nonce = nonce();
        let sent = self.identity.deadline().now();
        self.unanswered.push((self.lease.nonce.clone(), sent));
        match self.store.replace(self.node, self.sequence, &self.lease).await {
            Ok(sequence) => {
                let sent = if is_planted(Fault::CountsFromTheAnswer) { self.identity.deadline().now() } else { sent };
                self.set_renewed(sequence, sent);
                Ok(Renewal::Done)
            }
            Err(StreamError::Conflict) => self.read_back().await,
            Err(error) => Err(error),
        }
    }

    fn set_renewed(&mut self, sequence: u64, sent: Duration) {
        let is_first = self.sequence == 0;
        self.sequence = sequence;
        self.unanswered.clear();
        let end = sent + usable(self.time);
        let deadline = self.identity.deadline();
        if is_first { deadline.begin(end) } else { deadline.extend(end) }
    }

    /// Reads the lease after a conflict. Either a renewal without an answer was stored, or another process has ended
    /// the lease.
    async fn read_back(&mut self) -> Result<Renewal, StreamError> {
        let Some((sequence, stored)) = self.store.read(self.node).await? else { return Ok(Renewal::Revoked) };
        let sent = self.unanswered.iter().find(|(nonce, _)| *nonce == stored.nonce).map(|(_, sent)| *sent);
        match sent {
            Some(sent) => {
                self.set_renewed(sequence, sent);
                Ok(Renewal::Done)
            }
            None if sequence == self.sequence => Err(StreamError::earlier_attempt_in_flight()),
            None => Ok(Renewal::Revoked),
        }
    }

    /// Renews the lease at each third of its time. Returns when the node may no longer act.
    pub(crate) async fn keep(&mut self) {
        let mut pause = self.time / 3;
        loop {
            sleep(pause.min(self.identity.time_left())).await;
            // The machine may have slept for longer than the pause.
            let left = self.identity.time_left();
            if left.is_zero() {
                return;
            }
            let Ok(renewed) = timeout(left, self.renew()).await else { return };
            pause = match renewed {
                Ok(Renewal::Done) => self.time / 3,
                Ok(Renewal::Revoked) => {
                    tracing::error!("another process has ended this node's lease");
                    return self.identity.deadline().end();
                }
                Err(error) => {
                    let left = self.identity.time_left();
                    tracing::warn!(
                        "the lease could not be renewed; it is valid for another {left:.1?}: {}",
                        error.text()
                    );
                    RETRY_AFTER
                }
            };
        }
    }

    /// Deletes the lease, so that other nodes need not wait until it ends.
    pub(crate) async fn give_back(&self) {
        if let Err(error) = self.store.delete(self.node, self.sequence).await {
            tracing::warn!("this node's lease could not be deleted; it expires by itself: {}", error.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_uses_four_fifths_of_its_lease() {
        assert_eq!(usable(Duration::from_secs(15)), Duration::from_secs(12));
    }
}
