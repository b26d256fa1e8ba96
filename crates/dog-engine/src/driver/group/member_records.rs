//! The members of a Group in its storage, from one life to the next.

use std::ops::Bound;

use bytes::Bytes;
use dog::internal::{Kind, LocalFuture};
use dog::{Epoch, Error, ReplicaId};

use crate::address::{GroupAddress, Object, ReplicaAddress};
use crate::books::MemberRecord;
use crate::host::{Batch, Host, Order, Space};

/// The version of the format. A later release recognises the records of an earlier one by it.
const FORMAT: u8 = 1;

/// The members of earlier lives.
pub(super) async fn load(host: &impl Host, group: GroupAddress) -> Result<Vec<MemberRecord>, Error> {
    let all = (Bound::Unbounded, Bound::Unbounded);
    let entries = host.read_range(Object::Group(group), Space::Members, all, None, Order::Ascending).await?;
    entries.iter().map(|(key, value)| decode(key, value)).collect()
}

/// Stores these members; a member without a record is deleted. Durable when it returns `Ok`.
pub(super) fn store(
    host: &impl Host,
    group: GroupAddress,
    epoch: Epoch,
    members: impl Iterator<Item = (ReplicaId, Option<MemberRecord>)>,
) -> LocalFuture<Result<(), Error>> {
    let entries = members.map(|(replica, record)| encode(replica, record)).collect();
    host.write(Object::Group(group), epoch, Batch::of_entries(Space::Members, entries))
}

/// Whether a Replica has neither an entry nor an alarm. If the storage cannot be read, it counts as storing something.
pub(super) async fn stores_nothing(host: &impl Host, group: GroupAddress, replica: ReplicaId) -> bool {
    let object = Object::Replica(ReplicaAddress { group, replica });
    let all = (Bound::Unbounded, Bound::Unbounded);
    let entries = host.read_range(object, Space::User, all, Some(1), Order::Ascending).await;
    entries.is_ok_and(|entries| entries.is_empty()) && matches!(host.alarm(object).await, Ok(None))
}

fn encode(replica: ReplicaId, record: Option<MemberRecord>) -> (Vec<u8>, Option<Bytes>) {
    let value = record.map(|record| Bytes::copy_from_slice(&[FORMAT, u8::from(record.parked)]));
    (replica.as_bytes().to_vec(), value)
}

fn decode(key: &[u8], value: &[u8]) -> Result<MemberRecord, Error> {
    let damaged = |what: &str| Error::new(Kind::Storage, format!("a record of a Group's member {what}"));
    let replica: [u8; 32] = key.try_into().map_err(|_| damaged("has a damaged key"))?;
    let replica = ReplicaId::from_bytes(replica);
    match value {
        [FORMAT, parked @ (0 | 1)] => Ok(MemberRecord { replica, parked: *parked == 1 }),
        [FORMAT, ..] | [] => Err(damaged("is damaged")),
        _ => Err(damaged("was written by a later release: run that one")),
    }
}

/// Decodes a stored record and encodes it again, for fuzzing: others can write to the disk that records are read from.
///
/// # Errors
/// When it is not a record.
#[cfg(fuzzing)]
pub fn rewrite_record(key: &[u8], value: &[u8]) -> Result<(Vec<u8>, Option<Bytes>), Error> {
    decode(key, value).map(|record| encode(record.replica, Some(record)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_what_they_write_and_refuse_the_rest() {
        let replica = ReplicaId::from_name("room", "1");
        for parked in [false, true] {
            let record = MemberRecord { replica, parked };
            let (key, value) = encode(replica, Some(record));
            assert_eq!(decode(&key, &value.unwrap()).unwrap(), record);
        }
        assert_eq!(encode(replica, None).1, None);
        let key = replica.as_bytes();
        assert!(decode(&key[1..], &[FORMAT, 0]).unwrap_err().is_storage());
        assert!(decode(key, &[FORMAT, 2]).unwrap_err().to_string().contains("damaged"));
        assert!(decode(key, &[FORMAT + 1, 0, 0]).unwrap_err().to_string().contains("later release"));
    }
}
