//! Entries and alarms of objects.

use std::ops::Bound;

use bytes::Bytes;
use dog::internal::LocalFuture;
use dog::{Epoch, Error, Timestamp};

use crate::address::Object;

/// The storage of objects.
pub trait ObjectStorage {
    /// Reads one entry. Writes that earlier lives of the object have handed over are done, or have failed, before.
    fn read(&self, object: Object, space: Space, key: Vec<u8>) -> LocalFuture<Result<Option<Bytes>, Error>>;
    /// Reads the entries in a range of keys, at most `limit` of them. Earlier writes are settled before, as with
    /// [`read`](Self::read).
    fn read_range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: Option<usize>,
        order: Order,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>>;
    /// Writes a batch atomically. `Ok` means that it is durable. Batches of one object are applied in the order of the calls.
    /// A batch of a life that is not the object's current one fails.
    fn write(&self, object: Object, epoch: Epoch, batch: Batch) -> LocalFuture<Result<(), Error>>;
    /// The time at which the object has to be woken for its earliest alarm.
    fn alarm(&self, object: Object) -> LocalFuture<Result<Option<Timestamp>, Error>>;
    /// Wakes the next life of the object at `at`, wherever it will be: this life has ended before it was done with what was
    /// due, and must not write. Nothing is stored. A batch that changes the time of the earliest alarm replaces it.
    fn wake_again(&self, object: Object, at: Timestamp);
}

/// The order in which [`ObjectStorage::read_range`] returns entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The smallest key first.
    #[default]
    Ascending,
    /// The largest key first.
    Descending,
}

/// One of the key spaces of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// The user's entries.
    #[default]
    User,
    /// A Group's members.
    Members,
    /// The last Replica of each client of a Group, stored when the host shuts down.
    Clients,
    /// The alarms that the user has set.
    Alarms,
    /// The segments of durable logs. A key is the name of a topic, a zero byte, and a number in eight bytes.
    Log,
}

impl Space {
    /// All spaces.
    pub const ALL: [Self; 5] = [Self::User, Self::Members, Self::Clients, Self::Alarms, Self::Log];
}

/// Writes that are made atomically: all of them, or none.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What is written to each key space. A space occurs once at most.
    pub spaces: Vec<SpaceWrites>,
    /// A change to the time at which the host wakes the object for its earliest alarm. At that time, or soon after, the host
    /// calls [`alarms_due`](super::GroupObject::alarms_due) once; if the life ends without another change, the next life
    /// is woken. From the call on the earlier time does not count any more, unless the write fails.
    pub alarm: Option<AlarmChange>,
}

/// Writes to one key space of an object.
#[derive(Clone, Debug, Default)]
pub struct SpaceWrites {
    /// The key space.
    pub space: Space,
    /// Whether all existing entries of the space are deleted first.
    pub delete_all: bool,
    /// Keys to write, each with its value, or with `None` to delete it.
    pub entries: Vec<(Vec<u8>, Option<Bytes>)>,
}

impl Batch {
    /// Writes these entries of one space.
    pub fn of_entries(space: Space, entries: Vec<(Vec<u8>, Option<Bytes>)>) -> Self {
        Self { spaces: vec![SpaceWrites { space, delete_all: false, entries }], alarm: None }
    }

    /// Deletes all entries of a space.
    pub fn deleting_all(space: Space) -> Self {
        Self { spaces: vec![SpaceWrites { space, delete_all: true, entries: Vec::new() }], alarm: None }
    }

    /// Changes the time of the earliest alarm, and nothing else.
    pub fn of_alarm(change: impl Into<AlarmChange>) -> Self {
        Self { spaces: Vec::new(), alarm: Some(change.into()) }
    }

    /// The number of entries that it writes and of keys that it deletes.
    pub fn count(&self) -> usize {
        self.spaces.iter().map(|writes| writes.entries.len()).sum()
    }

    /// Whether it deletes all entries of a space.
    pub fn deletes_all(&self) -> bool {
        self.spaces.iter().any(|writes| writes.delete_all)
    }
}

/// A change to the time of an object's earliest alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmChange {
    /// The object is woken at this time.
    Set(Timestamp),
    /// No alarm is set.
    Clear,
}

impl AlarmChange {
    /// The time of the earliest alarm after the change.
    pub fn time(self) -> Option<Timestamp> {
        match self {
            Self::Set(at) => Some(at),
            Self::Clear => None,
        }
    }
}

impl From<Option<Timestamp>> for AlarmChange {
    fn from(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Clear, Self::Set)
    }
}
