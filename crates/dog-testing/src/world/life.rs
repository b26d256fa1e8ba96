//! One life of an object, or the App on one node, which sends messages as objects do.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use dog::Epoch;
use dog_engine::address::Object;
use dog_engine::host::{GroupObject, ReplicaObject};

use super::clock::Micros;
use super::tasks::OwnerId;

/// Who sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The App on that node.
    App(usize),
    /// An object, in any of its lives.
    Object(Object),
}

impl Party {
    /// Returns a short name for a trace.
    pub(super) fn short_name(self) -> String {
        let short = |kind: char, id: &[u8; 32]| format!("{kind}-{:02x}{:02x}", id[0], id[1]);
        match self {
            Self::App(node) => format!("App@{node}"),
            Self::Object(Object::Group(address)) => short('G', address.group.as_bytes()),
            Self::Object(Object::Replica(address)) => short('R', address.replica.as_bytes()),
        }
    }

    /// Returns the name that users know.
    pub(super) fn full_name(self) -> String {
        match self {
            Self::App(_) => "the App".into(),
            Self::Object(Object::Group(address)) => format!("{:?}", address.group),
            Self::Object(Object::Replica(address)) => format!("{:?}", address.replica),
        }
    }
}

/// One life of an object, or the App on one node.
pub struct Life {
    id: OwnerId,
    party: Party,
    node: usize,
    epoch: Epoch,
    alive: Cell<bool>,
    overlaps: Cell<bool>,
    last_sent: Cell<Micros>,
}

impl Life {
    pub(super) fn new(id: OwnerId, party: Party, node: usize, epoch: Epoch) -> Rc<Self> {
        let (alive, overlaps, last_sent) = (Cell::new(true), Cell::new(false), Cell::new(Micros::MAX));
        Rc::new(Self { id, party, node, epoch, alive, overlaps, last_sent })
    }

    pub(super) fn id(&self) -> OwnerId {
        self.id
    }

    /// Returns the object or App whose life it is.
    pub fn party(&self) -> Party {
        self.party
    }

    /// Returns the object whose life it is. `None` for the App.
    pub fn object(&self) -> Option<Object> {
        match self.party {
            Party::Object(object) => Some(object),
            Party::App(_) => None,
        }
    }

    /// Returns the node on which it runs.
    pub fn node(&self) -> usize {
        self.node
    }

    /// Returns its number.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether it has not crashed.
    pub(super) fn is_alive(&self) -> bool {
        self.alive.get()
    }

    /// Marks it as crashed. Messages that it sent after `last_sent` have not left its process.
    pub(super) fn crash(&self, last_sent: Micros) {
        self.alive.set(false);
        self.last_sent.set(last_sent);
    }

    /// Whether a message that it sent at that moment has left its process.
    pub(super) fn has_sent(&self, at: Micros) -> bool {
        at <= self.last_sent.get()
    }

    /// Whether its node was struck off and has not noticed yet: another life of the object may run at the same time.
    pub fn overlaps(&self) -> bool {
        self.overlaps.get()
    }

    pub(super) fn set_overlaps(&self, overlaps: bool) {
        self.overlaps.set(overlaps);
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.party.short_name())
    }
}

/// The engine's side of a life.
#[derive(Clone)]
pub enum Driver {
    /// Of a Group.
    Group(Rc<dyn GroupObject>),
    /// Of a Replica.
    Replica(Rc<dyn ReplicaObject>),
}

impl Driver {
    /// Tells the object that the host has begun to shut down.
    pub(super) fn stop(&self) {
        match self {
            Self::Group(group) => Rc::clone(group).stopping(),
            Self::Replica(replica) => Rc::clone(replica).stopping(),
        }
    }

    /// Ends the life: it may no longer act.
    pub(super) fn cease(&self) {
        match self {
            Self::Group(group) => Rc::clone(group).cease(),
            Self::Replica(replica) => Rc::clone(replica).cease(),
        }
    }

    /// Wakes the object for its earliest alarm.
    pub(super) fn alarms_due(&self) {
        match self {
            Self::Group(group) => Rc::clone(group).alarms_due(),
            Self::Replica(replica) => Rc::clone(replica).alarms_due(),
        }
    }
}

/// A life of an object with the engine that runs it.
#[derive(Clone)]
pub struct RunningLife {
    /// Whose life, where, and its number.
    pub life: Rc<Life>,
    /// The engine's side.
    pub driver: Driver,
}

impl RunningLife {
    /// Returns the Group.
    ///
    /// # Panics
    /// If it is a Replica.
    pub(super) fn group(self) -> Rc<dyn GroupObject> {
        match self.driver {
            Driver::Group(group) => group,
            Driver::Replica(_) => unreachable!("a Group's address belongs to a Group"),
        }
    }

    /// Returns the Replica.
    ///
    /// # Panics
    /// If it is a Group.
    pub(super) fn replica(self) -> Rc<dyn ReplicaObject> {
        match self.driver {
            Driver::Replica(replica) => replica,
            Driver::Group(_) => unreachable!("a Replica's address belongs to a Replica"),
        }
    }
}
