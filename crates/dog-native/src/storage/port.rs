//! The port through which objects are stored: [`Storage`]. Both the embedded database and a cluster implement it.

use std::fmt;
use std::ops::Bound;
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};

use crate::metrics::counters::Times;

/// A future that can complete on any thread.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The outcome of a read.
pub enum Read<T> {
    /// The result is available now, from memory or the page cache.
    Now(Result<T, Error>),
    /// The result comes later, from another thread or machine.
    Later(Pending<Result<T, Error>>),
}

/// Stores the entries and alarms of objects. The writes of one object take effect in the order of the calls.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Reads one entry.
    fn get(&self, object: Object, space: Space, key: &[u8]) -> Read<Option<Bytes>>;
    /// Reads the entries in a range of keys, at most `most` of them, in key order, or in descending order if `reverse`
    /// is true.
    fn range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: Option<usize>,
        reverse: bool,
    ) -> Read<Vec<(Bytes, Bytes)>>;
    /// Writes a batch atomically. Calls `done` when it is durable or has failed. `epoch` identifies the life that
    /// writes: if another node has claimed the object since that life began, the write fails.
    fn write(&self, object: Object, epoch: Epoch, class: &'static str, batch: Batch, done: Done);
    /// Reads the time of an object's earliest alarm.
    fn alarm(&self, object: Object) -> Read<Option<Timestamp>>;
    /// Returns what has been written so far, for the metrics.
    fn figures(&self) -> StorageFigures;
    /// Does work now, until `by` at most, that would otherwise slow down the next start. The server calls it at the end
    /// of a shutdown, when almost nothing is written any more. It blocks.
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

/// What a storage has done since it was opened.
#[derive(Clone, Debug, Default)]
pub struct StorageFigures {
    /// Writes, successful or not.
    pub writes: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Whether the last commit failed.
    pub failing: bool,
    /// How long commits took.
    pub commits: Times,
}

/// Called with the outcome of a write, on any thread.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// The time of an object's earliest alarm. `class` is the stored name of the object's class; the class in the address is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAlarm {
    /// The time of the alarm.
    pub at: Timestamp,
    /// [`Group::NAME`](dog::Group::NAME).
    pub class: String,
    /// The object.
    pub object: Object,
}
