//! What a Group keeps of its members from one life to the next.

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{Kind, LocalFuture};
use dog::{Error, Group, ReplicaId};

use super::group::{Awake, GroupDriver};
use super::life::start;
use crate::address::{Object, ReplicaAddress};
use crate::books::MemberRecord;
use crate::host::{Batch, Host, Order, Space};
use crate::repeats::seldom;

/// How many parked members are looked at before others have their turn.
const EXAMINED_TOGETHER: usize = 128;

/// The version of the records' form. A later release that reads an earlier one's knows it by this byte.
const FORM: u8 = 1;

impl<G: Group, H: Host> GroupDriver<G, H> {
    /// The members of earlier lives.
    pub(super) async fn records(&self) -> Result<Vec<MemberRecord>, Error> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let entries =
            self.host.read_range(Object::Group(self.address), Space::Members, all, None, Order::Ascending).await?;
        entries.iter().map(|(key, value)| decode(key, value)).collect()
    }

    /// Keeps members as they stand. Durable when it returns `Ok`.
    pub(super) fn keep(&self, awake: &Awake<G>, replicas: &[ReplicaId]) -> LocalFuture<Result<(), Error>> {
        let books = awake.books.borrow();
        let entries = replicas.iter().map(|replica| encode(*replica, books.record(*replica))).collect();
        let batch = Batch { space: Space::Members, entries, ..Batch::default() };
        self.host.write(Object::Group(self.address), self.epoch, batch)
    }

    /// The same, where nobody needs to wait: what is kept instead is not wrong, only older.
    pub(super) fn keep_later(&self, awake: &Awake<G>, replicas: &[ReplicaId]) {
        let Some(this) = self.this.upgrade().filter(|_| !replicas.is_empty()) else { return };
        let written = self.keep(awake, replicas);
        start(&this.clone(), async move {
            if let Err(error) = written.await {
                seldom!(this.host, error, "the members of a Group could not be kept", group = %this.address, "the members could not be kept: {error}");
            }
        });
    }
}

impl<G: Group, H: Host> GroupDriver<G, H> {
    /// Looks whether these parked members keep anything, and forgets those that do not: a room that was left costs nothing
    /// for good, and neither does a Replica that was made for somebody who never came.
    pub(super) fn forget_unused(&self, parked: Vec<ReplicaId>) {
        let Some(this) = self.this.upgrade().filter(|_| !parked.is_empty()) else { return };
        start(&this.clone(), async move {
            for some in parked.chunks(EXAMINED_TOGETHER) {
                let mut unused = Vec::new();
                for replica in some {
                    if this.keeps_nothing(*replica).await {
                        unused.push(*replica);
                    }
                }
                let Some(awake) = this.awake_now() else { return };
                let gone = awake.books.borrow_mut().forget(&unused);
                this.keep_later(&awake, &gone);
                if parked.len() > EXAMINED_TOGETHER {
                    // Others have their turn.
                    this.host.sleep(Duration::ZERO).await;
                }
            }
        });
    }

    /// Whether neither an entry nor an alarm of a Replica is stored. One that cannot be read is kept.
    async fn keeps_nothing(&self, replica: ReplicaId) -> bool {
        let object = Object::Replica(ReplicaAddress { group: self.address, replica });
        let all = (Bound::Unbounded, Bound::Unbounded);
        let entries = self.host.read_range(object, Space::User, all, Some(1), Order::Ascending).await;
        entries.is_ok_and(|entries| entries.is_empty()) && matches!(self.host.alarm(object).await, Ok(None))
    }
}

fn encode(replica: ReplicaId, record: Option<MemberRecord>) -> (Vec<u8>, Option<Bytes>) {
    let value = record.map(|record| Bytes::copy_from_slice(&[FORM, u8::from(record.parked)]));
    (replica.as_bytes().to_vec(), value)
}

fn decode(key: &[u8], value: &[u8]) -> Result<MemberRecord, Error> {
    let damaged = |what: &str| Error::new(Kind::Storage, format!("a record of a Group's member {what}"));
    let replica: [u8; 32] = key.try_into().map_err(|_| damaged("has a damaged key"))?;
    let replica = ReplicaId::from_bytes(replica);
    match value {
        [FORM, parked @ (0 | 1)] => Ok(MemberRecord { replica, parked: *parked == 1 }),
        [FORM, ..] | [] => Err(damaged("is damaged")),
        _ => Err(damaged("was written by a later release: run that one")),
    }
}

/// Reads a stored record and writes it again. Records are read from a disk that others write to as well, and so are
/// fuzzed: this is there in such a build only.
///
/// # Errors
/// When it is no record.
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
        assert!(decode(&key[1..], &[FORM, 0]).unwrap_err().is_storage());
        assert!(decode(key, &[FORM, 2]).unwrap_err().to_string().contains("damaged"));
        assert!(decode(key, &[FORM + 1, 0, 0]).unwrap_err().to_string().contains("later release"));
    }
}
