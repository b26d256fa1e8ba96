//! What a Group writes down of its clients when its host ends, and reads when it wakes again: so that whoever comes back
//! after a restart finds its Replica. Between the two it is in memory only, for a write at every placement would cost
//! more than it is worth.

use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;
use dog::internal::{self, Kind, LocalFuture};
use dog::{ClientId, Error, Group, ReplicaId, Timestamp};

use super::group::GroupDriver;
use super::life::start;
use crate::address::Object;
use crate::books::ClientRecord;
use crate::host::{Batch, Host, Order, Space};
use crate::repeats::seldom;

/// The version of the records' form.
const FORM: u8 = 1;

/// So many clients stand in one entry: 300 KiB at most, and few entries.
const TOGETHER: usize = 1000;

/// How one client stands in an entry.
type Written = (ClientId, ReplicaId, Timestamp);

impl<G: Group, H: Host> GroupDriver<G, H> {
    /// Writes down where clients were.
    pub(super) fn write_clients(&self) {
        if !self.host.profile().announces_shutdown {
            return;
        }
        let (Some(this), Some(awake)) = (self.this.upgrade(), self.awake_now()) else { return };
        let records = awake.books.borrow().remembered(self.host.now());
        let written = records.chunks(TOGETHER).zip(0_u32..).map(|(clients, place)| {
            let entries = vec![(place.to_be_bytes().to_vec(), Some(encode(clients)?))];
            let batch = Batch { space: Space::Clients, entries, ..Batch::default() };
            Ok(self.host.write(Object::Group(self.address), self.epoch, batch))
        });
        let written: Vec<Result<_, Error>> = written.collect();
        start(&this.clone(), async move {
            for written in written {
                let outcome = match written {
                    Ok(written) => written.await,
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    seldom!(this.host, warn, "clients may come back to other Replicas", group = %this.address, "clients may come back to other Replicas: {error}");
                }
            }
        });
    }

    /// What was written down when the host last ended. It is read once: later it would be wrong. Boxed, so that where it is
    /// never made it is not in the program either.
    pub(super) fn remembered(self: &Rc<Self>) -> LocalFuture<Result<Vec<ClientRecord>, Error>> {
        if !self.host.profile().announces_shutdown {
            return Box::pin(async { Ok(Vec::new()) });
        }
        let this = Rc::clone(self);
        Box::pin(async move {
            let (object, all) = (Object::Group(this.address), (Bound::Unbounded, Bound::Unbounded));
            let entries = this.host.read_range(object, Space::Clients, all, None, Order::Ascending).await?;
            if !entries.is_empty() {
                this.forget_written();
            }
            Ok(entries.iter().flat_map(|(_, value)| this.read_record(value)).collect())
        })
    }

    /// Nothing waits for it: should it be lost, what is found once more is too old, or still true of most.
    fn forget_written(&self) {
        let batch = Batch { space: Space::Clients, delete_all: true, ..Batch::default() };
        let deleted = self.host.write(Object::Group(self.address), self.epoch, batch);
        let host = Rc::clone(&self.host);
        self.host.spawn(Box::pin(async move {
            if let Err(error) = deleted.await {
                seldom!(
                    host,
                    warn,
                    "what was known of clients could not be deleted",
                    "what was known of clients before the restart could not be deleted: {error}"
                );
            }
        }));
    }

    /// No promise of the next life depends on it but a client's way back, so it is no reason to stay asleep.
    fn read_record(&self, value: &[u8]) -> Vec<ClientRecord> {
        decode(value).unwrap_or_else(|error| {
            seldom!(self.host, warn, "some clients are not remembered", group = %self.address, "some clients are not remembered: {error}");
            Vec::new()
        })
    }
}

fn encode(clients: &[ClientRecord]) -> Result<Bytes, Error> {
    let clients: Vec<Written> =
        clients.iter().map(|record| (record.client.clone(), record.replica, record.since)).collect();
    Ok([&[FORM], &*internal::encode(&clients)?].concat().into())
}

fn decode(value: &[u8]) -> Result<Vec<ClientRecord>, Error> {
    let damaged = |what: &str| Error::new(Kind::Storage, format!("a record of a Group's clients {what}"));
    let Some((&FORM, clients)) = value.split_first() else {
        return Err(damaged("is empty, or was written by a later release"));
    };
    let clients: Vec<Written> = internal::decode(clients).map_err(|_| damaged("is damaged"))?;
    let record = |(client, replica, since)| ClientRecord { client, replica, since };
    Ok(clients.into_iter().map(record).collect())
}

/// Reads a stored record and writes it again, for fuzzing.
///
/// # Errors
/// When it is no record.
#[cfg(fuzzing)]
pub fn rewrite_clients(value: &[u8]) -> Result<Bytes, Error> {
    encode(&decode(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_what_they_write_and_refuse_the_rest() {
        let record = |number: u64| ClientRecord {
            client: ClientId::new(format!("client {number}")).unwrap(),
            replica: ReplicaId::from_name("room", &number.to_string()),
            since: Timestamp::from_millis(number),
        };
        let records: Vec<_> = (0..3).map(record).collect();
        let written = encode(&records).unwrap();
        assert_eq!(decode(&written).unwrap(), records);
        assert!(decode(&written[..written.len() - 1]).unwrap_err().is_storage());
        assert!(decode(&[]).unwrap_err().is_storage());
        assert!(decode(&[FORM + 1]).unwrap_err().to_string().contains("later release"));
    }

    #[test]
    fn an_entry_of_the_longest_names_is_no_larger_than_a_value_may_be() {
        let client = ClientId::new("x".repeat(256)).unwrap();
        let record = ClientRecord {
            client,
            replica: ReplicaId::from_name("room", "1"),
            since: Timestamp::from_millis(u64::MAX),
        };
        assert!(encode(&vec![record; TOGETHER]).unwrap().len() < 400 * 1024);
    }
}
