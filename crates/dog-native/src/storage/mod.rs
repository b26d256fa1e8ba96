//! What objects keep for good, on this machine's disk.
//!
//! - `key`: how entries of all objects share one ordered space; `embedded`: the port; `database`: what is beneath; `commit`: the thread that
//!   makes many objects' writes durable at once
//! - `mark`: how a loss of commits is noticed
//! - `folder`: what stands in the data folder, and who may use it; `trial`: whether it can be used, found out on a copy;
//!   `quiet`: without a word

mod commit;
mod database;
mod embedded;
mod folder;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod key;
mod mark;
mod quiet;
mod trial;

use std::fmt;
use std::ops::Bound;
use std::time::Instant;

use bytes::Bytes;
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};

use crate::cluster::Pending;
use crate::metrics::Times;

pub(crate) use embedded::Embedded;
pub(crate) use folder::Folder;

/// What was read: mostly at once.
pub enum Read<T> {
    /// It comes from memory or the page cache, and was read where it was asked for.
    Now(Result<T, Error>),
    /// It comes from elsewhere.
    Later(Pending<Result<T, Error>>),
}

/// The port: where entries are kept. Writes are handed over; those of one object are done in that order.
pub trait Storage: fmt::Debug + Send + Sync {
    /// One entry.
    fn get(&self, object: Object, space: Space, key: &[u8]) -> Read<Option<Bytes>>;
    /// Some entries, in order or backwards.
    fn range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: Option<usize>,
        reverse: bool,
    ) -> Read<Vec<(Bytes, Bytes)>>;
    /// Makes all of a batch durable, or nothing of it, and then says so. `epoch` is the life that writes: where another
    /// node may have claimed the object since, such a write fails.
    fn write(&self, object: Object, epoch: Epoch, class: &'static str, batch: Batch, done: Done);
    /// An object's alarm.
    fn alarm(&self, object: Object) -> Read<Option<Timestamp>>;
    /// What it has done so far.
    fn figures(&self) -> StorageFigures;
    /// The server is about to end, and next to nothing is written any more: what would make the next start take long can be
    /// done now, until then at most. It blocks.
    fn settle(&self, by: Instant) {
        let _ = by;
    }
}

impl<T> IntoFuture for Read<T>
where
    T: Send + 'static,
{
    type Output = Result<T, Error>;
    type IntoFuture = Pending<Result<T, Error>>;

    fn into_future(self) -> Self::IntoFuture {
        match self {
            Self::Now(read) => Box::pin(std::future::ready(read)),
            Self::Later(read) => read,
        }
    }
}

impl<T> fmt::Debug for Read<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Now(_) => "Read(now)",
            Self::Later(_) => "Read(later)",
        })
    }
}

/// What a storage tells of itself.
#[derive(Clone, Debug, Default)]
pub struct StorageFigures {
    /// Writes, done or not.
    pub writes: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Whether the last one did.
    pub failing: bool,
    /// How long commits took.
    pub commits: Times,
}

/// Called on whatever thread a write was done on.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// An alarm that is set. The class in the object's address is not known to the storage: it keeps the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAlarm {
    /// When it rings.
    pub at: Timestamp,
    /// [`Group::NAME`](dog::Group::NAME).
    pub class: String,
    /// Whose it is.
    pub object: Object,
}
