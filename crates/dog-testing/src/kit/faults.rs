//! What a test can do to objects: hibernation, crashes, cuts and a failing disk. Also the failures of the user's code.

use dog::{Group, ReplicaId};
use dog_engine::address::Object;

use super::cluster::Cluster;
use crate::world::{DiskConfig, Driver};

impl Cluster {
    /// Lets a Replica hibernate, as after [`hibernate_after`](crate::Builder::hibernate_after). Its sockets stay open,
    /// and its attachments and its storage stay. Its fields are lost, and the next event calls
    /// [`activate`](dog::Replica::activate) again.
    ///
    /// Returns whether it has left memory. It cannot while a handler waits for something.
    #[track_caller]
    pub fn evict_replica(&self, replica: ReplicaId) -> bool {
        self.run();
        self.replica_object(replica).is_some_and(|object| self.hibernate(object))
    }

    /// Lets a Group leave memory if nothing needs it: all its Replicas are parked, and it remembers no client. Returns
    /// whether it has left memory. [`restart_group`](Self::restart_group) ends its life in any case.
    #[track_caller]
    pub fn evict_group<G: Group>(&self, name: &str) -> bool {
        self.run();
        let Some(group) = self.address::<G>(name).map(Object::Group) else { return false };
        if !self.hibernate(group) {
            return false;
        }
        // It first checks which of its Replicas have stored something, and forgets the others.
        self.run();
        self.hibernate(group)
    }

    fn hibernate(&self, object: Object) -> bool {
        match self.world().driver(object) {
            Some(Driver::Group(group)) => group.hibernate_now(),
            Some(Driver::Replica(replica)) => replica.hibernate_now(),
            None => true,
        }
    }

    /// Ends a Group's life, as a crash of its process would. The next call to it begins another life, which reads its
    /// members from disk and asks them for their seats. No socket ends.
    ///
    /// Returns `false` if it was not in memory.
    pub fn restart_group<G: Group>(&self, name: &str) -> bool {
        self.address::<G>(name).is_some_and(|group| self.world().crash(Object::Group(group)))
    }

    /// Ends a Replica's life, as a crash of its process would. Its sockets break (1006), none of its handlers runs any
    /// more, not even `on_close`, and no other object is told. Each `put` that returned `Ok` is on disk.
    ///
    /// Returns `false` if it was not in memory.
    pub fn crash_replica(&self, replica: ReplicaId) -> bool {
        self.replica_object(replica).is_some_and(|object| self.world().crash(object))
    }

    /// Crashes a node. The lives of all objects on it end, as with [`crash_replica`](Self::crash_replica) and
    /// [`restart_group`](Self::restart_group), and requests in progress there are lost. The next event for one of these
    /// objects begins a new life on another node. See [`Builder::nodes`](crate::Builder::nodes).
    ///
    /// # Panics
    /// If there is no such node, or if no other node would be left.
    #[track_caller]
    pub fn crash_node(&self, node: usize) {
        let serving = self.world().serving_nodes();
        assert!(
            node < self.world().nodes(),
            "there is no node {node}: the nodes are 0 to {}",
            self.world().nodes() - 1
        );
        assert!(serving.iter().any(|other| *other != node), "node {node} is the last node: no other node could serve");
        if serving.contains(&node) {
            self.world().crash_node(node);
        }
    }

    /// Starts a crashed node again, without objects. Returns `false` if it had not crashed.
    ///
    /// # Panics
    /// If there is no such node.
    #[track_caller]
    pub fn restart_node(&self, node: usize) -> bool {
        assert!(
            node < self.world().nodes(),
            "there is no node {node}: the nodes are 0 to {}",
            self.world().nodes() - 1
        );
        self.world().restart_node(node)
    }

    /// Cuts a Replica off from its Group, its siblings and the App, in both directions, until [`heal`](Self::heal). Its
    /// own clients can still send to it and receive from it.
    ///
    /// A call to it has no answer until the deadline of the caller has passed: move the clock by some seconds.
    ///
    /// # Panics
    /// If there is no such Replica.
    #[track_caller]
    pub fn cut_off_replica(&self, replica: ReplicaId) {
        let Some(object) = self.replica_object(replica) else { panic!("there is no Replica {replica:?} to cut off") };
        self.world().cut_off(object);
    }

    /// Cuts a Group off in the same way: no client is placed, and no whisper finds its client.
    ///
    /// # Panics
    /// If `G` is not in [`App::Groups`](dog::App::Groups).
    #[track_caller]
    pub fn cut_off_group<G: Group>(&self, name: &str) {
        let Some(group) = self.address::<G>(name) else { panic!("\"{}\" is not in App::Groups", G::NAME) };
        self.world().cut_off(Object::Group(group));
    }

    /// Ends all cuts. Messages that were lost stay lost.
    pub fn heal(&self) {
        self.world().heal_cuts();
    }

    /// Sets whether writes fail. With `true`, each write fails from now on, as on a full disk. With `false`, writes
    /// succeed again. A `put` that fails returns an error ([`is_storage`](dog::Error::is_storage)) and stores nothing.
    /// Groups write too: a new Replica is on disk before it serves.
    pub fn fail_writes(&self, fail: bool) {
        let disk = self.world().disk();
        self.world().set_disk(DiskConfig { fails: if fail { 1000 } else { 0 }, ..disk });
    }

    /// Tells each object that the server has begun to shut down. This is the first step of a host's shutdown:
    /// [`Context::stopping`](dog::Context::stopping) completes. Sockets and objects stay.
    pub fn begin_shutdown(&self) {
        self.world().begin_shutdown();
        self.run();
    }

    /// Takes the errors that handlers and the App have returned, and their panics. Each text names the object, the
    /// function and the cause. A server logs these and hides them from clients.
    ///
    /// A test that panics prints the failures that it has not taken.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        std::mem::take(&mut *self.world().failures())
    }

    /// Formats the failures that were not taken, one per line, for the end of a message.
    pub(super) fn failures_so_far(&self) -> String {
        self.world().failures().iter().map(|failure| format!("\n  {failure}")).collect()
    }
}
