//! The thread that makes writes durable. It commits all writes that arrived while the disk was busy together, so that
//! many objects share one flush.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dog::Error;

use super::port::{Done, StorageFigures};
use crate::repeats::seldom;

/// The most writes that are committed together, and about the most bytes.
const MOST_WRITES: usize = 4096;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The writes of one object. Their keys are those of the whole database.
pub(super) struct Write {
    /// All entries whose keys begin with one of these prefixes are deleted first.
    pub(super) delete_all: Vec<Vec<u8>>,
    pub(super) entries: Vec<(Vec<u8>, Option<Bytes>)>,
    pub(super) alarm: Option<(Vec<u8>, Option<Bytes>)>,
    pub(super) done: Done,
}

impl Write {
    fn bytes(&self) -> usize {
        self.entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum()
    }
}

/// The writes of one commit. A later write to a key replaces an earlier one.
#[derive(Default)]
pub(super) struct Together {
    pub(super) entries: BTreeMap<Vec<u8>, Option<Bytes>>,
    pub(super) alarms: BTreeMap<Vec<u8>, Option<Bytes>>,
}

/// Locked once per commit, and by each reader of the figures.
type Figures = Arc<Mutex<StorageFigures>>;

/// Hands writes over to the committing thread. When this is dropped, the thread completes all writes that it was given,
/// and ends.
pub(super) struct Committer {
    sender: Option<Sender<Write>>,
    thread: Option<JoinHandle<()>>,
    figures: Figures,
}

/// What the committing thread needs of the database.
pub(super) trait Database: Send + 'static {
    /// Returns the keys that begin with `prefix`.
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, String>;
    /// Makes all of it durable, or nothing.
    fn commit(&self, together: Together) -> Result<(), String>;
}

impl Committer {
    pub(super) fn start(database: impl Database) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let figures = Figures::default();
        let noted = Arc::clone(&figures);
        let run = move || run(&database, &receiver, &noted);
        let thread = std::thread::Builder::new().name("dog-storage".into()).spawn(run)?;
        Ok(Self { sender: Some(sender), thread: Some(thread), figures })
    }

    pub(super) fn figures(&self) -> StorageFigures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn hand_over(&self, write: Write) {
        let refused = match &self.sender {
            Some(sender) => sender.send(write).err().map(|refused| refused.0),
            None => Some(write),
        };
        if let Some(write) = refused {
            (write.done)(Err(failed("the storage has ended")));
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // The thread ends when its queue is empty. The panic hook has already reported a panic of it.
            let _ = thread.join();
        }
    }
}

fn failed(cause: &str) -> Error {
    Error::new(dog::internal::Kind::Storage, format!("the storage failed and did not confirm this write: {cause}"))
}

fn run(database: &impl Database, receiver: &Receiver<Write>, figures: &Figures) {
    while let Ok(first) = receiver.recv() {
        let mut bytes = first.bytes();
        let mut writes = vec![first];
        // A write that follows a `delete_all` must see its effect, so a `delete_all` is committed alone.
        let alone = |write: &Write| !write.delete_all.is_empty();
        let mut after = None;
        while writes.len() < MOST_WRITES && bytes < MOST_BYTES && !alone(&writes[0]) {
            let Ok(next) = receiver.try_recv() else { break };
            if alone(&next) {
                after = Some(next);
                break;
            }
            bytes += next.bytes();
            writes.push(next);
        }
        commit(database, writes, figures);
        if let Some(after) = after {
            commit(database, vec![after], figures);
        }
    }
}

/// Counts the writes of a commit. This happens before `done` is called, so that a writer that knows the outcome finds
/// it counted.
fn note(figures: &Figures, writes: usize, done: bool, took: Duration) {
    let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
    figures.writes += writes as u64;
    figures.failures += u64::from(!done);
    figures.failing = !done;
    figures.commits.note(took);
}

fn commit(database: &impl Database, writes: Vec<Write>, figures: &Figures) {
    let began = Instant::now();
    let mut together = Together::default();
    let mut dones = Vec::with_capacity(writes.len());
    let mut outcome = Ok(());
    for write in writes {
        for prefix in &write.delete_all {
            match database.keys(prefix) {
                Ok(keys) => together.entries.extend(keys.into_iter().map(|key| (key, None))),
                Err(cause) => outcome = Err(cause),
            }
        }
        together.entries.extend(write.entries);
        together.alarms.extend(write.alarm);
        dones.push(write.done);
    }
    // Without this, the writers would wait indefinitely after a panic of the database.
    let outcome = outcome.and_then(|()| {
        let committed = catch_unwind(AssertUnwindSafe(|| database.commit(together)));
        committed.unwrap_or_else(|_| Err("the database panicked".into()))
    });
    if let Err(cause) = &outcome {
        seldom!(error, "the storage failed", "the storage failed, {} writes failed with it: {cause}", dones.len());
    }
    note(figures, dones.len(), outcome.is_ok(), began.elapsed());
    for done in dones {
        done(outcome.as_ref().map_err(|cause| failed(cause)).copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Panics;

    impl Database for Panics {
        fn keys(&self, _: &[u8]) -> Result<Vec<Vec<u8>>, String> {
            Ok(Vec::new())
        }

        fn commit(&self, _: Together) -> Result<(), String> {
            panic!("the database was told to")
        }
    }

    #[test]
    fn a_database_that_panics_leaves_nobody_waiting() {
        let committer = Committer::start(Panics).unwrap();
        let (sender, receiver) = channel();
        for _ in 0..3 {
            let sender = sender.clone();
            let done: Done = Box::new(move |outcome| sender.send(outcome).unwrap());
            committer.hand_over(Write { delete_all: Vec::new(), entries: Vec::new(), alarm: None, done });
            assert!(receiver.recv().unwrap().unwrap_err().is_storage());
        }
    }
}
