//! The two entries that objects keep equal, in one transaction: what is written and read (promises 10 and 11).

use dog::{Result, Storage};

use crate::record::Witness;

/// Increments two entries that must always be equal.
pub(crate) async fn count_up(witness: &Witness, object: [u8; 32], storage: &Storage) -> Result {
    let counted = storage.transaction(async |entries| {
        let count = entries.get::<u64>("first").await?.unwrap_or(0) + 1;
        entries.put("first", &count)?;
        entries.put("second", &count)?;
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
    let mut record = witness.record();
    // In an old life, a new one may have written between the two reads.
    if is_current && record.runs_current_life(object) {
        record.found(object, (first, second));
    }
    Ok(())
}
