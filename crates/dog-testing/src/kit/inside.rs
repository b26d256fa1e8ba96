//! Methods that show what objects have in memory and on disk.

use dog::{Group, GroupId, ReplicaId, Timestamp};
use dog_engine::address::{GroupAddress, Object};
use dog_engine::books::MemberSeats;
use dog_engine::host::ObjectStatus;
use serde::de::DeserializeOwned;

use super::cluster::Cluster;
use crate::world::{Driver, Traffic};

impl Cluster {
    /// Returns the Replicas of a Group that are in memory, ordered by id.
    pub fn replicas<G: Group>(&self, name: &str) -> Vec<ReplicaId> {
        let Some(group) = self.address::<G>(name) else { return Vec::new() };
        let replicas = self.world().lives().into_iter().filter_map(|(object, _)| match object {
            Object::Replica(address) if address.group == group => Some(address.replica),
            _ => None,
        });
        replicas.collect()
    }

    /// Returns what a Group knows about each of its Replicas, the oldest first: its state, its seats and tickets, and
    /// the clients of the seats. `None` while the Group is not in memory.
    pub fn members<G: Group>(&self, name: &str) -> Option<Vec<MemberSeats>> {
        match self.world().driver(Object::Group(self.address::<G>(name)?))? {
            Driver::Group(group) => group.members(),
            Driver::Replica(_) => None,
        }
    }

    /// Returns the number of taken seats on a Replica, by its own count: sockets and requests in progress. 0 if it is
    /// not in memory.
    pub fn seats(&self, replica: ReplicaId) -> u32 {
        self.replica_object(replica).map_or(0, |object| self.status(object).seats)
    }

    /// Whether a Replica's value is in memory. It is not in memory before its first request and while it hibernates.
    pub fn is_awake(&self, replica: ReplicaId) -> bool {
        self.replica_object(replica).is_some_and(|object| self.status(object).awake)
    }

    /// Whether a Group's value is in memory.
    pub fn is_group_awake<G: Group>(&self, name: &str) -> bool {
        self.address::<G>(name).is_some_and(|group| self.status(Object::Group(group)).awake)
    }

    fn status(&self, object: Object) -> ObjectStatus {
        match self.world().driver(object) {
            Some(Driver::Group(group)) => group.status(),
            Some(Driver::Replica(replica)) => replica.status(),
            None => ObjectStatus::default(),
        }
    }

    /// Returns the node on which a Replica lives. `None` if it is not in memory. See
    /// [`Builder::nodes`](crate::Builder::nodes).
    pub fn node_of_replica(&self, replica: ReplicaId) -> Option<usize> {
        self.node_of(self.replica_object(replica)?)
    }

    /// Returns the node on which a Group lives. `None` if it is not in memory.
    pub fn node_of_group<G: Group>(&self, name: &str) -> Option<usize> {
        self.node_of(Object::Group(self.address::<G>(name)?))
    }

    fn node_of(&self, object: Object) -> Option<usize> {
        self.world().current(object).map(|running| running.life.node())
    }

    /// Returns the value that a Replica has stored under `key`, if it is on disk.
    ///
    /// # Panics
    /// If it is not a `T`.
    #[track_caller]
    pub fn stored_by_replica<T: DeserializeOwned>(&self, replica: ReplicaId, key: &str) -> Option<T> {
        self.stored(self.replica_object(replica)?, key)
    }

    /// Returns the value that a Group has stored under `key`, if it is on disk.
    ///
    /// # Panics
    /// If it is not a `T`.
    #[track_caller]
    pub fn stored_by_group<G: Group, T: DeserializeOwned>(&self, name: &str, key: &str) -> Option<T> {
        self.stored(Object::Group(self.address::<G>(name)?), key)
    }

    #[track_caller]
    fn stored<T: DeserializeOwned>(&self, object: Object, key: &str) -> Option<T> {
        let bytes = self.world().stored(object, key)?;
        match dog::internal::decode(&bytes) {
            Ok(value) => Some(value),
            Err(error) => panic!("the value stored under {key:?} is of another type: {error}"),
        }
    }

    /// Returns how many entries all reads of ranges have returned so far.
    #[doc(hidden)]
    pub fn entries_listed(&self) -> u64 {
        self.world().entries_listed()
    }

    /// Returns how many entries all objects have on disk: what they have stored, and the members that Groups have
    /// recorded. A room without clients leaves no entries after some minutes, unless it has stored something.
    #[must_use]
    pub fn entries_on_disk(&self) -> usize {
        self.world().entries()
    }

    /// Returns how many objects are in memory.
    #[must_use]
    pub fn objects_in_memory(&self) -> usize {
        self.world().lives().len()
    }

    /// Takes the counts of messages between objects since the last call, by kind. A message to several objects counts
    /// once for each. Empty, unless the cluster was made with
    /// [`Builder::count_traffic`](crate::Builder::count_traffic). Use it to notice when a change makes a Group send
    /// more than before.
    ///
    /// Requests from clients and messages on sockets are not counted. On a cluster of several nodes, a cast to many
    /// Replicas of one node is one node message.
    #[must_use]
    pub fn take_traffic(&self) -> Traffic {
        self.world().take_traffic()
    }

    /// Returns the time of a Replica's alarm.
    pub fn alarm_of_replica(&self, replica: ReplicaId) -> Option<Timestamp> {
        self.world().alarm_of(self.replica_object(replica)?)
    }

    /// Returns the time of a Group's alarm.
    pub fn alarm_of_group<G: Group>(&self, name: &str) -> Option<Timestamp> {
        self.world().alarm_of(Object::Group(self.address::<G>(name)?))
    }

    pub(super) fn address<G: Group>(&self, name: &str) -> Option<GroupAddress> {
        let class = self.world().class(G::NAME)?;
        Some(GroupAddress { class, group: GroupId::from_name(G::NAME, name) })
    }

    /// Returns the object of a Replica that has ever lived.
    pub(super) fn replica_object(&self, replica: ReplicaId) -> Option<Object> {
        let is_it = |object: &Object| matches!(object, Object::Replica(address) if address.replica == replica);
        self.world().known_objects().into_iter().find(is_it)
    }
}
