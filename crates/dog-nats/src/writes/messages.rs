//! Merges the writes of one batch into messages.

use std::collections::BTreeMap;

use dog_engine::address::Object;
use dog_engine::host::{AlarmChange, Batch, SpaceWrites};

use crate::alarms::AlarmRecord;
use crate::names::Names;
use crate::stream::{Put, StreamError};

/// Returns the messages of these writes, sorted by subject. For each subject, the last write counts. `existing`
/// contains the present subjects, for each space of which all entries are deleted.
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
        for SpaceWrites { space, delete_all, entries } in &batch.spaces {
            if *delete_all {
                existing.next().unwrap_or_default().into_iter().for_each(|subject| put(Put::deletion(subject)));
            }
            for (key, value) in entries {
                let subject = names.entry(object, *space, key);
                put(match value {
                    Some(value) => Put::new(subject, value.clone()),
                    None => Put::deletion(subject),
                });
            }
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
