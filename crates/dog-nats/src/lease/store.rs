//! [`LeaseStore`]: the leases of all nodes, in their stream.

use std::sync::Arc;

use dog_engine::address::NodeId;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::Lease;
use crate::faults::{Fault, is_planted};
use crate::names::Names;
use crate::stream::{MessageStream, Put, StreamError};

/// The leases of all nodes.
#[derive(Clone, Debug)]
pub(crate) struct LeaseStore {
    stream: Arc<dyn MessageStream>,
    names: Names,
}

/// A change of one lease, as a follower receives it.
#[derive(Clone, Debug)]
pub(crate) struct LeaseChange {
    pub(crate) node: NodeId,
    pub(crate) sequence: u64,
    /// `None` if it was deleted.
    pub(crate) lease: Option<Lease>,
}

impl LeaseStore {
    pub(crate) fn new(stream: Arc<dyn MessageStream>, names: Names) -> Self {
        Self { stream, names }
    }

    /// Reads a node's lease and its message number from the stream's leader.
    pub(crate) async fn read(&self, node: NodeId) -> Result<Option<(u64, Lease)>, StreamError> {
        let stored = self.stream.last(&self.names.lease(node)).await?;
        Ok(stored.and_then(|stored| Some((stored.sequence, parse(&stored.payload?)?))))
    }

    /// Replaces the lease with that message number. Returns the number of the new one.
    pub(crate) async fn replace(&self, node: NodeId, sequence: u64, lease: &Lease) -> Result<u64, StreamError> {
        let text = serde_json::to_vec(lease).map_err(|error| StreamError::Rejected(error.to_string()))?;
        self.stream.put(Put::new(self.names.lease(node), text).expecting(sequence)).await
    }

    /// Deletes the lease with that message number. Fails with [`StreamError::Conflict`] if it was renewed since.
    pub(crate) async fn delete(&self, node: NodeId, sequence: u64) -> Result<(), StreamError> {
        let deletion = Put::deletion(self.names.lease(node));
        let put = if is_planted(Fault::DeletesRenewedLeases) { deletion } else { deletion.expecting(sequence) };
        self.stream.put(put).await.map(drop)
    }

    /// Deletes the last lease of a node, whatever its message number is. Only for a node as which no process acts any
    /// more.
    pub(crate) async fn delete_any(&self, node: NodeId) -> Result<(), StreamError> {
        self.stream.put(Put::deletion(self.names.lease(node))).await.map(drop)
    }

    /// Follows the leases: first all that there are, then every change. An error ends the stream.
    pub(crate) async fn follow(&self) -> Result<BoxStream<'static, Result<LeaseChange, String>>, StreamError> {
        let changes = self.stream.follow(&self.names.leases()).await?;
        let names = self.names.clone();
        let lease_change = move |change: Result<_, String>| match change {
            Ok(crate::stream::Change { subject, sequence, payload }) => {
                let node = names.node(&subject)?;
                Some(Ok(LeaseChange { node, sequence, lease: payload.and_then(|payload| parse(&payload)) }))
            }
            Err(error) => Some(Err(error)),
        };
        Ok(changes.filter_map(move |change| std::future::ready(lease_change(change))).boxed())
    }
}

/// Parses a lease. A malformed one counts as none.
fn parse(payload: &[u8]) -> Option<Lease> {
    serde_json::from_slice(payload).ok()
}
