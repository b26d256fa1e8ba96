//! What an object keeps for good: [`Storage`], [`Transaction`], [`List`].

mod list;

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
use crate::port::{StoragePort, TransactionTurn};

pub use list::List;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 2 * 1024;

/// The largest value, in bytes as serialised.
pub const MAX_VALUE: usize = 2 * 1024 * 1024;

/// How often a transaction is tried before it is given up.
const ATTEMPTS: usize = 16;

/// An object's own durable storage: values of any serde type under text keys, kept in the order of the keys' bytes.
///
/// What a write returned `Ok` for survives a crash of the process and of the machine. Handlers interleave at `.await`,
/// so what is read before an `.await` may be old after it: read and write in one [`transaction`](Self::transaction)
/// where that matters. Cloning it is cheap.
#[derive(Clone)]
pub struct Storage {
    port: Rc<dyn StoragePort>,
}

impl Storage {
    #[doc(hidden)]
    pub fn new(port: Rc<dyn StoragePort>) -> Self {
        Self { port }
    }

    /// The value under `key`. That may be of a write that has not ended, which a crash undoes: whoever tells others of it,
    /// and must never have to take it back, reads it in a [`transaction`](Self::transaction) that also writes.
    ///
    /// # Errors
    /// When what is there is no `T` ([`Error::is_encoding`]), the key is too long ([`Error::is_too_large`]), or the
    /// storage fails ([`Error::is_storage`]).
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        check_key(key)?;
        self.port.get(key).await?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// Keeps `value` under `key`, in place of what was there. When it returns `Ok`, it is on disk.
    ///
    /// Dropped before it ends, it may have been done or not.
    ///
    /// # Errors
    /// When the key is over 2 KiB or the value over 2 MiB as serialised ([`Error::is_too_large`]), the value cannot be
    /// serialised ([`Error::is_encoding`]), this life of the object is over ([`Error::is_closed`]), or the storage fails
    /// ([`Error::is_storage`]): from then on nobody reads it while this process lives, but after a restart it may be
    /// there, whole or not at all, as some of it may have reached the disk.
    pub async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        let mut writes = Writes::default();
        writes.put(key, value)?;
        self.write(writes).await
    }

    /// Takes away what is under `key`, if anything is.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let mut writes = Writes::default();
        writes.delete(key)?;
        self.write(writes).await
    }

    /// Takes away everything. An alarm that is set stays set. The cost grows with the number of entries, and other writes
    /// of the host may wait for it.
    ///
    /// # Errors
    /// When this life of the object is over ([`Error::is_closed`]) or the storage fails ([`Error::is_storage`]).
    pub async fn delete_all(&self) -> Result<(), Error> {
        self.port.delete_all().await
    }

    async fn write(&self, writes: Writes) -> Result<(), Error> {
        // Nothing was read, so that nothing can have changed.
        let Some(done) = self.port.commit(writes.0, Vec::new())? else { return Ok(()) };
        done.await
    }

    /// The entries that `list` asks for, in the order of their keys. All of them are in memory at once, and on some hosts
    /// are read while the object's thread does nothing else: give a [`limit`](List::limit) where there may be many.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list<T: DeserializeOwned>(&self, list: &List) -> Result<Vec<(String, T)>, Error> {
        let entries = self.port.list(list.clone()).await?;
        entries.into_iter().map(|(key, value)| Ok((key, codec::decode(&value)?))).collect()
    }

    /// Reads and writes several keys as one: all of it is done or nothing, and nothing that it has read has changed
    /// when it is done. Reads see the transaction's own writes.
    ///
    /// Only this object's own handlers can get in between, at an `.await`; if one has changed what was read, `body` is
    /// run anew. So let it do nothing but read, write and compute.
    ///
    /// However many handlers do so at once, all succeed: those that overtake each other again and again run one at a
    /// time, in the order in which they began to wait. Each keeps the others waiting for 3 s at most; after that the next
    /// runs beside it. So a `body` that waits for a handler which itself waits for a transaction of this object is late,
    /// not stuck.
    ///
    /// Dropped before it ends, it may have been done or not, and nobody waits for it any more.
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
    /// # drop(visits);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `body` returns: then nothing was written. What [`put`](Self::put) says. And [`Error::is_conflict`] if what it
    /// reads is changed in each of 16 runs by writes outside of transactions.
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
                // Others read these writes from now on, so the next one need not wait for the disk.
                drop(turn);
                done.await?;
                return Ok(outcome);
            }
        }
        Err(Error::new(Kind::Conflict, "other handlers changed what the transaction read, again and again").into())
    }
}

/// Runs a transaction's body, and lets its turn know while it does.
async fn in_turn<T>(turn: Option<&dyn TransactionTurn>, run: impl Future<Output = T>) -> T {
    let mut run = pin!(run);
    poll_fn(|context| {
        let _polled = turn.map(Polled::new);
        run.as_mut().poll(context)
    })
    .await
}

/// A body that is polled now.
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

/// What a transaction has read.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum TransactionRead {
    Key(String),
    Range(List),
}

/// Several reads and writes that become one: see [`Storage::transaction`].
pub struct Transaction {
    port: Rc<dyn StoragePort>,
    began: u64,
    reads: RefCell<Vec<TransactionRead>>,
    writes: RefCell<Writes>,
}

impl Transaction {
    /// As [`Storage::get`]; sees what this transaction has written.
    ///
    /// # Errors
    /// As there.
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

    /// As [`Storage::list`]; sees what this transaction has written. With a [`limit`](List::limit) it costs that limit and
    /// what the transaction itself has taken away there, and only a change that could show in it counts as a conflict.
    ///
    /// # Errors
    /// As there.
    pub async fn list<T: DeserializeOwned>(&self, list: &List) -> Result<Vec<(String, T)>, Error> {
        let own: BTreeMap<_, _> =
            list.of(&self.writes.borrow().0).map(|(key, write)| (key.clone(), write.clone())).collect();
        // What was taken away makes room for entries behind the limit.
        let gone = own.values().filter(|write| write.is_none()).count();
        let kept = self.port.list(list.clone().with_more(gone)).await?;
        let mut entries: BTreeMap<String, Bytes> = kept.into_iter().collect();
        list.overlay(&mut entries, &own);
        let found = list.cut(entries);
        self.reads.borrow_mut().extend(list.covered_by(&found).map(TransactionRead::Range));
        found.into_iter().map(|(key, value)| Ok((key, codec::decode(&value)?))).collect()
    }

    /// As [`Storage::put`], done when the transaction is.
    ///
    /// # Errors
    /// As there, for key and value.
    pub fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        self.writes.borrow_mut().put(key, value)
    }

    /// As [`Storage::delete`], done when the transaction is.
    ///
    /// # Errors
    /// As there, for the key.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.writes.borrow_mut().delete(key)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Transaction({} writes)", self.writes.borrow().0.len())
    }
}

/// Values to be kept, and keys to be taken away.
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
