//! Reads the alarms of one object.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use dog::Error;
use dog::internal::Kind;

use super::alarm_record::AlarmRecord;
use crate::address::Object;
use crate::host::{Host, Order, Space};

/// How many alarms are read at a time. Their payloads have 16 KiB at most.
const PAGE: usize = 256;

/// The stored alarms, without their payloads.
pub(super) async fn stored_alarms(host: &impl Host, object: Object) -> Result<BTreeMap<String, AlarmRecord>, Error> {
    let mut stored = BTreeMap::new();
    let mut from = Bound::Unbounded;
    loop {
        let keys = (from, Bound::Unbounded);
        let page = host.read_range(object, Space::Alarms, keys, Some(PAGE), Order::Ascending).await?;
        let is_last = page.len() < PAGE;
        from = page.last().map_or(Bound::Unbounded, |(key, _)| Bound::Excluded(key.to_vec()));
        for (key, value) in page {
            let name = String::from_utf8(key.to_vec())
                .map_err(|cause| Error::caused(Kind::Storage, "the name of a stored alarm is damaged", cause))?;
            let record = AlarmRecord { payload: Bytes::new(), ..AlarmRecord::decode(&value)? };
            stored.insert(name, record);
        }
        if is_last {
            return Ok(stored);
        }
    }
}

/// The payload of a stored alarm. `None` if another alarm has its name by now, or none.
pub(super) async fn read_alarm(
    host: &impl Host,
    object: Object,
    name: &str,
    number: u64,
) -> Result<Option<Bytes>, Error> {
    let stored = host.read(object, Space::Alarms, name.as_bytes().to_vec()).await?;
    let record = stored.map(|stored| AlarmRecord::decode(&stored)).transpose()?;
    Ok(record.filter(|record| record.number == number).map(|record| record.payload))
}
