//! What may happen to objects beside their work: rest, crashes, cuts, a disk that fails; and what they failed with.

use dog::{Group, ReplicaId};
use dog_engine::address::Object;

use super::cluster::Cluster;
use crate::world::{Disk, Driver};

impl Cluster {
    /// A Replica leaves memory, as it does by itself when it has been idle for
    /// [`hibernate_after`](crate::Builder::hibernate_after): its sockets stay open, attachments and storage stay, its own fields
    /// are gone, and the next event calls [`activate`](dog::Replica::activate) again.
    ///
    /// Whether it is out of memory now: not while a handler waits for something.
    #[track_caller]
    pub fn evict_replica(&self, replica: ReplicaId) -> bool {
        self.run();
        self.replica_object(replica).is_some_and(|object| self.hibernate(object))
    }

    /// A Group leaves memory, as it does by itself when nothing needs it: all its Replicas are parked, and no client is
    /// remembered. Whether it is out of memory now. To have it begin anew whatever it knows there is
    /// [`restart_group`](Self::restart_group).
    #[track_caller]
    pub fn evict_group<G: Group>(&self, name: &str) -> bool {
        self.run();
        let Some(group) = self.address::<G>(name).map(Object::Group) else { return false };
        if !self.hibernate(group) {
            return false;
        }
        // It first looks whether its Replicas have stored anything, and forgets those that have not.
        self.run();
        self.hibernate(group)
    }

    fn hibernate(&self, object: Object) -> bool {
        match self.world.driver(object) {
            Some(Driver::Group(group)) => group.hibernate_now(),
            Some(Driver::Replica(replica)) => replica.hibernate_now(),
            None => true,
        }
    }

    /// The Group's life in memory is lost, as when its process dies; the next that asks it something wakes another,
    /// which finds its members on disk and asks them for their seats. No socket ends.
    ///
    /// `false` when it was not in memory.
    pub fn restart_group<G: Group>(&self, name: &str) -> bool {
        self.address::<G>(name).is_some_and(|group| self.world.crash(Object::Group(group)))
    }

    /// A Replica's life is lost, as when its process dies: its sockets break (1006), none of its handlers runs any more,
    /// not even `on_close`, and nobody is told. What it had put and was told `Ok` is on disk.
    ///
    /// `false` when it was not in memory.
    pub fn crash_replica(&self, replica: ReplicaId) -> bool {
        self.replica_object(replica).is_some_and(|object| self.world.crash(object))
    }

    /// Nothing reaches that Replica any more from its Group, its siblings and the App, and nothing of its own reaches
    /// them, until [`heal`](Self::heal). It is not dead: its clients still reach it, and hear what it says.
    ///
    /// Whoever asks it something hears nothing, and goes on when the deadline has passed: let time pass, some seconds.
    ///
    /// # Panics
    /// When there is no such Replica.
    #[track_caller]
    pub fn cut_off_replica(&self, replica: ReplicaId) {
        let Some(object) = self.replica_object(replica) else {
            panic!("there is no {replica:?} that could be cut off")
        };
        self.world.network.borrow_mut().cut_off(object);
    }

    /// The same with a Group: nobody is placed, and no whisper finds its client.
    ///
    /// # Panics
    /// When `G` is missing in [`App::Groups`](dog::App::Groups).
    #[track_caller]
    pub fn cut_off_group<G: Group>(&self, name: &str) {
        let Some(group) = self.address::<G>(name) else { panic!("\"{}\" is missing in App::Groups", G::NAME) };
        self.world.network.borrow_mut().cut_off(Object::Group(group));
    }

    /// All cuts are over. What was lost stays lost.
    pub fn heal(&self) {
        self.world.network.borrow_mut().heal();
    }

    /// From now on every write fails, as on a full disk, or none any more. A put then returns an error
    /// ([`is_storage`](dog::Error::is_storage)), and nothing of it is kept. Groups write too: a new Replica is on disk
    /// before it serves.
    pub fn fail_writes(&self, fail: bool) {
        let disk = self.world.disk.get();
        self.world.disk.set(Disk { fails: if fail { 1000 } else { 0 }, ..disk });
    }

    /// Tells every object that the server has begun to shut down, as a host does first of all:
    /// [`Context::stopping`](dog::Context::stopping) ends. Nothing else follows from it: sockets and objects stay.
    pub fn begin_shutdown(&self) {
        self.world.begin_shutdown();
        self.run();
    }

    /// What handlers, and the App, have returned as errors and panicked with since this was last called: who, in what,
    /// and why. What a real host writes to its log and keeps from clients.
    ///
    /// A test that panics for another reason prints those that it has not taken.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        std::mem::take(&mut *self.world.failures.borrow_mut())
    }

    /// The same, to be read behind a sentence; they stay.
    pub(super) fn failures_so_far(&self) -> String {
        self.world.failures.borrow().iter().map(|failure| format!("\n  {failure}")).collect()
    }
}
