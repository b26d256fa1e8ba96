//! What objects have stored: promises 10 and 11 of their entries and alarms.

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
    /// The alarm that was acknowledged and has not rung. `None` while another is being set, which may replace it.
    alarm: Option<Timestamp>,
    alarms: u64,
}

/// What all objects have stored.
#[derive(Debug, Default)]
pub(crate) struct Stored(BTreeMap<ObjectId, StoredValues>);

impl Stored {
    /// A count was acknowledged. Two lives, or two transactions, cannot both get the same count.
    pub(crate) fn counted(&mut self, object: ObjectId, count: u64) -> Result<(), String> {
        let values = self.0.entry(object).or_default();
        values.acknowledged = values.acknowledged.max(count);
        if values.counts.insert(count) {
            return Ok(());
        }
        Err(format!("{:02x}…: count {count} was acknowledged twice", object[0]))
    }

    /// What is on disk when a life begins, or at the end: two entries that are always equal.
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

    /// An alarm is being set. Returns its number.
    pub(crate) fn alarm_begins(&mut self, object: ObjectId) -> u64 {
        let values = self.0.entry(object).or_default();
        values.alarm = None;
        values.alarms += 1;
        values.alarms
    }

    /// The alarm is set. It must ring, unless another was begun since.
    pub(crate) fn alarm_set(&mut self, object: ObjectId, number: u64, at: Timestamp) {
        let values = self.0.entry(object).or_default();
        if values.alarms == number {
            values.alarm = Some(at);
        }
    }

    /// The alarm has rung.
    pub(crate) fn alarm_rang(&mut self, object: ObjectId, now: Timestamp) {
        if let Some(values) = self.0.get_mut(&object) {
            values.alarm = values.alarm.filter(|at| *at > now);
        }
    }

    /// After healing, every alarm that was due must have rung.
    pub(crate) fn check_alarm(&self, object: ObjectId, now: Timestamp) -> Result<(), String> {
        match self.0.get(&object).and_then(|values| values.alarm).filter(|at| *at < now) {
            Some(at) => Err(format!("{:02x}…: the alarm of {at:?} has not rung", object[0])),
            None => Ok(()),
        }
    }
}
