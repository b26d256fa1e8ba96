//! What a worker does when the lease of its node is over, because other nodes may then claim its objects.

use dog_engine::host::{GroupObject, ReplicaObject};

use super::core::Worker;

/// Ends all objects if the lease is over. It is called at the start of a turn, and before anything is sent or written.
#[inline]
pub(super) fn fence_if_needed(worker: &Worker) {
    if worker.router.lease_is_over() {
        fence(worker);
    }
}

#[cold]
fn fence(worker: &Worker) {
    let Some(cluster) = worker.router.cluster() else { return };
    cluster.void_claims();
    tracing::error!(
        worker = worker.index(),
        "the lease of this node is over: its objects end, their sockets are closed"
    );
    worker.sockets.cut_off();
    worker.objects.replicas().into_iter().for_each(ReplicaObject::cease);
    worker.objects.groups().into_iter().for_each(GroupObject::cease);
    cluster.give_up_claims();
}
