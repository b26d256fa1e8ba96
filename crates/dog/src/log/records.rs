//! The stored records of logs, in a key space of their own: [`Storage::delete_all`] leaves them.

use std::ops::Bound;

use bytes::Bytes;

use crate::error::Error;
use crate::storage::Storage;
use crate::transaction::Transaction;

/// Writes a record, or deletes it, when the transaction is made: together with its entries and alarms, or not at all.
pub fn write_log_record(transaction: &Transaction, key: Vec<u8>, record: Option<Bytes>) {
    transaction.writes().borrow_mut().log.insert(key, record);
}

/// The records in a range of keys, `most` of them at most, in the order of the keys or in the opposite one. Writes that are not
/// durable yet are not among them.
///
/// # Errors
/// - [`Error::is_closed`]: this activation of the object is over.
/// - [`Error::is_storage`]: the storage failed.
pub async fn log_records(
    storage: &Storage,
    keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    most: usize,
    reverse: bool,
) -> Result<Vec<(Bytes, Bytes)>, Error> {
    storage.port().log_records(keys, most, reverse).await
}
