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
    /// When the object's alarm is set for.
    fn alarm(&self, object: Object) -> LocalFuture<Result<Option<Timestamp>, Error>>;
    /// Schedules one more attempt of an alarm whose handler failed, at `at`, and wakes the object for it. An alarm that is
    /// written before that replaces it.
    fn ring_again(&self, object: Object, at: Timestamp, attempt: u32);
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
}

/// Writes that are made atomically.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The key space.
    pub space: Space,
    /// Whether all existing entries of the space are deleted first.
    pub delete_all: bool,
    /// Keys to write, each with its value, or with `None` to delete it.
    pub entries: Vec<(Vec<u8>, Option<Bytes>)>,
    /// A change to the object's alarm. From the call on the earlier alarm does not ring any more, unless the write
    /// fails: a handler that succeeds clears the alarm, and must not clear the new one.
    pub alarm: Option<AlarmChange>,
}

/// A change to the alarm of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmChange {
    /// It rings at this time.
    Set(Timestamp),
    /// It does not ring any more.
    Clear,
}

impl AlarmChange {
    /// When the alarm is set for after the change.
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
