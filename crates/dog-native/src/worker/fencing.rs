//! What a worker does when the lease of its node is over: others may have its objects from then on.

use dog_engine::address::NodeId;
use dog_engine::host::{GroupObject, ReplicaObject};

use super::Worker;
use super::abroad::{Abroad, Route, no_lease};

impl Worker {
    /// Lets all objects go if the lease is over by which this node has them: another may have them. Called before anything
    /// is done in a turn and before anything of it leaves.
    #[inline]
    pub(super) fn mind_lease(&self) {
        if let Some(abroad) = &self.abroad
            && abroad.lease_is_over()
        {
            self.fence(abroad);
        }
    }

    fn fence(&self, abroad: &Abroad) {
        abroad.holder.set(NodeId::default());
        tracing::error!(
            worker = self.index,
            "the lease of this node is over: its objects end, their sockets are closed"
        );
        self.cut_off();
        let replicas: Vec<_> = self.replicas.borrow().values().cloned().collect();
        let groups: Vec<_> = self.groups.borrow().values().cloned().collect();
        replicas.into_iter().for_each(ReplicaObject::cease);
        groups.into_iter().for_each(GroupObject::cease);
        abroad.held.borrow_mut().clear();
        abroad.letters.borrow_mut().clear();
        let routes = abroad.routes.take();
        for route in routes.into_values() {
            if let Route::Sought { waiting, .. } = route {
                waiting.into_iter().for_each(|mail| self.turn_down(mail, &no_lease()));
            }
        }
    }

    /// Hangs up on sockets for which something waits: it was sent by objects that may not act any more.
    fn cut_off(&self) {
        let mut connections = self.connections.borrow_mut();
        for socket in connections.ids() {
            connections.leave_run(socket);
            if connections.get(socket).is_some_and(|connection| connection.waiting() > 0) {
                connections.remove(socket);
            }
        }
    }
}

impl Abroad {
    /// Whether objects are here that this node may not act for any more. A worker that has stood still may find that the node
    /// has another lease by now: it is not that of its objects.
    pub(super) fn lease_is_over(&self) -> bool {
        let holder = self.holder.get();
        holder != NodeId::default() && (self.joined.node() != holder || !self.joined.has_lease())
    }
}
