//! What objects keep: in memory, and as durable as a disk. What was acknowledged survives a crash; of what was not, the
//! first few batches may, each whole.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use dog::internal::Kind;
use dog::{Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};

use super::agenda::Micros;
use super::promise::Promise;

type Entries = BTreeMap<Vec<u8>, Bytes>;

/// A batch on its way to the disk.
struct Pending {
    key: u64,
    batch: Batch,
    fails: bool,
    promise: Promise<()>,
}

/// An alarm that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub at: Timestamp,
    /// Tells it from an alarm that was set before.
    pub number: u64,
    pub has_rung: bool,
}

#[derive(Default)]
pub(super) struct Storage {
    entries: BTreeMap<(Object, Space), Entries>,
    alarms: BTreeMap<Object, Kept>,
    pending: BTreeMap<Object, VecDeque<Pending>>,
    /// When the last batch of each object is done: they are done in order.
    last: BTreeMap<Object, Micros>,
    next: u64,
    /// Entries that ranges were asked for, and gave.
    listed: Cell<u64>,
}

/// What has to be done after a batch was written.
#[derive(Default)]
pub(super) struct Done {
    pub promise: Option<(Promise<()>, Result<(), Error>)>,
    /// An alarm was set, or the one that was to be replaced stays.
    pub alarm: Option<Kept>,
}

impl Storage {
    pub(super) fn read(&self, object: Object, space: Space, key: &[u8]) -> Option<Bytes> {
        self.entries.get(&(object, space))?.get(key).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.values().map(BTreeMap::len).sum()
    }

    pub(super) fn range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: Option<usize>,
        reverse: bool,
    ) -> Vec<(Bytes, Bytes)> {
        let Some(entries) = self.entries.get(&(object, space)) else { return Vec::new() };
        if is_empty(&keys) {
            return Vec::new();
        }
        let found = entries.range(keys).map(|(key, value)| (Bytes::copy_from_slice(key), value.clone()));
        let most = most.unwrap_or(usize::MAX);
        let found: Vec<_> = if reverse { found.rev().take(most).collect() } else { found.take(most).collect() };
        self.listed.set(self.listed.get() + found.len() as u64);
        found
    }

    pub(super) fn listed(&self) -> u64 {
        self.listed.get()
    }

    /// The alarm as its object set it last, written or on the way.
    pub(super) fn alarm(&self, object: Object) -> Option<Timestamp> {
        let pending = self.pending.get(&object).into_iter().flatten().rev();
        let on_the_way = pending.filter(|pending| !pending.fails).find_map(|pending| pending.batch.alarm);
        on_the_way.unwrap_or_else(|| self.alarms.get(&object).map(|kept| kept.at))
    }

    /// Whether an alarm is being set or taken back: the earlier one does not ring meanwhile.
    pub(super) fn replaces_alarm(&self, object: Object) -> bool {
        self.pending.get(&object).into_iter().flatten().any(|pending| pending.batch.alarm.is_some())
    }

    pub(super) fn kept_alarm(&mut self, object: Object) -> Option<&mut Kept> {
        self.alarms.get_mut(&object)
    }

    /// A batch is handed over. Its key, and when it is done.
    pub(super) fn submit(
        &mut self,
        object: Object,
        batch: Batch,
        promise: Promise<()>,
        (done_at, fails): (Micros, bool),
    ) -> (u64, Micros) {
        let key = self.next;
        self.next += 1;
        self.pending.entry(object).or_default().push_back(Pending { key, batch, fails, promise });
        let last = self.last.entry(object).or_default();
        *last = done_at.max(*last);
        (key, *last)
    }

    /// The batch has reached the disk, unless a crash has decided about it before.
    pub(super) fn complete(&mut self, object: Object, key: u64) -> Done {
        let first = self.pending.get_mut(&object).and_then(|pending| {
            let is_first = pending.front().is_some_and(|first| first.key == key);
            if is_first { pending.pop_front() } else { None }
        });
        let Some(pending) = first else { return Done::default() };
        if pending.fails {
            let error = Error::new(Kind::Storage, "the disk failed");
            let stays = pending.batch.alarm.and_then(|_| self.alarms.get(&object)).filter(|kept| !kept.has_rung);
            return Done { promise: Some((pending.promise, Err(error))), alarm: stays.copied() };
        }
        let alarm = self.apply(object, pending.batch);
        Done { promise: Some((pending.promise, Ok(()))), alarm }
    }

    /// How many batches of an object are on their way.
    pub(super) fn on_the_way(&self, object: Object) -> usize {
        self.pending.get(&object).map_or(0, VecDeque::len)
    }

    /// A life is over before its last batches were acknowledged: the first `survive` are there all the same. The rest,
    /// and their promises, are handed back to be dropped; alarms that were set come along.
    pub(super) fn crash(&mut self, object: Object, survive: usize) -> (Vec<Promise<()>>, Vec<Kept>) {
        let pending = self.pending.remove(&object).unwrap_or_default();
        let (mut promises, mut alarms) = (Vec::new(), Vec::new());
        for (at, pending) in pending.into_iter().enumerate() {
            if at < survive && !pending.fails {
                alarms.extend(self.apply(object, pending.batch));
            }
            promises.push(pending.promise);
        }
        (promises, alarms)
    }

    fn apply(&mut self, object: Object, batch: Batch) -> Option<Kept> {
        let entries = self.entries.entry((object, batch.space)).or_default();
        if batch.delete_all {
            entries.clear();
        }
        for (key, value) in batch.entries {
            match value {
                Some(value) => drop(entries.insert(key, value)),
                None => drop(entries.remove(&key)),
            }
        }
        match batch.alarm? {
            Some(at) => {
                self.next += 1;
                let kept = Kept { at, number: self.next, has_rung: false };
                self.alarms.insert(object, kept);
                Some(kept)
            }
            None => {
                self.alarms.remove(&object);
                None
            }
        }
    }

    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.pending)
    }
}

/// Ranges that `BTreeMap` would panic at.
fn is_empty((start, end): &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end) | Bound::Included(end)) => start >= end,
        _ => false,
    }
}
