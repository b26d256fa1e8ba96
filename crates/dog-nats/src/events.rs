//! [`Events`]: what a node reports to its server.

use dog::Timestamp;
use dog_engine::address::{NodeId, Object};
use dog_native::cluster::Inbox;

/// Receives the events of the cluster. No method blocks.
pub(crate) trait Events: Send + Sync {
    /// This process has acquired a new lease, as `node`.
    fn joined(&self, node: NodeId);

    /// This process has lost its lease.
    fn lost(&self);

    /// Another node has left the cluster.
    fn gone(&self, node: NodeId);

    /// The stored alarm of an object has changed. `class` is empty if no alarm is set.
    fn alarm(&self, object: Object, class: &str, at: Option<Timestamp>);

    /// Another node has sent a bundle of node messages.
    fn messages(&self, bundle: &[u8]);
}

impl Events for Inbox {
    fn joined(&self, node: NodeId) {
        Self::rejoined(self, node);
    }

    fn lost(&self) {
        Self::lease_lost(self);
    }

    fn gone(&self, node: NodeId) {
        Self::node_gone(self, node);
    }

    fn alarm(&self, object: Object, class: &str, at: Option<Timestamp>) {
        Self::alarm(self, object, class, at);
    }

    fn messages(&self, bundle: &[u8]) {
        Self::messages(self, bundle);
    }
}
