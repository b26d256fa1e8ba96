//! [`Objects`]: the objects that live on one worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use dog::Epoch;
use dog_engine::address::{GroupAddress, Object, ReplicaAddress};
use dog_engine::host::{GroupObject, ReplicaObject};
use dog_engine::message::{GroupCall, ReplicaCall};

use crate::mail::Mail;
use crate::metrics::figures::ClassFigures;

/// The lives of Groups and Replicas that are in memory.
pub(super) struct Objects {
    groups: RefCell<HashMap<GroupAddress, Rc<dyn GroupObject>>>,
    replicas: RefCell<HashMap<ReplicaAddress, Rc<dyn ReplicaObject>>>,
    /// The limit of their number. At the limit, only objects that other objects depend on are created.
    limit: usize,
}

impl Objects {
    pub(super) fn new(limit: usize) -> Self {
        Self { groups: RefCell::default(), replicas: RefCell::default(), limit }
    }

    /// Returns the Group's life. If it has none, `begin` creates one.
    pub(super) fn group(
        &self,
        address: GroupAddress,
        begin: impl FnOnce() -> Rc<dyn GroupObject>,
    ) -> Rc<dyn GroupObject> {
        Rc::clone(self.groups.borrow_mut().entry(address).or_insert_with(begin))
    }

    /// Returns the Replica's life. If it has none, `begin` creates one.
    pub(super) fn replica(
        &self,
        address: ReplicaAddress,
        begin: impl FnOnce() -> Rc<dyn ReplicaObject>,
    ) -> Rc<dyn ReplicaObject> {
        Rc::clone(self.replicas.borrow_mut().entry(address).or_insert_with(begin))
    }

    /// Returns the Replica's life, if it has one.
    pub(super) fn living_replica(&self, address: ReplicaAddress) -> Option<Rc<dyn ReplicaObject>> {
        self.replicas.borrow().get(&address).cloned()
    }

    /// Returns the epoch of the object's life, if it has one.
    pub(super) fn epoch(&self, object: Object) -> Option<Epoch> {
        match object {
            Object::Group(address) => self.groups.borrow().get(&address).map(|group| group.epoch()),
            Object::Replica(address) => self.replicas.borrow().get(&address).map(|replica| replica.epoch()),
        }
    }

    /// Removes a life that has ended. Returns whether it was the object's current one.
    pub(super) fn end(&self, object: Object, epoch: Epoch) -> bool {
        let is_present = self.epoch(object) == Some(epoch);
        if is_present {
            match object {
                Object::Group(address) => drop(self.groups.borrow_mut().remove(&address)),
                Object::Replica(address) => drop(self.replicas.borrow_mut().remove(&address)),
            }
        }
        is_present
    }

    /// Returns whether the mail would begin a life that no other object depends on.
    pub(super) fn begins_with(&self, mail: &Mail) -> bool {
        match mail {
            Mail::GroupCall {
                to,
                call: GroupCall::Identify { .. } | GroupCall::Call { .. } | GroupCall::Verb(_) | GroupCall::Log { .. },
                ..
            }
            | Mail::GroupFetch { to, .. } => !self.groups.borrow().contains_key(to),
            Mail::ReplicaCall { to, call: ReplicaCall::Join(_), .. } => !self.replicas.borrow().contains_key(to),
            _ => false,
        }
    }

    /// Returns whether the limit is reached.
    pub(super) fn are_at_their_limit(&self) -> bool {
        self.groups.borrow().len() + self.replicas.borrow().len() >= self.limit
    }

    pub(super) fn groups(&self) -> Vec<Rc<dyn GroupObject>> {
        self.groups.borrow().values().cloned().collect()
    }

    pub(super) fn replicas(&self) -> Vec<Rc<dyn ReplicaObject>> {
        self.replicas.borrow().values().cloned().collect()
    }

    /// Removes all objects. They hold strong references to their host, which holds them, so otherwise none would ever
    /// be dropped.
    pub(super) fn clear(&self) {
        let replicas = std::mem::take(&mut *self.replicas.borrow_mut());
        let groups = std::mem::take(&mut *self.groups.borrow_mut());
        drop((replicas, groups));
    }

    /// Counts the objects of each class. This visits every object.
    pub(super) fn figures(&self, class_names: &[&'static str]) -> Vec<ClassFigures> {
        let new = |name: &&'static str| ClassFigures { name, ..ClassFigures::default() };
        let mut classes: Vec<ClassFigures> = class_names.iter().map(new).collect();
        for (address, group) in &*self.groups.borrow() {
            let (class, status) = (&mut classes[usize::from(address.class.0)], group.status());
            class.groups += 1;
            class.tickets += status.tickets;
            class.members += status.members;
            class.parked += status.parked;
        }
        for (address, replica) in &*self.replicas.borrow() {
            let (class, status) = (&mut classes[usize::from(address.group.class.0)], replica.status());
            if status.awake {
                class.replicas_awake += 1;
            } else {
                class.replicas_hibernating += 1;
            }
            class.seats += u64::from(status.seats);
        }
        classes
    }
}
