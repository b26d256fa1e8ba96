//! Steps of storage scripts that are about the records of logs.

use std::ops::Bound;

use dog::internal::{Kind, log_records, write_log_record};
use dog::{Bytes, Error, Storage, Transaction};

use super::protocol::Found;

/// Bytes that say how many they are.
fn record(length: usize) -> Bytes {
    (0..length).map(|at| (at.wrapping_mul(31) ^ length).to_le_bytes()[0]).collect()
}

pub(super) fn write(transaction: &Transaction, key: &str, length: Option<usize>) -> Found {
    write_log_record(transaction, key.into(), length.map(record));
    Found::Done
}

/// The records from a key on and before another one.
pub(super) async fn read(
    storage: &Storage,
    (from, until): (&str, &str),
    most: usize,
    reverse: bool,
) -> Result<Found, Error> {
    let keys = (Bound::Included(from.into()), Bound::Excluded(until.into()));
    let damaged = || Error::new(Kind::Storage, "a record is not what was written");
    let found = log_records(storage, keys, most, reverse).await?.into_iter().map(|(key, bytes)| {
        let key = String::from_utf8(key.to_vec()).map_err(|_| damaged())?;
        if bytes == record(bytes.len()) { Ok((key, bytes.len())) } else { Err(damaged()) }
    });
    Ok(Found::Records(found.collect::<Result<_, _>>()?))
}
