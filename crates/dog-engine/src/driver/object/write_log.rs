//! Writes of one life that are not durable yet, and conflicts between transactions. Pure.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use dog::List;
use dog::internal::TransactionRead;

/// How many written keys are remembered. A transaction that is older than all of them conflicts.
const REMEMBERED: usize = 4096;

/// What an object reads before its writes are durable, and what has changed since a transaction began. Every batch of writes
/// has a version, the number of batches so far.
#[derive(Debug, Default)]
pub(super) struct WriteLog {
    version: u64,
    /// The version at which each key was written last. Of other keys nothing is known before `floor`.
    written: HashMap<String, u64>,
    floor: u64,
    /// The same of alarms, by their names.
    alarms: HashMap<String, u64>,
    /// Values that are not durable yet, with the version of their batch.
    pending: BTreeMap<String, (u64, Option<Bytes>)>,
    /// Deletions of all entries that are not durable yet.
    clearing: usize,
}

/// A batch in the log.
#[derive(Debug)]
pub(super) enum Logged {
    /// These keys, at this version.
    Keys(Vec<String>, u64),
    /// A deletion of all entries.
    DeleteAll,
}

impl Logged {
    /// A batch without entries of the user.
    pub(super) fn nothing() -> Self {
        Self::Keys(Vec::new(), 0)
    }
}

/// Where the value of a key is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// In the log: this value, or `None` if the key is deleted.
    Pending(Option<Bytes>),
    /// In the storage.
    Stored,
}

impl WriteLog {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Whether something that was read at `version` was written since.
    pub(super) fn has_changed(&self, version: u64, read: &TransactionRead) -> bool {
        if version == self.version {
            return false;
        }
        if version < self.floor {
            return true;
        }
        match read {
            TransactionRead::Key(key) => self.written.get(key).is_some_and(|at| *at > version),
            TransactionRead::Alarm(name) => self.alarms.get(name).is_some_and(|at| *at > version),
            TransactionRead::Range(list) => self.written.iter().any(|(key, at)| *at > version && list.contains(key)),
        }
    }

    /// Logs a batch: every later read sees it.
    pub(super) fn write(&mut self, writes: &BTreeMap<String, Option<Bytes>>) -> Logged {
        let version = self.next_version();
        if self.written.len() + writes.len() > REMEMBERED {
            self.forget(version);
        }
        for (key, value) in writes {
            self.written.insert(key.clone(), version);
            self.pending.insert(key.clone(), (version, value.clone()));
        }
        Logged::Keys(writes.keys().cloned().collect(), version)
    }

    fn forget(&mut self, version: u64) {
        self.written.clear();
        self.alarms.clear();
        self.floor = version;
    }

    /// Notes that alarms have changed.
    pub(super) fn write_alarms<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_none() {
            return;
        }
        let version = self.next_version();
        if self.alarms.len() > REMEMBERED {
            self.forget(version);
        }
        self.alarms.extend(names.map(|name| (name.to_owned(), version)));
    }

    /// Logs a deletion of all entries. Every transaction that has begun conflicts with it.
    pub(super) fn delete_all(&mut self) -> Logged {
        let version = self.next_version();
        self.forget(version);
        self.pending.clear();
        self.clearing += 1;
        Logged::DeleteAll
    }

    /// The batch is durable, or has failed. Later writes to the same keys stay in the log.
    pub(super) fn settle(&mut self, batch: &Logged) {
        match batch {
            Logged::Keys(keys, version) => {
                for key in keys {
                    if self.pending.get(key).is_some_and(|(at, _)| at == version) {
                        self.pending.remove(key);
                    }
                }
            }
            Logged::DeleteAll => self.clearing -= 1,
        }
    }

    pub(super) fn lookup(&self, key: &str) -> Lookup {
        match self.pending.get(key) {
            Some((_, value)) => Lookup::Pending(value.clone()),
            None if self.is_clearing() => Lookup::Pending(None),
            None => Lookup::Stored,
        }
    }

    /// Whether all stored entries are about to be deleted.
    pub(super) fn is_clearing(&self) -> bool {
        self.clearing > 0
    }

    /// Writes in the log to the keys of `list`.
    pub(super) fn pending(&self, list: &List) -> BTreeMap<String, Option<Bytes>> {
        list.of(&self.pending).map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(entries: &[(&str, Option<&'static str>)]) -> BTreeMap<String, Option<Bytes>> {
        let entry = |(key, value): &(&str, Option<&'static str>)| ((*key).to_owned(), value.map(Bytes::from));
        entries.iter().map(entry).collect()
    }

    fn key(key: &str) -> TransactionRead {
        TransactionRead::Key(key.into())
    }

    #[test]
    fn a_value_is_read_from_the_log_until_its_own_batch_is_settled() {
        let mut log = WriteLog::default();
        let first = log.write(&batch(&[("a", Some("1")), ("b", None)]));
        let second = log.write(&batch(&[("a", Some("2"))]));
        log.settle(&first);
        assert_eq!(log.lookup("a"), Lookup::Pending(Some("2".into())), "a later batch wrote it");
        assert_eq!(log.lookup("b"), Lookup::Stored);
        log.settle(&second);
        assert_eq!(log.lookup("a"), Lookup::Stored);
    }

    #[test]
    fn a_deletion_of_all_entries_hides_what_is_stored_until_it_is_settled() {
        let mut log = WriteLog::default();
        let write = log.write(&batch(&[("a", Some("1"))]));
        let deletion = log.delete_all();
        assert_eq!((log.lookup("a"), log.lookup("b")), (Lookup::Pending(None), Lookup::Pending(None)));
        log.write(&batch(&[("b", Some("2"))]));
        assert_eq!(log.lookup("b"), Lookup::Pending(Some("2".into())));
        log.settle(&write);
        log.settle(&deletion);
        assert_eq!(log.lookup("a"), Lookup::Stored);
    }

    #[test]
    fn a_transaction_conflicts_with_writes_to_what_it_has_read() {
        let mut log = WriteLog::default();
        log.write(&batch(&[("k1", Some("1"))]));
        let begun = log.version();
        assert!(!log.has_changed(begun, &key("k1")));
        log.write(&batch(&[("k2", Some("1"))]));
        assert!(!log.has_changed(begun, &key("k1")));
        assert!(log.has_changed(begun, &key("k2")));
        assert!(log.has_changed(begun, &TransactionRead::Range(List::prefix("k"))));
        assert!(!log.has_changed(begun, &TransactionRead::Range(List::prefix("l"))));
        log.delete_all();
        assert!(log.has_changed(begun, &key("k1")), "all entries were deleted");
    }

    #[test]
    fn a_transaction_conflicts_with_changes_of_alarms_that_it_has_read() {
        let mut log = WriteLog::default();
        log.write_alarms(["a"]);
        let begun = log.version();
        let alarm = |name: &str| TransactionRead::Alarm(name.to_owned());
        log.write(&batch(&[("a", None)]));
        log.write_alarms([]);
        assert!(!log.has_changed(begun, &alarm("a")), "an entry is no alarm");
        log.write_alarms(["a", "b"]);
        assert!(log.has_changed(begun, &alarm("a")) && log.has_changed(begun, &alarm("b")));
        assert!(!log.has_changed(begun, &alarm("c")) && !log.has_changed(begun, &key("b")));
        for number in 0..=REMEMBERED + 1 {
            log.write_alarms([number.to_string().as_str()]);
        }
        assert!(log.has_changed(begun, &alarm("c")), "too much was written to remember all of it");
    }

    #[test]
    fn a_transaction_that_is_older_than_what_is_remembered_conflicts() {
        let mut log = WriteLog::default();
        let begun = log.version();
        for number in 0..=REMEMBERED {
            let name = number.to_string();
            log.write(&batch(&[(&name, None)]));
        }
        assert!(log.has_changed(begun, &key("never written")));
        log.write(&batch(&[("one more", None)]));
        assert!(!log.has_changed(log.version() - 1, &key("never written")));
    }
}
