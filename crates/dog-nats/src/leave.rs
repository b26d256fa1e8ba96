//! [`LeaveSignal`]: asks the node to delete its lease, and waits until it has done so.

use tokio::sync::{Notify, watch};

/// The signal from the server, which asks the node to leave, to the node's task, and its answer.
#[derive(Debug, Default)]
pub(crate) struct LeaveSignal {
    requested: Notify,
    left: watch::Sender<bool>,
}

impl LeaveSignal {
    /// Asks the node to leave. Returns when it has left.
    pub(crate) async fn leave(&self) {
        let mut left = self.left.subscribe();
        self.requested.notify_one();
        // The sender lives as long as `self`.
        let _ = left.wait_for(|left| *left).await;
    }

    /// Waits until the node is asked to leave.
    pub(crate) async fn requested(&self) {
        self.requested.notified().await;
    }

    /// Records that the node has left, and wakes those who wait for that.
    pub(crate) fn set_left(&self) {
        self.left.send_replace(true);
    }
}
