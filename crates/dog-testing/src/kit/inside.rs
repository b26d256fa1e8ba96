//! What objects have in memory and on disk, for a test to look at.

use dog::{Group, GroupId, ReplicaId, Timestamp};
use dog_engine::address::{GroupAddress, Object};
use dog_engine::books::MemberSeats;
use dog_engine::host::ObjectStatus;
use serde::de::DeserializeOwned;

use super::cluster::Cluster;
use crate::world::{Driver, Traffic};

impl Cluster {
    /// The Replicas of that Group that are in memory, in the order of their ids.
    pub fn replicas<G: Group>(&self, name: &str) -> Vec<ReplicaId> {
        let Some(group) = self.address::<G>(name) else { return Vec::new() };
        let replicas = self.world.lives().into_iter().filter_map(|(object, _)| match object {
            Object::Replica(address) if address.group == group => Some(address.replica),
            _ => None,
        });
        replicas.collect()
    }

    /// What the Group's books say of each of its Replicas, the older first: how it stands, seats taken, tickets, and
    /// whose seats they are. `None` while the Group is not in memory.
    pub fn members<G: Group>(&self, name: &str) -> Option<Vec<MemberSeats>> {
        match self.world.driver(Object::Group(self.address::<G>(name)?))? {
            Driver::Group(group) => group.members(),
            Driver::Replica(_) => None,
        }
    }

    /// The seats that are taken on a Replica, by its own count: sockets, and requests in flight. 0 when it is not in
    /// memory.
    pub fn seats(&self, replica: ReplicaId) -> u32 {
        self.replica_object(replica).map_or(0, |object| self.status(object).seats)
    }

    /// Whether a Replica's value is in memory: not before its first request, nor after it has gone to rest.
    pub fn is_awake(&self, replica: ReplicaId) -> bool {
        self.replica_object(replica).is_some_and(|object| self.status(object).awake)
    }

    /// Whether a Group is in memory.
    pub fn is_group_awake<G: Group>(&self, name: &str) -> bool {
        self.address::<G>(name).is_some_and(|group| self.status(Object::Group(group)).awake)
    }

    fn status(&self, object: Object) -> ObjectStatus {
        match self.world.driver(object) {
            Some(Driver::Group(group)) => group.status(),
            Some(Driver::Replica(replica)) => replica.status(),
            None => ObjectStatus::default(),
        }
    }

    /// What a Replica has put under `key` and is on disk.
    ///
    /// # Panics
    /// When it is no `T`.
    #[track_caller]
    pub fn stored_by_replica<T: DeserializeOwned>(&self, replica: ReplicaId, key: &str) -> Option<T> {
        self.stored(self.replica_object(replica)?, key)
    }

    /// What a Group has put under `key` and is on disk.
    ///
    /// # Panics
    /// When it is no `T`.
    #[track_caller]
    pub fn stored_by_group<G: Group, T: DeserializeOwned>(&self, name: &str, key: &str) -> Option<T> {
        self.stored(Object::Group(self.address::<G>(name)?), key)
    }

    #[track_caller]
    fn stored<T: DeserializeOwned>(&self, object: Object, key: &str) -> Option<T> {
        let bytes = self.world.stored(object, key)?;
        match dog::internal::decode(&bytes) {
            Ok(value) => Some(value),
            Err(error) => panic!("what is stored under {key:?} is of another type: {error}"),
        }
    }

    /// How many entries objects were given by all ranges that they have read so far.
    #[doc(hidden)]
    pub fn entries_listed(&self) -> u64 {
        self.world.entries_listed()
    }

    /// How many entries are on disk of all objects together: what they have put, and what Groups keep of their members. A
    /// room that was left leaves nothing, unless it has stored something.
    #[must_use]
    pub fn entries_on_disk(&self) -> usize {
        self.world.entries()
    }

    /// How many objects have a life.
    #[must_use]
    pub fn objects_in_memory(&self) -> usize {
        self.world.known_objects().into_iter().filter(|object| self.world.driver(*object).is_some()).count()
    }

    /// What objects have said to each other since this was last called: how much of what, each message for one object. The
    /// test of a chatty Group asks here whether it has become chattier. Nothing, unless the cluster was made with
    /// [`Builder::count_traffic`](crate::Builder::count_traffic).
    ///
    /// Requests from outside are not among it, nor what clients and sockets say. On a cluster of several nodes, what is
    /// cast to many Replicas of one node is one letter.
    #[must_use]
    pub fn take_traffic(&self) -> Traffic {
        self.world.take_traffic()
    }

    /// When a Replica's alarm is set for.
    pub fn alarm_of_replica(&self, replica: ReplicaId) -> Option<Timestamp> {
        self.world.alarm_of(self.replica_object(replica)?)
    }

    /// When a Group's alarm is set for.
    pub fn alarm_of_group<G: Group>(&self, name: &str) -> Option<Timestamp> {
        self.world.alarm_of(Object::Group(self.address::<G>(name)?))
    }

    pub(super) fn address<G: Group>(&self, name: &str) -> Option<GroupAddress> {
        let class = self.world.class(G::NAME)?;
        Some(GroupAddress { class, group: GroupId::from_name(G::NAME, name) })
    }

    /// A Replica that has ever lived.
    pub(super) fn replica_object(&self, replica: ReplicaId) -> Option<Object> {
        let is_it = |object: &Object| matches!(object, Object::Replica(address) if address.replica == replica);
        self.world.known_objects().into_iter().find(is_it)
    }
}
