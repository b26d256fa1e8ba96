//! What objects have stored. Checks promises 10 and 11 for their entries and alarms.

use std::collections::{BTreeMap, BTreeSet};

use dog::Timestamp;

/// The id of an object.
pub(crate) type ObjectId = [u8; 32];

/// What one object has stored.
#[derive(Debug, Default)]
struct StoredValues {
    /// The highest count that was acknowledged.
    acknowledged: u64,
    counts: BTreeSet<u64>,
    /// The acknowledged alarm that has not rung. `None` while another one is being set, which may replace it.
    alarm: Option<Timestamp>,
    alarms: u64,
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

    /// Checks two entries that were read from disk when a life begins or at the end. They must be equal and not lower
    /// than the acknowledged count.
    pub(crate) fn found(&self, object: ObjectId, (first, second): (u64, u64)) -> Result<(), String> {
        let acknowledged = self.0.get(&object).map_or(0, |values| values.acknowledged);
        if first != second {
            return Err(format!("{:02x}…: half a transaction is on disk: {first} and {second}", object[0]));
        }
        if first < acknowledged {
            return Err(format!("{:02x}…: {first} is on disk, but {acknowledged} was acknowledged", object[0]));
        }
        Ok(())
    }

    /// Records that an alarm is being set. Returns its number.
    pub(crate) fn alarm_begins(&mut self, object: ObjectId) -> u64 {
        let values = self.0.entry(object).or_default();
        values.alarm = None;
        values.alarms += 1;
        values.alarms
    }

    /// Records that the alarm is set. It must ring, unless another one is being set since.
    pub(crate) fn alarm_set(&mut self, object: ObjectId, number: u64, at: Timestamp) {
        let values = self.0.entry(object).or_default();
        if values.alarms == number {
            values.alarm = Some(at);
        }
    }

    /// Records that the alarm has rung.
    pub(crate) fn alarm_rang(&mut self, object: ObjectId, now: Timestamp) {
        if let Some(values) = self.0.get_mut(&object) {
            values.alarm = values.alarm.filter(|at| *at > now);
        }
    }

    /// Checks after healing that each alarm that was due has rung.
    pub(crate) fn check_alarm(&self, object: ObjectId, now: Timestamp) -> Result<(), String> {
        match self.0.get(&object).and_then(|values| values.alarm).filter(|at| *at < now) {
            Some(at) => Err(format!("{:02x}…: the alarm of {at:?} has not rung", object[0])),
            None => Ok(()),
        }
    }
}
