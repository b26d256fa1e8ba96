//! [`Identity`]: which node this process is at present, and until when it may act as that node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dog_engine::address::NodeId;
use tokio::sync::watch;

use crate::clock::LeaseClock;
use crate::lease::LeaseDeadline;
use crate::stream::nonce;

/// Who this process is in the cluster. It takes a new node id with every lease.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Zero while there is no lease.
    node: AtomicU64,
    deadline: LeaseDeadline,
    /// Tells leases that this process wrote from those of other processes.
    process: String,
    /// The last node id of this process whose lease another process ended.
    revoked: watch::Sender<NodeId>,
}

impl Identity {
    /// Without a lease.
    pub(crate) fn new(clock: LeaseClock) -> Self {
        Self {
            node: AtomicU64::new(0),
            deadline: LeaseDeadline::new(clock),
            process: nonce(),
            revoked: watch::Sender::new(NodeId::default()),
        }
    }

    /// The node id of this process; the default one while it has no lease.
    pub(crate) fn node(&self) -> NodeId {
        NodeId::from_raw(self.node.load(Ordering::Acquire))
    }

    /// A random text that stands in all leases of this process.
    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    /// How long this process may still act as its node; zero once it may not.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.left()
    }

    /// Whether this process may act as its node.
    pub(crate) fn may_act(&self) -> bool {
        !self.deadline.left().is_zero()
    }

    /// The deadline, for the keeper of the lease to set.
    pub(crate) fn deadline(&self) -> &LeaseDeadline {
        &self.deadline
    }

    /// From now on this process is `node`, whose lease it has acquired.
    pub(crate) fn assume(&self, node: NodeId) {
        self.node.store(node.as_u64(), Ordering::Release);
    }

    /// From now on this process is no node and may not act.
    pub(crate) fn resign(&self) {
        self.node.store(0, Ordering::Release);
        self.deadline.end();
    }

    /// Another process has ended the lease of `node`, which this process was: it may not act from now on.
    pub(crate) fn revoke(&self, node: NodeId) {
        self.deadline.end();
        self.revoked.send_replace(node);
    }

    /// Waits until another process ends the lease of `node`.
    pub(crate) async fn revoked(&self, node: NodeId) {
        // The sender lives as long as `self`.
        let _ = self.revoked.subscribe().wait_for(|revoked| *revoked == node).await;
    }
}
