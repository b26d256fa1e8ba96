//! [`LeaveSignal`]: asks the node to give its lease back, and waits until it has.

use tokio::sync::{Notify, watch};

/// Between the server, which asks the node to leave, and the node's own task.
#[derive(Debug, Default)]
pub(crate) struct LeaveSignal {
    requested: Notify,
    left: watch::Sender<bool>,
}

impl LeaveSignal {
    /// Asks the node to leave. Ends when it has left.
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

    /// The node has left.
    pub(crate) fn set_left(&self) {
        self.left.send_replace(true);
    }
}
