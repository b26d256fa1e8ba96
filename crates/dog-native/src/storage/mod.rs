//! What objects keep for good, on this machine's disk.
//!
//! - `key`: how entries of all objects share one ordered space; `embedded`: the database; `commit`: the thread that
//!   makes many objects' writes durable at once
//! - `mark`: how a loss of commits is noticed
//! - `folder`: what stands in the data folder, and who may use it

mod commit;
mod embedded;
mod folder;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod key;
mod mark;

use std::ops::Bound;

use bytes::Bytes;
use dog::{Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};

use crate::metrics::Times;

pub(crate) use embedded::Embedded;
pub(crate) use folder::Folder;

/// The port: where entries are kept. Reads come from memory or the page cache mostly, and are made where they are
/// asked for; writes are handed over, and done in order.
pub(crate) trait Storage: Send + Sync {
    /// One entry.
    fn get(&self, object: Object, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// Some entries, in order or backwards.
    fn range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: Option<usize>,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Bytes)>, Error>;
    /// Makes all of a batch durable, or nothing of it, and then says so.
    fn write(&self, object: Object, class: &'static str, batch: Batch, done: Done);
    /// An object's alarm.
    fn alarm(&self, object: Object) -> Result<Option<Timestamp>, Error>;
    /// What it has done so far.
    fn figures(&self) -> StorageFigures;
    /// All alarms that are set, with the class of each object.
    fn alarms(&self) -> Result<Vec<SetAlarm>, Error>;
}

/// What a storage tells of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct StorageFigures {
    pub(crate) writes: u64,
    /// Commits that failed.
    pub(crate) failures: u64,
    /// Whether the last one did.
    pub(crate) failing: bool,
    pub(crate) commits: Times,
}

/// Called on whatever thread a write was done on.
pub(crate) type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// An alarm that is set. The class in the object's address is not known to the storage: it keeps the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetAlarm {
    pub(crate) at: Timestamp,
    pub(crate) class: String,
    pub(crate) object: Object,
}
