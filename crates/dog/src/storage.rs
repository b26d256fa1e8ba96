//! The durable entries of an object: [`Storage`].

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{Error, Failure, Kind};
use crate::features::Logs;
use crate::list::{List, TransactionRead, keys_in_pages};
use crate::port::{LocalFuture, StoragePort, TransactionTurn};
use crate::transaction::{Transaction, in_turn};
use crate::writes::{StorageWrites, check_key};

/// Number of runs before a transaction is given up.
const ATTEMPTS: usize = 16;

/// The durable storage of one object: values of any serde type under text keys, in the order of the bytes of the keys.
///
/// A write that returned `Ok` survives a crash of the process and of the machine. Cloning is cheap.
///
/// Handlers interleave at `.await`, so a value that was read before an `.await` may be outdated after it. Where that matters,
/// read and write in one [`transaction`](Self::transaction).
///
/// ```
/// # async fn example(cx: &dog::GroupContext) -> dog::Result {
/// let topic: Option<String> = cx.storage().get("topic").await?;
/// if topic.is_none() {
///     cx.storage().put("topic", &"dogs").await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Storage {
    port: Rc<dyn StoragePort>,
}

impl Storage {
    pub(crate) fn port(&self) -> &dyn StoragePort {
        &*self.port
    }

    #[doc(hidden)]
    pub fn new(port: Rc<dyn StoragePort>) -> Self {
        Self { port }
    }

    /// The value under `key`, or `None`.
    ///
    /// The value may come from a write that is not on disk yet, and that a crash would undo. If you tell others about a
    /// value and must never take that back, read it in a [`transaction`](Self::transaction) that also writes.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// - [`Error::is_encoding`]: the value is not a `T`.
    /// - [`Error::is_too_large`]: the key has more than 2 KiB.
    /// - [`Error::is_closed`]: this activation of the object is over.
    /// - [`Error::is_storage`]: the storage failed.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        check_key(key)?;
        self.port().get(key).await?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// Stores `value` under `key`, and replaces an earlier value. When it returns `Ok`, the value is on disk.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the value may be written or not.
    ///
    /// # Errors
    /// - [`Error::is_too_large`]: the key has more than 2 KiB, or the value more than 2 MiB when serialised.
    /// - [`Error::is_encoding`]: the value cannot be serialised.
    /// - [`Error::is_closed`]: this activation of the object is over.
    /// - [`Error::is_storage`]: the storage failed. Nobody reads the value while this process lives. After a restart it may be
    ///   there, as a whole or not at all, because part of it may have reached the disk.
    pub async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        let mut writes = StorageWrites::default();
        writes.put(key, value)?;
        self.write(writes).await
    }

    /// Stores bytes under `key`, as they are and 5 more at most. It is the same as [`put`](Self::put) of a
    /// [`Bytes`](crate::Bytes): `get::<Bytes>` and [`get_bytes`](Self::get_bytes) read both. A `Vec<u8>` given to `put` takes up
    /// to twice its length.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the bytes may be written or not.
    ///
    /// # Errors
    /// - [`Error::is_too_large`]: the key has more than 2 KiB, or there are more than 2 MiB.
    /// - [`Error::is_closed`] or [`Error::is_storage`], as [`put`](Self::put).
    pub async fn put_bytes(&self, key: &str, bytes: impl Into<Bytes>) -> Result<(), Error> {
        let mut writes = StorageWrites::default();
        writes.put_bytes(key, &bytes.into())?;
        self.write(writes).await
    }

    /// The bytes under `key`, or `None`. They are not copied: this is cheaper than [`get`](Self::get).
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Error::is_encoding`]: the value was stored by [`put`](Self::put) and is no [`Bytes`](crate::Bytes) and no list of
    /// bytes. All others as [`get`](Self::get).
    pub async fn get_bytes(&self, key: &str) -> Result<Option<Bytes>, Error> {
        check_key(key)?;
        self.port().get(key).await?.map(|value| codec::decode_bytes(&value)).transpose()
    }

    /// Deletes the value under `key`, if there is one. When it returns `Ok`, the deletion is on disk.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the value may be deleted or not.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let mut writes = StorageWrites::default();
        writes.delete(key)?;
        self.write(writes).await
    }

    /// Deletes all entries. Alarms stay set. The cost grows with the number of entries, and other writes of the host may
    /// wait for it.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the entries may be deleted or not.
    ///
    /// # Errors
    /// - [`Error::is_closed`]: this activation of the object is over.
    /// - [`Error::is_storage`]: the storage failed.
    pub async fn delete_all(&self) -> Result<(), Error> {
        self.port().delete_all().await
    }

    /// Deletes all entries whose keys begin with `prefix`, all of them or none. Alarms stay set. Their keys are read first, 256
    /// at a time, so the memory that this takes grows with the number of the keys, and not with the size of the values. If other
    /// handlers write such entries meanwhile, they are read again, as in a [`transaction`](Self::transaction). A cluster deletes
    /// at most 999 entries as one: [`Error::is_storage`] beyond.
    ///
    /// Not cancel safe: if the future is dropped, the entries may be deleted or not.
    ///
    /// # Errors
    /// - [`Error::is_conflict`]: others wrote such entries, in each of 16 runs.
    /// - [`Error::is_closed`] or [`Error::is_storage`], as [`put`](Self::put).
    pub async fn delete_prefix(&self, prefix: &str) -> Result<(), Error> {
        let deleted = self.transaction(async |entries| Ok(entries.delete_prefix(prefix).await?)).await;
        deleted.map_err(|failure| {
            let kind = failure.downcast_ref().map_or(Kind::Handler, Error::kind);
            Error::new(kind, failure.to_string())
        })
    }

    pub(crate) async fn write(&self, writes: StorageWrites) -> Result<(), Error> {
        // Nothing was read, so there can be no conflict.
        if let Some(done) = self.commit(writes, Vec::new()).await? {
            done.await?;
        }
        Ok(())
    }

    /// Hands the writes over, and returns what completes when they are durable. `None` if something in `reads` has changed.
    async fn commit(
        &self,
        writes: StorageWrites,
        reads: Vec<(u64, TransactionRead)>,
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error> {
        let mut logs = None;
        if Logs::ON && !writes.publications.is_empty() {
            let topics = writes.publications.iter().map(|(topic, _)| topic.clone()).collect();
            logs = Some(self.port().reserve_logs(topics).await?);
        }
        if !writes.alarms.is_empty()
            && let Some(loading) = self.port().load_alarms()
        {
            loading.await?;
        }
        self.port().commit(writes, reads, logs)
    }

    /// The entries that `list` selects, in the order of their keys. All of them are in memory at once, and some hosts read
    /// them while the thread of the object does nothing else. Set a [`limit`](List::limit) if there may be many.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list<T: DeserializeOwned>(&self, list: &List) -> Result<Vec<(String, T)>, Error> {
        let entries = self.port().list(list.clone()).await?;
        entries.into_iter().map(|(key, value)| Ok((key, codec::decode(&value)?))).collect()
    }

    /// The keys that `list` selects, in their order, without the values. The entries are read 256 at a time, so this takes memory
    /// for the keys and for 256 values. Keys that other handlers write meanwhile may be there or not.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # async fn example(storage: dog::Storage) -> dog::Result {
    /// let newest = storage.keys(&dog::List::prefix("message/").reverse().limit(1)).await?;
    /// # let _ = newest;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn keys(&self, list: &List) -> Result<Vec<String>, Error> {
        keys_in_pages(list, async |page| self.port().list(page).await).await
    }

    /// Reads and writes several keys as one: either all writes of `body` are made or none, and nothing that it read has
    /// changed by then. Reads see the transaction's own writes. When `Ok` is returned, the writes are on disk.
    ///
    /// Only other handlers of the same object can interfere, at an `.await` of `body`. If one of them changes what was read,
    /// `body` runs again, so it should do nothing but read, write and compute.
    ///
    /// **Fairness.** Transactions that keep interfering with each other run one at a time, in the order in which they began to
    /// wait, so all of them succeed. A transaction keeps the others waiting for 3 s at most; then the next one runs beside
    /// it. So
    /// a `body` that waits for a handler which itself waits for a transaction of this object is late, but not stuck. There
    /// is no deadline for the whole call.
    ///
    /// Not cancel safe: if the future is dropped while the writes go to the disk, they may be made or not. Dropped before
    /// that, it has written nothing. Others do not wait for it any more.
    ///
    /// ```
    /// # async fn example(storage: dog::Storage) -> dog::Result {
    /// let visits = storage
    ///     .transaction(async |entries| {
    ///         let visits = entries.get::<u64>("visits").await?.unwrap_or(0) + 1;
    ///         entries.put("visits", &visits)?;
    ///         Ok(visits)
    ///     })
    ///     .await?;
    /// # let _ = visits;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - What `body` returns. Nothing is written then.
    /// - [`Error::is_conflict`]: writes outside of transactions changed what was read, in each of 16 runs.
    /// - [`Error::is_too_many`]: the object would have more than 10,000 alarms, or its logs would have too much.
    /// - [`Error::is_no_log`]: it publishes to a topic without a durable log, or in a Replica.
    /// - [`Error::is_closed`] or [`Error::is_storage`], as [`put`](Self::put).
    pub async fn transaction<T>(&self, body: impl AsyncFn(&Transaction) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut turn: Option<Box<dyn TransactionTurn>> = None;
        for overtaken in 0..ATTEMPTS {
            turn = turn.filter(|turn| turn.lasts());
            if turn.is_none()
                && let Some(comes) = self.port().turn(overtaken)
            {
                turn = Some(comes.await);
            }
            let transaction = Transaction::new(&self.port);
            let outcome = in_turn(turn.as_deref(), body(&transaction)).await?;
            let (reads, writes) = transaction.into_parts();
            if let Some(done) = self.commit(writes, reads).await? {
                // Others see these writes from now on, so the next transaction need not wait for the disk.
                drop(turn);
                done.await?;
                return Ok(outcome);
            }
        }
        Err(Error::new(Kind::Conflict, "other handlers changed what the transaction read, in each of its runs").into())
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Storage")
    }
}
