//! What objects have stored. Checks promises 10 and 11 for their entries, and 21 for their alarms.

use std::collections::{BTreeMap, BTreeSet};

use dog::{Alarm, Timestamp};

/// The id of an object.
pub(crate) type ObjectId = [u8; 32];

/// What one object has stored.
#[derive(Debug, Default)]
struct StoredValues {
    /// The highest count that was acknowledged.
    acknowledged: u64,
    counts: BTreeSet<u64>,
    /// The alarms by their names.
    alarms: BTreeMap<String, StoredAlarm>,
}

/// The alarms that were set under one name.
#[derive(Debug, Default)]
struct StoredAlarm {
    /// When the acknowledged one is due that has not rung. `None` while another one is being set, which may replace it.
    due: Option<Timestamp>,
    /// All with lower numbers were replaced by one that was acknowledged.
    replaced_below: u64,
    /// How many were to be set.
    count: u64,
    /// Those that are being set, each with the lowest number that was being set when it began. Their order is not known.
    pending: BTreeMap<u64, u64>,
}

/// What all objects have stored.
#[derive(Debug, Default)]
pub(crate) struct Stored(BTreeMap<ObjectId, StoredValues>);

impl Stored {
    /// Records a count that was acknowledged. Returns an error if the same count was acknowledged before, by another
    /// life or transaction.
    pub(crate) fn counted(&mut self, object: ObjectId, count: u64) -> Result<(), String> {
        let values = self.0.entry(object).or_default();
        values.acknowledged = values.acknowledged.max(count);
        if values.counts.insert(count) {
            return Ok(());
        }
        Err(format!("{:02x}…: count {count} was acknowledged twice", object[0]))
    }

    /// Checks two entries and a record of the log that were read from disk when a life begins or at the end. They must be
    /// equal and not lower than the acknowledged count.
    pub(crate) fn found(&self, object: ObjectId, counts: [u64; 3]) -> Result<(), String> {
        let [first, ..] = counts;
        let acknowledged = self.0.get(&object).map_or(0, |values| values.acknowledged);
        if counts.iter().any(|count| *count != first) {
            return Err(format!("{:02x}…: half a transaction is on disk: {counts:?}", object[0]));
        }
        if first < acknowledged {
            return Err(format!("{:02x}…: {first} is on disk, but {acknowledged} was acknowledged", object[0]));
        }
        Ok(())
    }

    /// A life begins: what its predecessors were setting is set or never will be.
    pub(crate) fn life_begins(&mut self, object: ObjectId) {
        let alarms = self.0.get_mut(&object).into_iter().flat_map(|values| values.alarms.values_mut());
        alarms.for_each(|alarm| alarm.pending.clear());
    }

    /// Records that an alarm is being set. Returns its number.
    pub(crate) fn alarm_begins(&mut self, object: ObjectId, name: &str) -> u64 {
        let alarm = self.0.entry(object).or_default().alarms.entry(name.to_owned()).or_default();
        alarm.due = None;
        alarm.count += 1;
        let lowest = alarm.pending.first_key_value().map_or(alarm.count, |(number, _)| *number);
        alarm.pending.insert(alarm.count, lowest);
        alarm.count
    }

    /// Records that the alarm is set for `at`, or that this failed. It must ring, unless another one of its name is being set
    /// since, or was when it began.
    pub(crate) fn alarm_set(&mut self, object: ObjectId, name: &str, number: u64, at: Option<Timestamp>) {
        let alarm = self.0.entry(object).or_default().alarms.entry(name.to_owned()).or_default();
        let lowest = alarm.pending.remove(&number).unwrap_or(number);
        if at.is_some() {
            alarm.replaced_below = alarm.replaced_below.max(lowest);
        }
        if alarm.count == number && lowest == number {
            alarm.due = at;
        }
    }

    /// Records that the alarm has rung. Returns an error if it was not due, or had been replaced.
    pub(crate) fn alarm_rang(
        &mut self,
        object: ObjectId,
        alarm: &Alarm,
        number: u64,
        now: Timestamp,
    ) -> Result<(), String> {
        let (name, due) = (alarm.name(), alarm.due());
        let stored = self.0.entry(object).or_default().alarms.entry(name.to_owned()).or_default();
        if stored.count == number {
            stored.due = None;
        }
        if due > now {
            return Err(format!("{:02x}…: the alarm {name} of {due:?} rang at {now:?}", object[0]));
        }
        if number < stored.replaced_below {
            return Err(format!("{:02x}…: the alarm {name} rang as it was before it was replaced", object[0]));
        }
        Ok(())
    }

    /// Checks after healing that each alarm that was due has rung.
    pub(crate) fn check_alarms(&self, object: ObjectId, now: Timestamp) -> Result<(), String> {
        let mut alarms = self.0.get(&object).into_iter().flat_map(|values| &values.alarms);
        let missed = alarms.find_map(|(name, alarm)| Some((name, alarm.due.filter(|at| *at < now)?)));
        match missed {
            Some((name, at)) => Err(format!("{:02x}…: the alarm {name} of {at:?} has not rung", object[0])),
            None => Ok(()),
        }
    }
}
