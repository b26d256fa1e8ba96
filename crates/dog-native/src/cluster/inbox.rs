//! [`Inbox`]: messages and news from the cluster for this node.

use std::fmt;
use std::sync::Arc;

use dog::Timestamp;
use dog_engine::address::{NodeId, Object};

/// Receives messages and news from a cluster for this node. It can be called on any thread, and never blocks.
#[derive(Clone)]
pub struct Inbox(Arc<dyn Receive>);

/// The server's side of an [`Inbox`].
pub(crate) trait Receive: Send + Sync {
    fn messages(&self, bundle: &[u8]);
    fn node_gone(&self, node: NodeId);
    fn lease_lost(&self);
    fn rejoined(&self, node: NodeId);
    fn alarm(&self, object: Object, class: &str, at: Option<Timestamp>);
}

impl Inbox {
    pub(crate) fn new(receiver: impl Receive + 'static) -> Self {
        Self(Arc::new(receiver))
    }

    /// Passes on a bundle of node messages, exactly as another node gave it to [`Link::send`](super::Link::send).
    pub fn messages(&self, bundle: &[u8]) {
        self.0.messages(bundle);
    }

    /// Reports that a node has ended. The objects that lived there may live elsewhere from now on.
    pub fn node_gone(&self, node: NodeId) {
        self.0.node_gone(node);
    }

    /// The lease of this node is over. It has no id until it has [rejoined](Self::rejoined) again.
    pub fn lease_lost(&self) {
        self.0.lease_lost();
    }

    /// Reports that this node has a new lease, with a new id.
    pub fn rejoined(&self, node: NodeId) {
        self.0.rejoined(node);
    }

    /// Reports that the storage has the alarm of an object set to `at`, or not set. All nodes must be told, because one
    /// of them has to wake the object when no node has it.
    pub fn alarm(&self, object: Object, class: &str, at: Option<Timestamp>) {
        self.0.alarm(object, class, at);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Inbox")
    }
}
