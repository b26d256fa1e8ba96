//! Where Replicas are created, and the end of lives.

use dog::{Epoch, ReplicaId};

use crate::address::{GroupAddress, NodeId, ReplicaAddress};

/// Creation and end of objects. The first event for an object that does not live begins a life of it.
pub trait Lifecycle {
    /// A Replica id that was never used before. The host may choose one that suits its own layout.
    fn unique_replica(&self, group: GroupAddress) -> ReplicaId;
    /// 128 bits that nobody can guess.
    fn secret(&self) -> [u8; 16];
    /// The node of the cluster that this host is, or the default if there is no cluster.
    fn node(&self) -> NodeId {
        NodeId::default()
    }
    /// A hint that a new Replica should live on `node`. It comes before anything is sent to the Replica.
    fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        let _ = (replica, node);
    }
    /// This life of a Replica is over.
    fn replica_ended(&self, replica: ReplicaAddress, epoch: Epoch);
    /// This life of a Group is over.
    fn group_ended(&self, group: GroupAddress, epoch: Epoch);
}
