//! The durable entries of an object: [`Storage`], [`Transaction`].

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
use crate::error::{Error, Failure, Kind};
use crate::list::{List, TransactionRead};
use crate::port::{StoragePort, TransactionTurn};

/// Longest key, in bytes.
pub const MAX_KEY: usize = 2 * 1024;

/// Largest value, in bytes when serialised.
pub const MAX_VALUE: usize = 2 * 1024 * 1024;

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
        self.port.get(key).await?.map(|bytes| codec::decode(&bytes)).transpose()
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
        let mut writes = Writes::default();
        writes.put(key, value)?;
        self.write(writes).await
    }

    /// Deletes the value under `key`, if there is one. When it returns `Ok`, the deletion is on disk.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the value may be deleted or not.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let mut writes = Writes::default();
        writes.delete(key)?;
        self.write(writes).await
    }

    /// Deletes all entries. An alarm stays set. The cost grows with the number of entries, and other writes of the host may
    /// wait for it.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the entries may be deleted or not.
    ///
    /// # Errors
    /// - [`Error::is_closed`]: this activation of the object is over.
    /// - [`Error::is_storage`]: the storage failed.
    pub async fn delete_all(&self) -> Result<(), Error> {
        self.port.delete_all().await
    }

    async fn write(&self, writes: Writes) -> Result<(), Error> {
        // Nothing was read, so there can be no conflict.
        let Some(done) = self.port.commit(writes.0, Vec::new())? else { return Ok(()) };
        done.await
    }

    /// The entries that `list` selects, in the order of their keys. All of them are in memory at once, and some hosts read
    /// them while the thread of the object does nothing else. Set a [`limit`](List::limit) if there may be many.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list<T: DeserializeOwned>(&self, list: &List) -> Result<Vec<(String, T)>, Error> {
        let entries = self.port.list(list.clone()).await?;
        entries.into_iter().map(|(key, value)| Ok((key, codec::decode(&value)?))).collect()
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
    /// - [`Error::is_closed`] or [`Error::is_storage`], as [`put`](Self::put).
    pub async fn transaction<T>(&self, body: impl AsyncFn(&Transaction) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut turn: Option<Box<dyn TransactionTurn>> = None;
        for overtaken in 0..ATTEMPTS {
            turn = turn.filter(|turn| turn.lasts());
            if turn.is_none()
                && let Some(comes) = self.port.turn(overtaken)
            {
                turn = Some(comes.await);
            }
            let transaction = Transaction {
                port: Rc::clone(&self.port),
                began: self.port.version(),
                reads: RefCell::default(),
                writes: RefCell::default(),
            };
            let outcome = in_turn(turn.as_deref(), body(&transaction)).await?;
            let Transaction { began, reads, writes, .. } = transaction;
            let reads = reads.into_inner().into_iter().map(|read| (began, read)).collect();
            if let Some(done) = self.port.commit(writes.into_inner().0, reads)? {
                // Others see these writes from now on, so the next transaction need not wait for the disk.
                drop(turn);
                done.await?;
                return Ok(outcome);
            }
        }
        Err(Error::new(Kind::Conflict, "other handlers changed what the transaction read, in each of its runs").into())
    }
}

/// Runs the body of a transaction. Its turn knows when the body is being polled.
async fn in_turn<T>(turn: Option<&dyn TransactionTurn>, run: impl Future<Output = T>) -> T {
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

impl fmt::Debug for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Storage")
    }
}

/// Reads and writes that are made as one: see [`Storage::transaction`].
pub struct Transaction {
    port: Rc<dyn StoragePort>,
    began: u64,
    reads: RefCell<Vec<TransactionRead>>,
    writes: RefCell<Writes>,
}

impl Transaction {
    /// The value under `key`, as [`Storage::get`], with the writes of this transaction.
    ///
    /// # Errors
    /// As [`Storage::get`].
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        check_key(key)?;
        let written = self.writes.borrow().0.get(key).cloned();
        let bytes = match written {
            Some(written) => written,
            None => {
                self.reads.borrow_mut().push(TransactionRead::Key(key.to_owned()));
                self.port.get(key).await?
            }
        };
        bytes.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// The entries that `list` selects, as [`Storage::list`], with the writes of this transaction. With a
    /// [`limit`](List::limit),
    /// it reads that many entries plus those that this transaction has deleted there, and only a change that could show in the
    /// result is a conflict.
    ///
    /// # Errors
    /// As [`Storage::list`].
    pub async fn list<T: DeserializeOwned>(&self, list: &List) -> Result<Vec<(String, T)>, Error> {
        let own: BTreeMap<_, _> =
            list.of(&self.writes.borrow().0).map(|(key, write)| (key.clone(), write.clone())).collect();
        // Deleted entries make room for entries beyond the limit.
        let gone = own.values().filter(|write| write.is_none()).count();
        let kept = self.port.list(list.clone().with_more(gone)).await?;
        let mut entries: BTreeMap<String, Bytes> = kept.into_iter().collect();
        list.overlay(&mut entries, &own);
        let found = list.cut(entries);
        self.reads.borrow_mut().extend(list.covered_by(&found).map(TransactionRead::Range));
        found.into_iter().map(|(key, value)| Ok((key, codec::decode(&value)?))).collect()
    }

    /// Stores a value, as [`Storage::put`], when the transaction is made.
    ///
    /// # Errors
    /// - [`Error::is_too_large`]: the key has more than 2 KiB, or the value more than 2 MiB when serialised.
    /// - [`Error::is_encoding`]: the value cannot be serialised.
    pub fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        self.writes.borrow_mut().put(key, value)
    }

    /// Deletes a value, as [`Storage::delete`], when the transaction is made.
    ///
    /// # Errors
    /// [`Error::is_too_large`]: the key has more than 2 KiB.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.writes.borrow_mut().delete(key)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Transaction({} writes)", self.writes.borrow().0.len())
    }
}

/// Values to be stored, and keys to be deleted.
#[derive(Default)]
struct Writes(BTreeMap<String, Option<Bytes>>);

impl Writes {
    fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), Error> {
        check_key(key)?;
        let bytes = codec::encode(value)?;
        if bytes.len() > MAX_VALUE {
            let length = bytes.len();
            let message = format!("the value is {length} bytes serialised, {MAX_VALUE} at most");
            return Err(Error::new(Kind::ValueTooLarge, message));
        }
        self.0.insert(key.to_owned(), Some(bytes));
        Ok(())
    }

    fn delete(&mut self, key: &str) -> Result<(), Error> {
        check_key(key)?;
        self.0.insert(key.to_owned(), None);
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        0..=MAX_KEY => Ok(()),
        length => Err(Error::new(Kind::ValueTooLarge, format!("the key is {length} bytes long, {MAX_KEY} at most"))),
    }
}
