//! The last Replica of each client in the storage, from the shutdown of the host to the Group's next life: so clients return
//! to their Replicas after a restart. In between they are only in memory, because a write per placement would cost more than
//! it is worth.

use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;
use dog::internal::{self, Kind, LocalFuture};
use dog::{ClientId, Epoch, Error, ReplicaId, Timestamp};

use crate::address::{GroupAddress, Object};
use crate::books::ClientRecord;
use crate::host::{Batch, Host, Order, Space};
use crate::repeats::log_limited;

/// The version of the format.
const FORMAT: u8 = 1;

/// The number of clients per entry. An entry then has at most 300 KiB, and there are few.
const CLIENTS_PER_ENTRY: usize = 1000;

/// One client in an entry.
type Stored = (ClientId, ReplicaId, Timestamp);

/// Starts to store where clients were. The future logs errors. `None` if the host does not announce its shutdown.
pub(super) fn store<H: Host>(
    host: &Rc<H>,
    group: GroupAddress,
    epoch: Epoch,
    clients: &[ClientRecord],
) -> Option<LocalFuture<()>> {
    if !host.profile().announces_shutdown {
        return None;
    }
    let entries = clients.chunks(CLIENTS_PER_ENTRY).zip(0_u32..);
    let writes = entries.map(|(clients, number)| {
        let entries = vec![(number.to_be_bytes().to_vec(), Some(encode(clients)?))];
        Ok(host.write(Object::Group(group), epoch, Batch::of_entries(Space::Clients, entries)))
    });
    let writes: Vec<Result<_, Error>> = writes.collect();
    let host = Rc::clone(host);
    Some(Box::pin(async move {
        for write in writes {
            let outcome = match write {
                Ok(write) => write.await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                log_limited!(host, warn, "clients may come back to other Replicas", %group, "clients may come back to other Replicas: {error}");
            }
        }
    }))
}

/// What was stored when the host last shut down. It is deleted at once, because it would be wrong later. The future is boxed so
/// that a program for a host which never shuts down does not contain it.
pub(super) fn load<H: Host>(
    host: Rc<H>,
    group: GroupAddress,
    epoch: Epoch,
) -> LocalFuture<Result<Vec<ClientRecord>, Error>> {
    if !host.profile().announces_shutdown {
        return Box::pin(async { Ok(Vec::new()) });
    }
    Box::pin(async move {
        let (object, all) = (Object::Group(group), (Bound::Unbounded, Bound::Unbounded));
        let entries = host.read_range(object, Space::Clients, all, None, Order::Ascending).await?;
        if !entries.is_empty() {
            delete(&host, group, epoch);
        }
        Ok(entries.iter().flat_map(|(_, value)| read(&*host, group, value)).collect())
    })
}

/// Nobody waits for it. If it fails, the records that are found again are expired, or still right for most clients.
fn delete<H: Host>(host: &Rc<H>, group: GroupAddress, epoch: Epoch) {
    let deleted = host.write(Object::Group(group), epoch, Batch::deleting_all(Space::Clients));
    let task = Rc::clone(host);
    host.spawn(Box::pin(async move {
        if let Err(error) = deleted.await {
            log_limited!(
                task,
                warn,
                "client records could not be deleted",
                "the client records of before the restart could not be deleted: {error}"
            );
        }
    }));
}

/// A damaged entry only costs clients their way back, so it does not keep the Group from waking.
fn read(host: &impl Host, group: GroupAddress, value: &[u8]) -> Vec<ClientRecord> {
    decode(value).unwrap_or_else(|error| {
        log_limited!(host, warn, "some clients are not remembered", %group, "some clients are not remembered: {error}");
        Vec::new()
    })
}

fn encode(clients: &[ClientRecord]) -> Result<Bytes, Error> {
    let clients: Vec<Stored> =
        clients.iter().map(|record| (record.client.clone(), record.replica, record.since)).collect();
    Ok([&[FORMAT], &*internal::encode(&clients)?].concat().into())
}

fn decode(value: &[u8]) -> Result<Vec<ClientRecord>, Error> {
    let damaged = |what: &str| Error::new(Kind::Storage, format!("a record of a Group's clients {what}"));
    let Some((&FORMAT, clients)) = value.split_first() else {
        return Err(damaged("is empty, or was written by a later release"));
    };
    let clients: Vec<Stored> = internal::decode(clients).map_err(|_| damaged("is damaged"))?;
    let record = |(client, replica, since)| ClientRecord { client, replica, since };
    Ok(clients.into_iter().map(record).collect())
}

/// Decodes a stored entry and encodes it again, for fuzzing.
///
/// # Errors
/// When it is not an entry.
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
        assert!(decode(&[FORMAT + 1]).unwrap_err().to_string().contains("later release"));
    }

    #[test]
    fn an_entry_of_the_longest_names_is_no_larger_than_a_value_may_be() {
        let client = ClientId::new("x".repeat(256)).unwrap();
        let record = ClientRecord {
            client,
            replica: ReplicaId::from_name("room", "1"),
            since: Timestamp::from_millis(u64::MAX),
        };
        assert!(encode(&vec![record; CLIENTS_PER_ENTRY]).unwrap().len() < 400 * 1024);
    }
}
