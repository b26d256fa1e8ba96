//! Reads and writes that are made as one: [`Transaction`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::Error;
use crate::list::{List, TransactionRead, keys_in_pages};
use crate::port::{StoragePort, TransactionTurn};
use crate::writes::{StorageWrites, check_key};

/// Runs the body of a transaction. Its turn knows when the body is being polled.
pub(crate) async fn in_turn<T>(turn: Option<&dyn TransactionTurn>, run: impl Future<Output = T>) -> T {
    let mut run = pin!(run);
    poll_fn(|context| {
        let _polled = turn.map(Polled::new);
        run.as_mut().poll(context)
    })
    .await
}

/// A body that is being polled.
struct Polled<'a> {
    turn: &'a dyn TransactionTurn,
    before: bool,
}

impl<'a> Polled<'a> {
    fn new(turn: &'a dyn TransactionTurn) -> Self {
        Self { turn, before: turn.polled(true) }
    }
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        self.turn.polled(self.before);
    }
}

/// Reads and writes that are made as one: see [`Storage::transaction`](crate::Storage::transaction).
pub struct Transaction {
    port: Rc<dyn StoragePort>,
    began: u64,
    reads: RefCell<Vec<TransactionRead>>,
    writes: RefCell<StorageWrites>,
}

impl Transaction {
    pub(crate) fn new(port: &Rc<dyn StoragePort>) -> Self {
        let (reads, writes) = (RefCell::default(), RefCell::default());
        Self { port: Rc::clone(port), began: port.version(), reads, writes }
    }

    pub(crate) fn port(&self) -> &dyn StoragePort {
        &*self.port
    }

    /// What it writes.
    pub(crate) fn writes(&self) -> &RefCell<StorageWrites> {
        &self.writes
    }

    /// What is read must not have changed when this transaction is made.
    pub(crate) fn note_read(&self, read: TransactionRead) {
        self.reads.borrow_mut().push(read);
    }

    /// What it has read, each with the version since which nothing of it may have changed, and what it writes.
    pub(crate) fn into_parts(self) -> (Vec<(u64, TransactionRead)>, StorageWrites) {
        let Self { began, reads, writes, .. } = self;
        (reads.into_inner().into_iter().map(|read| (began, read)).collect(), writes.into_inner())
    }

    /// The value under `key`, as [`Storage::get`](crate::Storage::get), with the writes of this transaction.
    ///
    /// # Errors
    /// As [`Storage::get`](crate::Storage::get).
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.value(key).await?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    async fn value(&self, key: &str) -> Result<Option<Bytes>, Error> {
        check_key(key)?;
        let written = self.writes().borrow().entries.get(key).cloned();
        match written {
            Some(written) => Ok(written),
            None => {
                self.note_read(TransactionRead::Key(key.to_owned()));
                self.port().get(key).await
            }
        }
    }

    /// The entries that `list` selects, as [`Storage::list`](crate::Storage::list), with the writes of this transaction. With a
    /// [`limit`](List::limit),
    /// it reads that many entries plus those that this transaction has deleted there, and only a change that could show in the
    /// result is a conflict.
    ///
    /// # Errors
    /// As [`Storage::list`](crate::Storage::list).
    pub async fn list<T: DeserializeOwned>(&self, list: &List) -> Result<Vec<(String, T)>, Error> {
        let found = self.entries(list).await?;
        found.into_iter().map(|(key, value)| Ok((key, codec::decode(&value)?))).collect()
    }

    async fn entries(&self, list: &List) -> Result<Vec<(String, Bytes)>, Error> {
        let own: BTreeMap<_, _> =
            list.of(&self.writes().borrow().entries).map(|(key, write)| (key.clone(), write.clone())).collect();
        // Deleted entries make room for entries beyond the limit.
        let gone = own.values().filter(|write| write.is_none()).count();
        let kept = self.port().list(list.clone().with_more(gone)).await?;
        let found = list.overlay(kept, own);
        self.reads.borrow_mut().extend(list.covered_by(&found).map(TransactionRead::Range));
        Ok(found)
    }

    /// Stores a value, as [`Storage::put`](crate::Storage::put), when the transaction is made.
    ///
    /// # Errors
    /// - [`Error::is_too_large`]: the key has more than 2 KiB, or the value more than 2 MiB when serialised.
    /// - [`Error::is_encoding`]: the value cannot be serialised.
    pub fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        self.writes().borrow_mut().put(key, value)
    }

    /// Stores bytes, as [`Storage::put_bytes`](crate::Storage::put_bytes), when the transaction is made.
    ///
    /// # Errors
    /// [`Error::is_too_large`]: the key has more than 2 KiB, or there are more than 2 MiB.
    pub fn put_bytes(&self, key: &str, bytes: impl Into<Bytes>) -> Result<(), Error> {
        self.writes().borrow_mut().put_bytes(key, &bytes.into())
    }

    /// The bytes under `key`, as [`Storage::get_bytes`](crate::Storage::get_bytes), with the writes of this transaction.
    ///
    /// # Errors
    /// As [`Storage::get_bytes`](crate::Storage::get_bytes).
    pub async fn get_bytes(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.value(key).await?.map(|value| codec::decode_bytes(&value)).transpose()
    }

    /// The keys that `list` selects, as [`Storage::keys`](crate::Storage::keys), with the writes of this transaction.
    ///
    /// # Errors
    /// As [`Storage::get`](crate::Storage::get).
    pub async fn keys(&self, list: &List) -> Result<Vec<String>, Error> {
        keys_in_pages(list, async |page| self.entries(&page).await).await
    }

    /// Deletes all values whose keys begin with `prefix`, as [`Storage::delete_prefix`](crate::Storage::delete_prefix), when the
    /// transaction is made.
    ///
    /// # Errors
    /// As [`Storage::get`](crate::Storage::get).
    pub async fn delete_prefix(&self, prefix: &str) -> Result<(), Error> {
        let keys = self.keys(&List::prefix(prefix)).await?;
        self.writes().borrow_mut().entries.extend(keys.into_iter().map(|key| (key, None)));
        Ok(())
    }

    /// Deletes a value, as [`Storage::delete`](crate::Storage::delete), when the transaction is made.
    ///
    /// # Errors
    /// [`Error::is_too_large`]: the key has more than 2 KiB.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.writes().borrow_mut().delete(key)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writes = self.writes().borrow();
        write!(formatter, "Transaction({} writes)", writes.entries.len() + writes.alarms.len() + writes.log.len())
    }
}
