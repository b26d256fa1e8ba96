//! What an object keeps for good: [`Storage`], [`Transaction`], [`List`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Failure, Kind};
use crate::port::StoragePort;
use crate::wire;

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
        self.port.get(key).await?.map(|bytes| wire::decode(&bytes)).transpose()
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
        self.port.commit(writes.0, Vec::new()).await.map(|_| ())
    }

    /// Takes away what is under `key`, if anything is.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let mut writes = Writes::default();
        writes.delete(key)?;
        self.port.commit(writes.0, Vec::new()).await.map(|_| ())
    }

    /// Takes away everything. An alarm that is set stays set.
    ///
    /// # Errors
    /// When this life of the object is over ([`Error::is_closed`]) or the storage fails ([`Error::is_storage`]).
    pub async fn delete_all(&self) -> Result<(), Error> {
        self.port.delete_all().await
    }

    /// The entries that `list` asks for, in the order of their keys.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list<T: DeserializeOwned>(&self, list: &List) -> Result<Vec<(String, T)>, Error> {
        let entries = self.port.list(list.clone()).await?;
        entries.into_iter().map(|(key, value)| Ok((key, wire::decode(&value)?))).collect()
    }

    /// Reads and writes several keys as one: all of it is done or nothing, and nothing that it has read has changed
    /// when it is done. Reads see the transaction's own writes.
    ///
    /// Only this object's own handlers can get in between, at an `.await`; if one has changed what was read, `body` is
    /// run anew. So let it do nothing but read, write and compute.
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
    /// What `body` returns: then nothing was written. What [`put`](Self::put) says, and [`Error::is_conflict`] if
    /// others changed what it read again and again.
    pub async fn transaction<T>(&self, body: impl AsyncFn(&Transaction) -> Result<T, Failure>) -> Result<T, Failure> {
        for _ in 0..ATTEMPTS {
            let transaction = Transaction {
                port: Rc::clone(&self.port),
                began: self.port.version(),
                reads: RefCell::default(),
                writes: RefCell::default(),
            };
            let outcome = body(&transaction).await?;
            let Transaction { began, reads, writes, .. } = transaction;
            let reads = reads.into_inner().into_iter().map(|read| (began, read)).collect();
            if self.port.commit(writes.into_inner().0, reads).await? == Committed::Yes {
                return Ok(outcome);
            }
        }
        Err(Error::new(Kind::Conflict, "other handlers changed what the transaction read, again and again").into())
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Storage")
    }
}

/// Whether a commit was made, or refused because what it rests on has changed.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    Yes,
    Conflict,
}

/// What a transaction has read.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Read {
    Key(String),
    Range(List),
}

/// Several reads and writes that become one: see [`Storage::transaction`].
pub struct Transaction {
    port: Rc<dyn StoragePort>,
    began: u64,
    reads: RefCell<Vec<Read>>,
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
                self.reads.borrow_mut().push(Read::Key(key.to_owned()));
                self.port.get(key).await?
            }
        };
        bytes.map(|bytes| wire::decode(&bytes)).transpose()
    }

    /// As [`Storage::list`]; sees what this transaction has written.
    ///
    /// # Errors
    /// As there.
    pub async fn list<T: DeserializeOwned>(&self, list: &List) -> Result<Vec<(String, T)>, Error> {
        self.reads.borrow_mut().push(Read::Range(list.clone()));
        // What was written may push entries out of the limit, or take some away: all of the range, then the limit.
        let kept = self.port.list(List { limit: None, ..list.clone() }).await?;
        let mut entries: BTreeMap<String, Bytes> = kept.into_iter().collect();
        list.overlay(&mut entries, &self.writes.borrow().0);
        list.cut(entries).into_iter().map(|(key, value)| Ok((key, wire::decode(&value)?))).collect()
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
        let bytes = wire::encode(value)?;
        if bytes.len() > MAX_VALUE {
            let length = bytes.len();
            let message = format!("the value is {length} bytes serialised, {MAX_VALUE} at most");
            return Err(Error::new(Kind::TooLarge, message));
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
        length => Err(Error::new(Kind::TooLarge, format!("the key is {length} bytes long, {MAX_KEY} at most"))),
    }
}

/// Which entries a [`Storage::list`] gives: all, unless it is told less.
///
/// ```
/// let latest = dog::List::prefix("message/").reverse().limit(20);
/// # drop(latest);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    prefix: String,
    start: Option<String>,
    end: Option<String>,
    limit: Option<usize>,
    reverse: bool,
}

impl List {
    /// All entries.
    pub fn all() -> Self {
        Self::default()
    }

    /// Entries whose keys begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// None before `key`.
    #[must_use]
    pub fn start(mut self, key: impl Into<String>) -> Self {
        self.start = Some(key.into());
        self
    }

    /// None from `key` on.
    #[must_use]
    pub fn end(mut self, key: impl Into<String>) -> Self {
        self.end = Some(key.into());
        self
    }

    /// The first `entries` only.
    #[must_use]
    pub fn limit(mut self, entries: usize) -> Self {
        self.limit = Some(entries);
        self
    }

    /// From the last to the first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// For hosts: how many at most.
    #[doc(hidden)]
    pub fn most(&self) -> Option<usize> {
        self.limit
    }

    /// For hosts: whether backwards.
    #[doc(hidden)]
    pub fn is_reverse(&self) -> bool {
        self.reverse
    }

    /// For hosts: the keys that may be meant, as bytes.
    #[doc(hidden)]
    pub fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let start = self.start.as_deref().unwrap_or_default().max(self.prefix.as_str());
        let prefix_end = after_prefix(self.prefix.as_bytes());
        let end = match (&self.end, prefix_end) {
            (Some(end), Some(prefix_end)) => Bound::Excluded(end.as_bytes().to_vec().min(prefix_end)),
            (Some(end), None) => Bound::Excluded(end.as_bytes().to_vec()),
            (None, Some(prefix_end)) => Bound::Excluded(prefix_end),
            (None, None) => Bound::Unbounded,
        };
        (Bound::Included(start.as_bytes().to_vec()), end)
    }

    /// For the engine: whether `key` is meant, the limit aside.
    #[doc(hidden)]
    pub fn contains(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
            && self.start.as_deref().is_none_or(|start| key >= start)
            && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// For the engine: puts writes over entries.
    #[doc(hidden)]
    pub fn overlay(&self, entries: &mut BTreeMap<String, Bytes>, writes: &BTreeMap<String, Option<Bytes>>) {
        for (key, write) in writes.iter().filter(|(key, _)| self.contains(key)) {
            match write {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
    }

    /// For the engine: order and limit.
    #[doc(hidden)]
    pub fn cut(&self, entries: BTreeMap<String, Bytes>) -> Vec<(String, Bytes)> {
        let most = self.limit.unwrap_or(usize::MAX);
        if self.reverse {
            entries.into_iter().rev().take(most).collect()
        } else {
            entries.into_iter().take(most).collect()
        }
    }
}

/// The first key that is after all with the prefix; none is after those of 0xff alone.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(list: &List) -> (Vec<u8>, Option<Vec<u8>>) {
        match list.bounds() {
            (Bound::Included(start), Bound::Excluded(end)) => (start, Some(end)),
            (Bound::Included(start), _) => (start, None),
            _ => unreachable!("the start is always included"),
        }
    }

    #[test]
    fn bounds_hold_just_what_is_meant() {
        let cases = [
            (List::all(), "", None),
            (List::prefix("a/"), "a/", Some("a0")),
            (List::prefix("a").start("b"), "b", Some("b")),
            (List::prefix("a").start("ab").end("ac"), "ab", Some("ac")),
            (List::prefix("a").end("zz"), "a", Some("b")),
            (List::all().end("m"), "", Some("m")),
        ];
        for (list, start, end) in cases {
            assert_eq!(bytes(&list), (start.into(), end.map(Into::into)), "{list:?}");
        }
        assert_eq!(after_prefix(b"\xff\xff"), None);
        assert_eq!(after_prefix(b"a\xff"), Some(b"b".to_vec()));
    }

    #[test]
    fn what_is_meant_does_not_depend_on_who_asks() {
        let list = List::prefix("k").start("k2").end("k8").limit(3).reverse();
        let kept: BTreeMap<_, _> = (0..10).map(|n| (format!("k{n}"), Bytes::from(vec![n]))).collect();
        let mut entries: BTreeMap<_, _> = kept.into_iter().filter(|(key, _)| list.contains(key)).collect();
        let writes =
            BTreeMap::from([("k7".to_owned(), None), ("k55".to_owned(), Some(Bytes::new())), ("x".to_owned(), None)]);
        list.overlay(&mut entries, &writes);
        let keys: Vec<_> = list.cut(entries).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["k6", "k55", "k5"]);
    }
}
