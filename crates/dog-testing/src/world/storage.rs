//! The durable storage of objects. An acknowledged batch survives a crash. Of the unacknowledged batches, the first few
//! may survive. A batch is stored as a whole or not at all, and never after a later life of the object has begun.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use dog::internal::Kind;
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{AlarmChange, Batch, Order, Space, SpaceWrites};
use dog_engine::log::LogEntries;

use super::clock::Micros;
use super::reply::ReplySender;

type Entries = BTreeMap<Vec<u8>, Bytes>;

/// A batch on its way to the disk.
struct PendingBatch {
    key: u64,
    epoch: Epoch,
    batch: Batch,
    fate: Fate,
    reply: ReplySender<()>,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is stored.
    Stored,
    /// It fails.
    Fails,
    /// It is stored, and its object is told that it has failed.
    InDoubt,
}

/// A batch that is on disk now.
pub(super) struct StoredBatch {
    /// The life that wrote it.
    pub(super) by: Epoch,
    /// The records of logs in it.
    pub(super) log: LogEntries,
}

/// When an object has to be woken for its earliest alarm, on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredAlarm {
    pub(super) at: Timestamp,
    /// Distinguishes it from alarms that were set before.
    pub(super) number: u64,
    pub(super) has_rung: bool,
}

/// A batch that has reached the disk, or failed.
#[derive(Default)]
pub(super) struct Completed {
    pub(super) reply: Option<(ReplySender<()>, Result<(), Error>)>,
    /// If it is on disk.
    pub(super) stored: Option<StoredBatch>,
    /// The time that is new on disk, to be scheduled.
    pub(super) alarm: Option<StoredAlarm>,
    /// If the batch failed and would have replaced it: the time on disk, which counts again.
    pub(super) kept: Option<StoredAlarm>,
}

/// The outcome of the batches that were on their way when a life ended.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) replies: Vec<ReplySender<()>>,
    pub(super) stored: Vec<StoredBatch>,
    pub(super) alarms: Vec<StoredAlarm>,
}

/// The entries and alarms of all objects.
#[derive(Default)]
pub(super) struct Storage {
    entries: BTreeMap<(Object, Space), Entries>,
    alarms: BTreeMap<Object, StoredAlarm>,
    /// The last life of each object that has claimed it.
    claims: BTreeMap<Object, Epoch>,
    pending: BTreeMap<Object, VecDeque<PendingBatch>>,
    /// When the last batch of each object completes. Batches of one object complete in order.
    last: BTreeMap<Object, Micros>,
    next: u64,
    listed: Cell<u64>,
}

impl Storage {
    pub(super) fn read(&self, object: Object, space: Space, key: &[u8]) -> Option<Bytes> {
        self.entries.get(&(object, space))?.get(key).cloned()
    }

    /// Returns the number of entries of all objects.
    pub(super) fn count(&self) -> usize {
        self.entries.values().map(BTreeMap::len).sum()
    }

    pub(super) fn range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: Option<usize>,
        order: Order,
    ) -> Vec<(Bytes, Bytes)> {
        let Some(entries) = self.entries.get(&(object, space)) else { return Vec::new() };
        if is_empty(&keys) {
            return Vec::new();
        }
        let found = entries.range(keys).map(|(key, value)| (Bytes::copy_from_slice(key), value.clone()));
        let limit = limit.unwrap_or(usize::MAX);
        let found: Vec<_> = match order {
            Order::Ascending => found.take(limit).collect(),
            Order::Descending => found.rev().take(limit).collect(),
        };
        self.listed.set(self.listed.get() + found.len() as u64);
        found
    }

    /// Returns how many entries reads of ranges have returned so far.
    pub(super) fn listed(&self) -> u64 {
        self.listed.get()
    }

    /// Returns the time of the object's earliest alarm, stored or on its way.
    pub(super) fn alarm(&self, object: Object) -> Option<Timestamp> {
        let pending = self.pending.get(&object).into_iter().flatten().rev();
        let on_its_way = pending
            .filter(|pending| pending.fate != Fate::Fails)
            .find_map(|pending| pending.batch.alarm)
            .map(AlarmChange::time);
        on_its_way.unwrap_or_else(|| self.alarms.get(&object).map(|stored| stored.at))
    }

    /// Whether an alarm is being set or cleared. The earlier one does not ring meanwhile.
    pub(super) fn is_replacing_alarm(&self, object: Object) -> bool {
        self.pending.get(&object).into_iter().flatten().any(|pending| pending.batch.alarm.is_some())
    }

    pub(super) fn stored_alarm(&mut self, object: Object) -> Option<&mut StoredAlarm> {
        self.alarms.get_mut(&object)
    }

    /// Whether a later life than this one has claimed the object.
    pub(super) fn is_fenced(&self, object: Object, epoch: Epoch) -> bool {
        self.claims.get(&object).is_some_and(|claim| epoch < *claim)
    }

    /// Accepts a batch. Returns its key, and when it completes.
    pub(super) fn submit(
        &mut self,
        object: Object,
        epoch: Epoch,
        batch: Batch,
        reply: ReplySender<()>,
        (done_at, fate): (Micros, Fate),
    ) -> (u64, Micros) {
        let key = self.next;
        self.next += 1;
        self.pending.entry(object).or_default().push_back(PendingBatch { key, epoch, batch, fate, reply });
        let last = self.last.entry(object).or_default();
        *last = done_at.max(*last);
        (key, *last)
    }

    /// Completes a batch, unless [`settle`](Self::settle) has already decided about it.
    pub(super) fn complete(&mut self, object: Object, key: u64) -> Completed {
        let first = self.pending.get_mut(&object).and_then(|pending| {
            let is_first = pending.front().is_some_and(|first| first.key == key);
            if is_first { pending.pop_front() } else { None }
        });
        let Some(pending) = first else { return Completed::default() };
        let error = || Err(Error::new(Kind::Storage, "the disk failed"));
        if pending.fate == Fate::Fails {
            let kept = pending.batch.alarm.and_then(|_| self.keep_alarm(object));
            return Completed { reply: Some((pending.reply, error())), kept, ..Completed::default() };
        }
        let outcome = if pending.fate == Fate::InDoubt { error() } else { Ok(()) };
        let (stored, alarm) = self.apply(object, pending.epoch, pending.batch);
        Completed { reply: Some((pending.reply, outcome)), stored: Some(stored), alarm, kept: None }
    }

    /// Returns how many batches of an object are on their way.
    pub(super) fn on_their_way(&self, object: Object) -> usize {
        self.pending.get(&object).map_or(0, VecDeque::len)
    }

    /// Ends a life of the object. Of its batches on their way, the first `survive` are stored, and the others are lost.
    pub(super) fn settle(&mut self, object: Object, survive: usize) -> Settled {
        let pending = self.pending.remove(&object).unwrap_or_default();
        let mut settled = Settled::default();
        for (index, pending) in pending.into_iter().enumerate() {
            if index < survive && pending.fate != Fate::Fails {
                let (stored, alarm) = self.apply(object, pending.epoch, pending.batch);
                settled.alarms.extend(alarm);
                settled.stored.push(stored);
            } else if pending.batch.alarm.is_some() {
                settled.alarms.extend(self.keep_alarm(object));
            }
            settled.replies.push(pending.reply);
        }
        settled
    }

    /// Claims an object for a life that begins. Batches of earlier lives are rejected from now on.
    pub(super) fn claim(&mut self, object: Object, epoch: Epoch) {
        self.claims.insert(object, epoch);
    }

    /// A batch that would have replaced the time on disk is lost. The object is woken at that time, even if it was before.
    fn keep_alarm(&mut self, object: Object) -> Option<StoredAlarm> {
        let stored = self.alarms.get_mut(&object)?;
        stored.has_rung = false;
        Some(*stored)
    }

    fn apply(&mut self, object: Object, by: Epoch, batch: Batch) -> (StoredBatch, Option<StoredAlarm>) {
        let alarm = batch.alarm;
        (
            StoredBatch { by, log: self.apply_entries(object, batch.spaces) },
            alarm.and_then(|alarm| self.set_alarm(object, alarm)),
        )
    }

    /// Returns the records of logs among the entries.
    fn apply_entries(&mut self, object: Object, spaces: impl IntoIterator<Item = SpaceWrites>) -> LogEntries {
        let mut log = LogEntries::new();
        for SpaceWrites { space, delete_all, entries: written } in spaces {
            if space == Space::Log {
                log.extend(written.iter().cloned());
            }
            let entries = self.entries.entry((object, space)).or_default();
            if delete_all {
                entries.clear();
            }
            for (key, value) in written {
                match value {
                    Some(value) => drop(entries.insert(key, value)),
                    None => drop(entries.remove(&key)),
                }
            }
        }
        log
    }

    fn set_alarm(&mut self, object: Object, alarm: AlarmChange) -> Option<StoredAlarm> {
        match alarm.time() {
            Some(at) => {
                self.next += 1;
                let alarm = StoredAlarm { at, number: self.next, has_rung: false };
                self.alarms.insert(object, alarm);
                Some(alarm)
            }
            None => {
                self.alarms.remove(&object);
                None
            }
        }
    }

    /// Takes all batches that are on their way.
    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.pending)
    }
}

/// Whether `BTreeMap::range` would panic at this range.
fn is_empty((start, end): &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end) | Bound::Included(end)) => start >= end,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};

    use super::*;
    use crate::world::reply::{OnLoss, reply};

    fn object() -> Object {
        Object::Group(GroupAddress { class: ClassIndex(0), group: GroupId::from_name("hall", "main") })
    }

    fn batch(value: &'static str) -> Batch {
        let entries = vec![(b"key".to_vec(), Some(Bytes::from_static(value.as_bytes())))];
        Batch::of_entries(Space::User, entries)
    }

    #[test]
    fn an_earlier_life_is_fenced_once_a_later_one_has_claimed_the_object() {
        let (mut storage, object) = (Storage::default(), object());
        let [old, new] = [1, 2].map(Epoch::from_raw);
        storage.claim(object, old);
        assert!(!storage.is_fenced(object, old));
        storage.claim(object, new);
        assert!(storage.is_fenced(object, old) && !storage.is_fenced(object, new));
    }

    #[test]
    fn batches_on_their_way_survive_in_order_and_keep_their_life() {
        let (mut storage, object) = (Storage::default(), object());
        let epoch = Epoch::from_raw(1);
        for value in ["first", "second"] {
            let (sender, _) = reply(OnLoss::StaySilent);
            storage.submit(object, epoch, batch(value), sender, (10, Fate::Stored));
        }
        let settled = storage.settle(object, 1);
        let stored_by: Vec<_> = settled.stored.iter().map(|stored| stored.by).collect();
        assert_eq!((stored_by, settled.replies.len()), (vec![epoch], 2));
        assert_eq!(storage.read(object, Space::User, b"key").as_deref(), Some(&b"first"[..]));
        assert!(storage.complete(object, 0).reply.is_none(), "it was settled before");
    }
}
