//! The messages of some writes that go together.

use std::collections::BTreeMap;

use dog_engine::address::Object;
use dog_engine::host::{AlarmChange, Batch};

use crate::alarms::AlarmRecord;
use crate::names::Names;
use crate::stream::{Put, StreamError};

/// The messages of these writes, in the order of their subjects. A later write replaces what an earlier one has for a subject.
/// `existing` has, for each write that deletes all entries, the subjects that there are.
pub(super) fn messages_of(
    names: &Names,
    object: Object,
    writes: &[(&'static str, Batch)],
    existing: Vec<Vec<String>>,
) -> Result<Vec<Put>, StreamError> {
    let mut puts: BTreeMap<String, Put> = BTreeMap::new();
    let mut put = |put: Put| drop(puts.insert(put.subject.clone(), put));
    let mut existing = existing.into_iter();
    for (class, batch) in writes {
        if batch.delete_all {
            existing.next().unwrap_or_default().into_iter().for_each(|subject| put(Put::deletion(subject)));
        }
        for (key, value) in &batch.entries {
            let subject = names.entry(object, batch.space, key);
            put(match value {
                Some(value) => Put::new(subject, value.clone()),
                None => Put::deletion(subject),
            });
        }
        if let Some(alarm) = batch.alarm.map(AlarmChange::time) {
            let subject = names.alarm(object);
            put(match alarm {
                Some(at) => {
                    let text = AlarmRecord::new(at, class).encode();
                    Put::new(subject, text.map_err(|error| StreamError::Rejected(error.to_string()))?)
                }
                None => Put::deletion(subject),
            });
        }
    }
    Ok(puts.into_values().collect())
}
