//! [`Router`]: how mail reaches every object.
//!
//! Without a cluster, every object lives in this process, on the home worker that its id determines. In a cluster, an
//! object lives on one node, on its home worker there.

use std::rc::Rc;
use std::sync::Arc;

use dog::{Epoch, Error, ReplicaId};
use dog_engine::address::{GroupAddress, NodeId, Object, ReplicaAddress, Targets};
use dog_engine::message::{ReplicaCall, ReplicaCast};

use super::cluster_router::ClusterRouter;
use super::outbound::Outbound;
use super::shutdown::Shutdown;
use crate::mail::{Answer, Mail};
use crate::shared::Shared;

/// Routes the mail of one worker to objects and callers.
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

    /// Sends mail to an object, wherever it lives. It arrives after all mail that this worker has sent to the object
    /// before.
    pub(super) fn send(&self, object: Object, mail: Mail) {
        match self {
            Self::Local(outbound) => outbound.send(outbound.home(object), mail),
            Self::Cluster(cluster) => cluster.send(object, mail),
        }
    }

    /// Sends a cast to all of the Replicas that live.
    pub(super) fn cast(&self, to: &Targets, cast: ReplicaCast) {
        match self {
            Self::Local(outbound) => cast_locally(outbound, to, cast),
            Self::Cluster(cluster) => cluster.cast(to, &cast),
        }
    }

    /// Makes the same call to several Replicas, each with the number of its call.
    pub(super) fn call_all(&self, group: GroupAddress, call: &ReplicaCall, to: Vec<(ReplicaId, u64)>) {
        match self {
            Self::Local(outbound) => outbound.call_all(group, call, to),
            Self::Cluster(cluster) => cluster.call_all(group, call, to),
        }
    }

    /// Sends an answer to a caller, in this process or on another node.
    pub(super) fn answer(&self, node: NodeId, worker: usize, call: u64, answer: Result<Answer, Error>) {
        match self {
            Self::Local(outbound) => outbound.answer(worker, call, answer),
            Self::Cluster(cluster) => cluster.answer(node, worker, call, answer),
        }
    }

    /// Rejects mail with this error. If it is a call, its caller gets the error.
    pub(super) fn reject(&self, mail: Mail, error: &Error) {
        if let Some(back) = mail.into_return_address() {
            self.answer(back.node, back.worker, back.call, Err(Error::new(error.kind(), error.to_string())));
        }
    }

    /// Returns the epoch of the next life of an object of this worker, if the cluster numbers lives.
    pub(super) fn next_epoch(&self, object: Object) -> Option<Epoch> {
        self.cluster().and_then(|cluster| cluster.next_epoch(object))
    }

    /// Returns the id of this node. Without a cluster, returns the default.
    pub(super) fn node(&self) -> NodeId {
        self.cluster().map_or(NodeId::default(), |cluster| cluster.node())
    }

    /// Gives a hint that a new Replica should live on `node`.
    pub(super) fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        if let Self::Cluster(cluster) = self {
            cluster.prefer(replica, node);
        }
    }

    /// Returns whether this node's lease is over, so that other nodes may claim its objects.
    #[inline]
    pub(super) fn lease_is_over(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Cluster(cluster) => cluster.lease_is_over(),
        }
    }

    /// Sends the mail that is queued for other workers and other nodes.
    #[inline]
    pub(super) fn post(&self) {
        match self {
            Self::Local(outbound) => outbound.post(),
            Self::Cluster(cluster) => cluster.post(),
        }
    }

    /// Returns whether anything may be written. It is called before every few writes in the middle of a turn. It sends
    /// the queued mail first, because a client's reaction to what it reads must not overtake that.
    #[inline]
    pub(super) fn may_write(&self) -> bool {
        if self.lease_is_over() {
            return false;
        }
        self.post();
        true
    }
}

/// Sends one piece of mail to each worker that has any of the Replicas.
fn cast_locally(outbound: &Outbound, to: &Targets, cast: ReplicaCast) {
    let home = |replica: ReplicaId| outbound.home(Object::Replica(to.address(replica)));
    if let [replica] = *to.replicas {
        return outbound.send(home(replica), Mail::ReplicaCast { to: to.clone(), cast });
    }
    let mut concerned = [false; 64];
    for replica in to.iter() {
        concerned[home(replica) % concerned.len()] = true;
    }
    // With more than 64 workers, some get the cast although it does not concern them. Each worker picks its own
    // Replicas.
    for worker in (0..outbound.workers()).filter(|worker| concerned[worker % concerned.len()]) {
        outbound.send(worker, Mail::ReplicaCast { to: to.clone(), cast: cast.clone() });
    }
}
