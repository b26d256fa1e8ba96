//! [`MemberWatcher`]: follows the leases of all nodes, and ends leases that are not renewed.

use std::sync::Arc;
use std::time::Duration;

use dog_engine::address::NodeId;
use futures_util::StreamExt;
use tokio::time::MissedTickBehavior;

use super::{Members, Overdue};
use crate::events::Events;
use crate::identity::Identity;
use crate::lease::{LeaseChange, LeaseStore};
use crate::stream::StreamError;

/// The pause after an error before the leases are followed again.
const FOLLOW_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Keeps [`Members`] up to date.
pub(crate) struct MemberWatcher {
    leases: LeaseStore,
    members: Arc<Members>,
    identity: Arc<Identity>,
    events: Arc<dyn Events>,
}

impl MemberWatcher {
    pub(crate) fn new(
        leases: LeaseStore,
        members: Arc<Members>,
        identity: Arc<Identity>,
        events: Arc<dyn Events>,
    ) -> Self {
        Self { leases, members, identity, events }
    }

    /// Follows the leases. Never returns.
    pub(crate) async fn follow(&self) {
        loop {
            if let Err(error) = self.follow_once().await {
                tracing::warn!("the leases of other nodes cannot be followed: {error}");
            }
            tokio::time::sleep(FOLLOW_AGAIN_AFTER).await;
        }
    }

    async fn follow_once(&self) -> Result<(), String> {
        let mut changes = self.leases.follow().await.map_err(|error| error.text().to_owned())?;
        while let Some(change) = changes.next().await {
            self.take(change?);
        }
        Err("the stream of leases has ended".into())
    }

    fn take(&self, LeaseChange { node, sequence, lease }: LeaseChange) {
        let is_own = |process: &str| process == self.identity.process();
        if node == self.identity.node() && !lease.as_ref().is_some_and(|lease| is_own(lease.process())) {
            tracing::error!("another process has ended this node's lease");
            self.identity.revoke(node);
        } else if let Some(lease) = lease {
            if self.members.address(node).is_none() {
                tracing::info!(%node, address = %lease.address(), "a node has joined the cluster");
            }
            self.members.learn(node, &lease, sequence);
        } else {
            self.remove(node);
        }
    }

    fn remove(&self, node: NodeId) {
        if self.members.remove(node) {
            tracing::info!(%node, "a node has left the cluster");
            self.events.gone(node);
        }
    }

    /// Ends leases that are not renewed. Never returns. `time` is the lease time of this node.
    pub(crate) async fn end_overdue_leases(&self, time: Duration) {
        // The nodes check at different moments. So usually one of them finds a lease overdue, and the others learn that
        // it has ended.
        let mut tick = tokio::time::interval(time / 15);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for overdue in self.members.overdue(2 * time) {
                if overdue.node == self.identity.node() {
                    continue;
                }
                if let Err(error) = self.end(overdue).await {
                    tracing::debug!(node = %overdue.node, "its overdue lease could not be ended: {}", error.text());
                    break;
                }
            }
        }
    }

    async fn end(&self, Overdue { node, sequence, expires_by_itself }: Overdue) -> Result<(), StreamError> {
        let deleted =
            if expires_by_itself { Err(StreamError::Conflict) } else { self.leases.delete(node, sequence).await };
        match deleted {
            Ok(()) => {
                tracing::warn!(%node, "a node has not renewed its lease: its objects go to other nodes");
                self.remove(node);
            }
            // Either the lease was renewed and this node has not received the renewal, or it has ended. A node that was
            // cut off for longer than a deletion stays in the stream never receives the deletion.
            Err(StreamError::Conflict) => match self.leases.read(node).await? {
                Some((last, lease)) => {
                    self.members.learn(node, &lease, last);
                    self.members.confirm(node, sequence);
                }
                None => self.remove(node),
            },
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
