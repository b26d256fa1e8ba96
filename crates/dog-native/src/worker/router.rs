//! The way to every object: [`Router`].
//!
//! Without a cluster every object lives in this process, on its home worker, which follows from its id. In a cluster an
//! object lives on one node, and there on its home worker.

use std::rc::Rc;
use std::sync::Arc;

use dog::{Epoch, Error, ReplicaId};
use dog_engine::address::{NodeId, Object, ReplicaAddress, Targets};
use dog_engine::message::ReplicaCast;

use super::cluster_router::ClusterRouter;
use super::outbound::Outbound;
use super::shutdown::Shutdown;
use crate::mail::{Answer, Mail};
use crate::shared::Shared;

/// How mail of one worker reaches objects and callers.
#[derive(Clone)]
pub(super) enum Router {
    /// All objects live in this process.
    Local(Rc<Outbound>),
    /// This process is a node of a cluster.
    Cluster(Rc<ClusterRouter>),
}

impl Router {
    pub(super) fn new(shared: &Arc<Shared>, outbound: &Rc<Outbound>, shutdown: &Rc<Shutdown>) -> Self {
        match &shared.node {
            None => Self::Local(Rc::clone(outbound)),
            Some(node) => Self::Cluster(ClusterRouter::new(
                Arc::clone(node),
                Arc::clone(shared),
                Rc::clone(outbound),
                Rc::clone(shutdown),
            )),
        }
    }

    pub(super) fn cluster(&self) -> Option<&Rc<ClusterRouter>> {
        match self {
            Self::Local(_) => None,
            Self::Cluster(cluster) => Some(cluster),
        }
    }

    /// Sends to an object, wherever it lives, after everything that this worker has sent to it before.
    pub(super) fn send(&self, object: Object, mail: Mail) {
        match self {
            Self::Local(outbound) => outbound.send(outbound.home(object), mail),
            Self::Cluster(cluster) => cluster.send(object, mail),
        }
    }

    /// Casts to all Replicas that live.
    pub(super) fn cast(&self, to: &Targets, cast: ReplicaCast) {
        match self {
            Self::Local(outbound) => cast_locally(outbound, to, cast),
            Self::Cluster(cluster) => cluster.cast(to, &cast),
        }
    }

    /// Gives an answer to a caller, in this process or on another node.
    pub(super) fn answer(&self, node: NodeId, worker: usize, call: u64, answer: Result<Answer, Error>) {
        match self {
            Self::Local(outbound) => outbound.answer(worker, call, answer),
            Self::Cluster(cluster) => cluster.answer(node, worker, call, answer),
        }
    }

    /// Refuses mail with this error. The caller of a call gets it.
    pub(super) fn reject(&self, mail: Mail, error: &Error) {
        if let Some(back) = mail.into_return_address() {
            self.answer(back.node, back.worker, back.call, Err(Error::new(error.kind(), error.to_string())));
        }
    }

    /// The epoch of the next life of an object of this worker, if the cluster numbers lives.
    pub(super) fn next_epoch(&self, object: Object) -> Option<Epoch> {
        self.cluster().and_then(|cluster| cluster.next_epoch(object))
    }

    /// This node, or the default without a cluster.
    pub(super) fn node(&self) -> NodeId {
        self.cluster().map_or(NodeId::default(), |cluster| cluster.node())
    }

    /// A hint that a new Replica should live on `node`.
    pub(super) fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        if let Self::Cluster(cluster) = self {
            cluster.prefer(replica, node);
        }
    }

    /// Whether the lease is over by which this node has its objects, so that another node may have them.
    #[inline]
    pub(super) fn lease_is_over(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Cluster(cluster) => cluster.lease_is_over(),
        }
    }

    /// Sends what waits for other workers and other nodes.
    #[inline]
    pub(super) fn post(&self) {
        match self {
            Self::Local(outbound) => outbound.post(),
            Self::Cluster(cluster) => cluster.post(),
        }
    }

    /// What is asked before a few writes in the middle of a turn: whether anything may be written. What waits for others is
    /// sent first, because a client's reaction to what it reads must not overtake it.
    #[inline]
    pub(super) fn may_write(&self) -> bool {
        if self.lease_is_over() {
            return false;
        }
        self.post();
        true
    }
}

/// One piece of mail for each worker that has any of the Replicas.
fn cast_locally(outbound: &Outbound, to: &Targets, cast: ReplicaCast) {
    let home = |replica: ReplicaId| outbound.home(Object::Replica(to.address(replica)));
    if let [replica] = *to.replicas {
        return outbound.send(home(replica), Mail::ReplicaCast { to: to.clone(), cast });
    }
    let mut concerned = [false; 64];
    for replica in to.iter() {
        concerned[home(replica) % concerned.len()] = true;
    }
    // With more than 64 workers some get the cast in vain. Each worker picks its own Replicas anyway.
    for worker in (0..outbound.workers()).filter(|worker| concerned[worker % concerned.len()]) {
        outbound.send(worker, Mail::ReplicaCast { to: to.clone(), cast: cast.clone() });
    }
}
