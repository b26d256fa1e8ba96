//! The alarms of one object in one life, as plain decisions: [`AlarmBook`]. Time comes in; it says which handlers begin, what
//! is written, and when the host has to wake the object.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{Alarms, NewAlarm};
use dog::{List, MAX_ALARMS, Timestamp};

use super::alarm_record::AlarmRecord;
use crate::host::AlarmChange;

/// The delay after the first failure. It doubles with each further failure.
pub(super) const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay between two attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// How many handlers of alarms of one object run at once.
const MAX_RUNNING: usize = 64;

/// Which alarms are set, and whose handlers run.
///
/// The book is read from the storage when it is first needed, and again after a write that failed. What it decides to write
/// counts as written from then on.
#[derive(Debug)]
pub(super) struct AlarmBook {
    /// There is no book without the feature.
    _feature: Alarms,
    is_loaded: bool,
    set: BTreeMap<String, SetAlarm>,
    /// The names of all set alarms by the time of their next attempt.
    by_time: BTreeSet<(Timestamp, String)>,
    running: BTreeMap<String, Running>,
    /// Alarms whose failure, or success, could not be written, and when to call their handler again.
    held: BTreeMap<String, Attempt>,
    /// The time at which the host was last told to wake the object. `None`: that is not known.
    announced: Option<Option<Timestamp>>,
    /// The highest number of an alarm so far.
    last_number: u64,
    /// How often the book was found to differ from the storage.
    unloaded: u64,
}

/// When and how often to try an alarm.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u64,
    next: Timestamp,
    failed: u32,
}

#[derive(Debug)]
struct SetAlarm {
    due: Timestamp,
    attempt: Attempt,
    /// Until it is durable.
    payload: Option<Bytes>,
}

/// An alarm whose handler runs, or is about to.
#[derive(Debug)]
struct Running {
    attempt: Attempt,
    /// Once it is known.
    payload: Option<Bytes>,
}

/// An alarm whose handler is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DueAlarm {
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) due: Timestamp,
    pub(super) failed: u32,
    /// `None`: it is in the storage.
    pub(super) payload: Option<Bytes>,
}

/// What is to be written, as a whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AlarmWrites {
    /// Entries of the alarms' key space.
    pub(super) entries: Vec<(Vec<u8>, Option<Bytes>)>,
    /// The time of the earliest alarm, if the host has to be told.
    pub(super) alarm: Option<AlarmChange>,
    /// The alarms of which payloads are kept until this is durable.
    pub(super) pending: Vec<(String, u64)>,
}

fn delay(failed: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << failed.min(16)).min(LONGEST_DELAY)
}

impl AlarmBook {
    pub(super) fn new(feature: Alarms) -> Self {
        Self {
            _feature: feature,
            is_loaded: false,
            set: BTreeMap::new(),
            by_time: BTreeSet::new(),
            running: BTreeMap::new(),
            held: BTreeMap::new(),
            announced: None,
            last_number: 0,
            unloaded: 0,
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Changes when the book is found to differ from the storage: then what was read before must not be loaded.
    pub(super) fn generation(&self) -> u64 {
        self.unloaded
    }

    /// Takes the alarms that are stored.
    pub(super) fn load(&mut self, stored: impl IntoIterator<Item = (String, AlarmRecord)>) {
        self.is_loaded = true;
        for (name, AlarmRecord { due, next, number, failed, .. }) in stored {
            let stored = Attempt { number, next, failed };
            let held = self.held.get(&name).filter(|held| held.number == number);
            let attempt = held.copied().unwrap_or(stored);
            self.insert(name, SetAlarm { due, attempt, payload: None });
        }
        let set = &self.set;
        self.held.retain(|name, held| set.get(name).is_some_and(|set| set.attempt.number == held.number));
    }

    /// A write has failed: the storage has something else than the book.
    pub(super) fn unload(&mut self) {
        self.is_loaded = false;
        self.unloaded += 1;
        self.announced = None;
        self.set.clear();
        self.by_time.clear();
    }

    fn insert(&mut self, name: String, alarm: SetAlarm) {
        self.last_number = self.last_number.max(alarm.attempt.number);
        self.by_time.insert((alarm.attempt.next, name.clone()));
        if let Some(earlier) = self.set.insert(name.clone(), alarm)
            && self.set.get(&name).is_none_or(|set| set.attempt.next != earlier.attempt.next)
        {
            self.by_time.remove(&(earlier.attempt.next, name));
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some((name, earlier)) = self.set.remove_entry(name) {
            self.by_time.remove(&(earlier.attempt.next, name));
        }
    }

    fn is_current(&self, name: &str, number: u64) -> bool {
        self.set.get(name).is_some_and(|set| set.attempt.number == number)
    }

    /// Whether there is room for what is to be set.
    pub(super) fn has_room(&self, alarms: &BTreeMap<String, Option<NewAlarm>>) -> bool {
        let (mut more, mut fewer) = (0, 0);
        for (name, alarm) in alarms {
            match (alarm, self.set.contains_key(name)) {
                (Some(_), false) => more += 1,
                (None, true) => fewer += 1,
                _ => {}
            }
        }
        more == 0 || self.set.len() + more <= MAX_ALARMS + fewer
    }

    /// Sets and deletes alarms.
    pub(super) fn write(&mut self, alarms: BTreeMap<String, Option<NewAlarm>>, now: Timestamp) -> AlarmWrites {
        let mut writes = AlarmWrites::default();
        for (name, alarm) in alarms {
            let Some(NewAlarm { at, payload, .. }) = alarm else {
                // An alarm that is not set costs no write.
                self.held.remove(&name);
                if self.set.contains_key(&name) {
                    self.remove(&name);
                    writes.entries.push((name.into_bytes(), None));
                }
                continue;
            };
            self.held.remove(&name);
            let number = self.last_number + 1;
            let record = AlarmRecord { due: at, next: at, number, failed: 0, payload: payload.clone() };
            writes.entries.push((name.clone().into_bytes(), Some(record.encode())));
            writes.pending.push((name.clone(), number));
            let attempt = Attempt { number, next: at, failed: 0 };
            self.insert(name, SetAlarm { due: at, attempt, payload: Some(payload) });
        }
        writes.alarm = self.announce(now);
        writes
    }

    /// What the host has to be told of the earliest alarm. An alarm that is due needs no change of an earlier time: its
    /// handler runs or is about to, and the end of the last one is announced.
    fn announce(&mut self, now: Timestamp) -> Option<AlarmChange> {
        let earliest = self.by_time.first().map(|(at, _)| *at);
        if let (Some(Some(told)), Some(at)) = (self.announced, earliest)
            && told <= at
            && at <= now
        {
            return None;
        }
        if self.announced == Some(earliest) {
            return None;
        }
        self.announced = Some(earliest);
        Some(earliest.into())
    }

    /// The host has woken the object, and nothing was due: the host is told the time again.
    pub(super) fn announce_again(&mut self) -> AlarmChange {
        let earliest = self.by_time.first().map(|(at, _)| *at);
        self.announced = Some(earliest);
        earliest.into()
    }

    /// These alarms are durable: their payloads can be read.
    pub(super) fn durable(&mut self, pending: &[(String, u64)]) {
        for (name, number) in pending {
            if let Some(set) = self.set.get_mut(name).filter(|set| set.attempt.number == *number) {
                set.payload = None;
            }
        }
    }

    /// Takes the next alarm that is due, in the order of their times. Its handler runs from now on.
    pub(super) fn begin_next(&mut self, now: Timestamp) -> Option<DueAlarm> {
        if self.running.len() >= MAX_RUNNING {
            return None;
        }
        let due = self.by_time.iter().take_while(|(at, _)| *at <= now);
        let name = due.map(|(_, name)| name).find(|name| !self.running.contains_key(*name))?.clone();
        let SetAlarm { due, attempt, payload } = self.set.get(&name)?;
        let (due, attempt, payload) = (*due, *attempt, payload.clone());
        self.running.insert(name.clone(), Running { attempt, payload: payload.clone() });
        Some(DueAlarm { name, number: attempt.number, due, failed: attempt.failed, payload })
    }

    /// The payload of an alarm whose handler is about to run was read.
    pub(super) fn note_payload(&mut self, name: &str, payload: &Bytes) {
        if let Some(running) = self.running.get_mut(name) {
            running.payload = Some(payload.clone());
        }
    }

    /// The handler of an alarm has succeeded: the alarm is cleared, unless it was set again meanwhile. The handler counts as
    /// running until [`end`](Self::end).
    pub(super) fn succeeded(&mut self, name: &str, number: u64, now: Timestamp) -> Option<AlarmWrites> {
        self.held.remove(name);
        if !self.is_current(name, number) {
            return None;
        }
        self.remove(name);
        let entries = vec![(name.as_bytes().to_vec(), None)];
        Some(AlarmWrites { entries, alarm: self.announce(now), pending: Vec::new() })
    }

    /// The handler of an alarm has failed: it is called again later, unless the alarm was set again or deleted meanwhile.
    pub(super) fn failed(&mut self, name: &str, number: u64, now: Timestamp) -> Option<AlarmWrites> {
        self.held.remove(name);
        let entry = self.next_attempt(name, number, self.running.get(name)?.payload.clone()?, now)?;
        Some(AlarmWrites { entries: vec![entry], alarm: self.announce(now), pending: Vec::new() })
    }

    fn next_attempt(
        &mut self,
        name: &str,
        number: u64,
        payload: Bytes,
        now: Timestamp,
    ) -> Option<(Vec<u8>, Option<Bytes>)> {
        let SetAlarm { due, attempt: Attempt { failed, .. }, .. } =
            self.set.get(name).filter(|set| set.attempt.number == number)?;
        let (due, failed) = (*due, *failed);
        let attempt = Attempt { number, next: now + delay(failed), failed: failed.saturating_add(1) };
        let record = AlarmRecord { due, next: attempt.next, number, failed: attempt.failed, payload };
        self.insert(name.to_owned(), SetAlarm { due, attempt, payload: None });
        Some((name.as_bytes().to_vec(), Some(record.encode())))
    }

    /// The outcome of an alarm's handler could not be written, so the handler is called again after its delay.
    pub(super) fn hold(&mut self, name: &str, now: Timestamp) {
        let Some(Running { attempt: Attempt { number, failed, .. }, .. }) = self.running.get(name) else { return };
        let attempt = Attempt { number: *number, next: now + delay(*failed), failed: failed.saturating_add(1) };
        self.held.insert(name.to_owned(), attempt);
        if let Some(SetAlarm { due, .. }) = self.set.get(name).filter(|set| set.attempt.number == attempt.number) {
            let alarm = SetAlarm { due: *due, attempt, payload: None };
            self.insert(name.to_owned(), alarm);
        }
    }

    /// An alarm that was about to run is not stored under this number. If it was not set again or deleted meanwhile, a later life
    /// has cleared or replaced it. This life has not noticed yet that it is over, and must not ask for it again and again.
    pub(super) fn is_missing(&mut self, name: &str, number: u64) {
        if self.is_current(name, number) {
            self.held.remove(name);
            self.remove(name);
        }
        self.end(name);
    }

    /// The handler of an alarm runs no more, and all of its outcome is written or has failed.
    pub(super) fn end(&mut self, name: &str) {
        self.running.remove(name);
    }

    /// Whether handlers run, or have to be called again at times that only this book knows. The life must stay in memory.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty() || !self.held.is_empty()
    }

    /// When the next alarm is due whose handler does not run. The host wakes the object only for the earliest alarm, and that
    /// may be one that runs.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        if self.running.len() >= MAX_RUNNING {
            return None;
        }
        let mut waiting = self.by_time.iter().filter(|(_, name)| !self.running.contains_key(name));
        waiting.next().map(|(at, _)| *at)
    }

    /// The life ends. The handlers that run count as failed, and the host wakes the next life for them. `woken`: the host has
    /// woken this life, and what is due was not looked up yet.
    pub(super) fn end_of_life(&mut self, now: Timestamp, woken: bool) -> Option<AlarmWrites> {
        let running = std::mem::take(&mut self.running);
        let is_due = self.by_time.first().is_some_and(|(at, _)| *at <= now);
        if running.is_empty() && !is_due && !woken {
            return None;
        }
        let mut entries = Vec::new();
        for (name, Running { attempt, payload }) in running {
            entries.extend(payload.and_then(|payload| self.next_attempt(&name, attempt.number, payload, now)));
        }
        let soonest = now + FIRST_DELAY;
        let wake = match self.by_time.first() {
            Some((at, _)) => Some((*at).max(soonest)),
            None => (!self.is_loaded).then_some(soonest),
        };
        Some(AlarmWrites { entries, alarm: Some(wake.into()), pending: Vec::new() })
    }

    /// The time for which an alarm is set. An alarm whose handler runs does not count.
    pub(super) fn due(&self, name: &str) -> Option<Timestamp> {
        let set = self.set.get(name)?;
        let runs = self.running.get(name).is_some_and(|running| running.attempt.number == set.attempt.number);
        (!runs).then_some(set.due)
    }

    /// The alarms whose names `list` selects, in its order.
    pub(super) fn list(&self, list: &List) -> Vec<(String, Timestamp)> {
        let names = list.of(&self.set).filter_map(|(name, _)| Some((name.clone(), self.due(name)?)));
        let most = list.most().unwrap_or(usize::MAX);
        if list.is_reverse() {
            let mut names: Vec<_> = names.collect();
            names.reverse();
            names.truncate(most);
            return names;
        }
        names.take(most).collect()
    }
}

#[cfg(test)]
mod tests;
