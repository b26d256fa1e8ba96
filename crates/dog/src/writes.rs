//! What is to be written as one: [`StorageWrites`].

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::alarm::NewAlarm;
use crate::codec;
use crate::error::{Error, Kind};
use crate::log::publication::{LogTopic, NewPublication};

/// Longest key, in bytes.
pub const MAX_KEY: usize = 2 * 1024;

/// Largest value, in bytes when serialised.
pub const MAX_VALUE: usize = 2 * 1024 * 1024;

/// Values and alarms to be stored, and keys and alarms to be deleted.
#[derive(Clone, Debug, Default)]
pub struct StorageWrites {
    /// The values by their keys. `None` deletes.
    pub entries: BTreeMap<String, Option<Bytes>>,
    /// The alarms by their names. `None` deletes.
    pub alarms: BTreeMap<String, Option<NewAlarm>>,
    /// The records of logs by their keys. `None` deletes.
    pub log: BTreeMap<Vec<u8>, Option<Bytes>>,
    /// What is published, in this order.
    pub publications: Vec<(LogTopic, NewPublication)>,
}

impl StorageWrites {
    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Error> {
        check_key(key)?;
        let bytes = codec::encode(value)?;
        check_length(bytes.len())?;
        self.entries.insert(key.to_owned(), Some(bytes));
        Ok(())
    }

    pub(crate) fn put_bytes(&mut self, key: &str, bytes: &Bytes) -> Result<(), Error> {
        check_key(key)?;
        check_length(bytes.len())?;
        self.entries.insert(key.to_owned(), Some(codec::encode(bytes)?));
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) -> Result<(), Error> {
        check_key(key)?;
        self.entries.insert(key.to_owned(), None);
        Ok(())
    }
}

fn check_length(length: usize) -> Result<(), Error> {
    match length {
        0..=MAX_VALUE => Ok(()),
        _ => {
            let message = format!("the value is {length} bytes serialised, {MAX_VALUE} at most");
            Err(Error::new(Kind::ValueTooLarge, message))
        }
    }
}

pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        0..=MAX_KEY => Ok(()),
        length => Err(Error::new(Kind::ValueTooLarge, format!("the key is {length} bytes long, {MAX_KEY} at most"))),
    }
}
