//! [`Identity`]: which node this process currently is, and until when it may act as that node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dog_engine::address::NodeId;
use tokio::sync::watch;

use crate::clock::LeaseClock;
use crate::lease::LeaseDeadline;
use crate::stream::nonce;

/// The identity of this process in the cluster. It takes a new node id with each lease.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The node id. Zero while there is no lease.
    node: AtomicU64,
    deadline: LeaseDeadline,
    /// A random text in the leases that this process writes. It distinguishes them from leases of other processes.
    process: String,
    /// The last node id of this process whose lease another process ended.
    revoked: watch::Sender<NodeId>,
}

impl Identity {
    /// Creates an identity without a lease.
    pub(crate) fn new(clock: LeaseClock) -> Self {
        Self {
            node: AtomicU64::new(0),
            deadline: LeaseDeadline::new(clock),
            process: nonce(),
            revoked: watch::Sender::new(NodeId::default()),
        }
    }

    /// Returns the node id of this process. It is the default id while there is no lease.
    pub(crate) fn node(&self) -> NodeId {
        NodeId::from_raw(self.node.load(Ordering::Acquire))
    }

    /// Returns the random text in all leases of this process.
    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    /// Returns how long this process may still act as its node. Zero: it may not act.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.left()
    }

    /// Whether this process may act as its node.
    pub(crate) fn may_act(&self) -> bool {
        !self.deadline.left().is_zero()
    }

    /// Returns the deadline. The lease keeper sets it.
    pub(crate) fn deadline(&self) -> &LeaseDeadline {
        &self.deadline
    }

    /// Makes this process `node`, whose lease it has acquired.
    pub(crate) fn assume(&self, node: NodeId) {
        self.node.store(node.as_u64(), Ordering::Release);
    }

    /// Ends this process's time as a node: it may not act from now on.
    pub(crate) fn resign(&self) {
        self.node.store(0, Ordering::Release);
        self.deadline.end();
    }

    /// Records that another process has ended the lease of `node`. If this process is that node, it may not act from
    /// now on.
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
