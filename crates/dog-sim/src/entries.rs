//! The two entries and the record of a log that objects keep equal, in one transaction: what is written and read (promises 10 and 11).

use std::ops::Bound;

use dog::internal::{decode, encode, log_records, write_log_record};
use dog::{Result, Storage};

use crate::witness::Witness;

/// The key of the record.
pub(crate) const RECORD: &[u8] = b"log\0counts";

/// Increments what must always be equal.
pub(crate) async fn count_up(witness: &Witness, object: [u8; 32], storage: &Storage) -> Result {
    let counted = storage.transaction(async |entries| {
        let count = entries.get::<u64>("first").await?.unwrap_or(0) + 1;
        entries.put("first", &count)?;
        entries.put("second", &count)?;
        write_log_record(entries, RECORD.to_vec(), Some(encode(&count)?));
        Ok(count)
    });
    // A disk that fails is not an error of the handler.
    if let Ok(count) = counted.await {
        witness.record().counted(object, count);
    }
    Ok(())
}

pub(crate) async fn check_entries(witness: &Witness, object: [u8; 32], storage: &Storage) -> Result {
    let is_current = witness.record().runs_current_life(object);
    let first = storage.get::<u64>("first").await?.unwrap_or(0);
    let second = storage.get::<u64>("second").await?.unwrap_or(0);
    let key = (Bound::Included(RECORD.to_vec()), Bound::Included(RECORD.to_vec()));
    let logged = log_records(storage, key, 1, false).await?;
    let logged = logged.first().map(|(_, count)| decode::<u64>(count)).transpose()?.unwrap_or(0);
    let mut record = witness.record();
    // In an old life, a new one may have written between the reads.
    if is_current && record.runs_current_life(object) {
        record.found(object, [first, second, logged]);
    }
    Ok(())
}
