//! The embedded storage. The database is fjall, a log-structured storage engine that runs inside the process.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space, SpaceWrites};

use super::alarm::{read_alarm, write_alarm};
use super::commit::{Committer, Write};
use super::database::{Opened, Slot, Writer, failed};
use super::folder::Folder;
use super::key;
use super::port::{Done, Read, SetAlarm, Storage, StorageFigures};
use super::trial::try_out;

/// How often to check whether the tables have been written.
const LOOK: Duration = Duration::from_millis(2);

/// The storage of one process.
pub(crate) struct Embedded {
    /// `None` only while this is dropped: the committing thread ends before the database is closed.
    committer: Option<Committer>,
    slot: Arc<Slot>,
}

impl Embedded {
    /// Opens the storage in `folder`. If it returns an error, it has changed nothing in the folder.
    pub(crate) fn open(folder: Folder) -> Result<Self, crate::Error> {
        try_out(&folder)?;
        let opened = Opened::open(&folder.objects()).map_err(|error| error.of(&folder))?;
        let slot = Slot::new(folder, opened);
        let writer = Writer::open(Arc::clone(&slot))?;
        let committer = Committer::start(writer)
            .map_err(|cause| crate::Error::system("data: cannot start a thread for the storage", cause))?;
        Ok(Self { committer: Some(committer), slot })
    }

    fn alarm_of(&self, object: Object) -> Result<Option<Timestamp>, Error> {
        let value = self.slot.read(|opened| opened.alarms.get(key::name(object)).map_err(|cause| failed(&cause)))?;
        value.map(|value| read_alarm(&value).map(|(at, _)| at)).transpose()
    }

    /// Returns all alarms that are set, with the class of each object.
    pub(crate) fn alarms(&self) -> Result<Vec<SetAlarm>, Error> {
        self.slot.read(Opened::set_alarms)
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Embedded")
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let failing = self.figures().failing;
        self.committer = None;
        let Some(opened) = self.slot.take() else { return };
        let flushed = !failing && opened.is_flushed();
        drop(opened);
        // If the journal is not emptied, nothing is lost: the next start reads it again.
        if flushed && let Err(cause) = self.slot.folder.empty_journal() {
            tracing::debug!("the journal was not emptied: {cause}");
        }
    }
}

impl Storage for Embedded {
    fn get(&self, object: Object, space: Space, key: &[u8]) -> Read<Option<Bytes>> {
        let key = key::entry(object, space, key);
        let value = self.slot.read(|opened| opened.entries.get(key).map_err(|cause| failed(&cause)));
        Read::Now(value.map(|value| value.map(Bytes::from)))
    }

    fn range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: Option<usize>,
        reverse: bool,
    ) -> Read<Vec<(Bytes, Bytes)>> {
        let prefix = key::prefix(object, space).len();
        let bounds = key::bounds(object, space, keys);
        if is_empty(&bounds) {
            return Read::Now(Ok(Vec::new()));
        }
        let read = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(|cause| failed(&cause))?;
            Ok((Bytes::from(key).slice(prefix..), Bytes::from(value)))
        };
        let most = most.unwrap_or(usize::MAX);
        Read::Now(self.slot.read(|opened| {
            let found = opened.entries.range(bounds);
            if reverse { found.rev().take(most).map(read).collect() } else { found.take(most).map(read).collect() }
        }))
    }

    fn write(&self, object: Object, _: Epoch, class: &'static str, batch: Batch, done: Done) {
        let alarm = batch.alarm.map(|change| (key::name(object), change.time().map(|at| write_alarm(at, class))));
        let (mut delete_all, mut entries) = (Vec::new(), Vec::with_capacity(batch.count()));
        for SpaceWrites { space, delete_all: all, entries: written } in batch.spaces {
            delete_all.extend(all.then(|| key::prefix(object, space)));
            entries.extend(written.into_iter().map(|(key, value)| (key::entry(object, space, &key), value)));
        }
        // It is `Some` until this is dropped.
        if let Some(committer) = &self.committer {
            committer.hand_over(Write { delete_all, entries, alarm, done });
        }
    }

    fn alarm(&self, object: Object) -> Read<Option<Timestamp>> {
        Read::Now(self.alarm_of(object))
    }

    fn figures(&self) -> StorageFigures {
        self.committer.as_ref().map(Committer::figures).unwrap_or_default()
    }

    fn settle(&self, by: Instant) {
        if self.figures().failing {
            return;
        }
        let begun = self.slot.read(|opened| opened.flush().map_err(|cause| failed(&cause)));
        let flushed = || self.slot.read(|opened| Ok(opened.is_flushed())).unwrap_or(true);
        while begun.is_ok() && !flushed() && Instant::now() < by {
            std::thread::sleep(LOOK);
        }
    }
}

/// Returns whether a range ends before it begins. The database would panic on it.
pub(super) fn is_empty(bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    match bounds {
        (Bound::Included(start), Bound::Excluded(end)) => start >= end,
        (Bound::Excluded(start), Bound::Excluded(end) | Bound::Included(end)) => start >= end,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;

    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};
    use fjall::PersistMode;

    use super::super::mark::Mark;
    use super::*;
    use crate::Server;

    const OBJECT: fn() -> Object =
        || Object::Group(GroupAddress { class: ClassIndex(0), group: GroupId::from_name("rooms", "a") });

    fn open(folder: &Path) -> Embedded {
        Embedded::open(Folder::open(Some(folder)).unwrap()).unwrap()
    }

    fn put(storage: &Embedded, key: &str, value: &str) -> Result<(), Error> {
        let entries = vec![(key.into(), Some(Bytes::copy_from_slice(value.as_bytes())))];
        let (sender, receiver) = channel();
        let done = Box::new(move |outcome| sender.send(outcome).unwrap());
        storage.write(OBJECT(), Epoch::from_raw(1), "rooms", Batch::of_entries(Space::User, entries), done);
        receiver.recv().unwrap()
    }

    fn get(storage: &Embedded, key: &str) -> Option<Bytes> {
        match storage.get(OBJECT(), Space::User, key.as_bytes()) {
            Read::Now(read) => read.unwrap(),
            Read::Later(_) => panic!("the embedded storage reads at once"),
        }
    }

    /// Counts the bytes in the journals that are not zero. Journal files are longer than their contents.
    fn in_journals(folder: &Path) -> usize {
        let files = std::fs::read_dir(folder.join("objects")).unwrap().map(|entry| entry.unwrap().path());
        let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
        journals.map(|journal| std::fs::read(journal).unwrap().iter().filter(|byte| **byte != 0).count()).sum()
    }

    #[test]
    fn a_graceful_end_leaves_nothing_in_the_journal_and_another_end_leaves_it_all() {
        let folder = tempfile::tempdir().unwrap();
        for (round, settles) in [true, false, true, true].into_iter().enumerate() {
            let storage = open(folder.path());
            for key in 0..200 {
                put(&storage, &format!("{round}/{key}"), "some value").unwrap();
            }
            for round in 0..=round {
                assert_eq!(get(&storage, &format!("{round}/199")).as_deref(), Some(&b"some value"[..]));
            }
            if settles {
                storage.settle(Instant::now() + Duration::from_secs(60));
            }
            drop(storage);
            let left = in_journals(folder.path());
            assert_eq!(left == 0, settles, "{left} bytes in the journals after round {round}");
        }
        // A write after `settle` is kept too.
        let storage = open(folder.path());
        storage.settle(Instant::now() + Duration::from_secs(60));
        put(&storage, "late", "write").unwrap();
        drop(storage);
        assert_eq!(get(&open(folder.path()), "late").as_deref(), Some(&b"write"[..]));
    }

    #[test]
    fn a_storage_whose_background_work_failed_goes_on_when_the_cause_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(folder.path());
        put(&storage, "a", "1").unwrap();
        // Tables cannot be created. For the database this is like a full disk or a lack of descriptors: it stops
        // permanently.
        let tables = [1, 2].map(|keyspace| folder.path().join(format!("objects/keyspaces/{keyspace}/tables")));
        let away = |tables: &Path| tables.with_file_name("away");
        tables.iter().for_each(|tables| std::fs::rename(tables, away(tables)).unwrap());
        storage.slot.read(|opened| opened.flush().map_err(|cause| failed(&cause))).unwrap();
        let by = Instant::now() + Duration::from_secs(60);
        let has_stopped = || storage.slot.read(|opened| Ok(opened.database.persist(PersistMode::Buffer).is_err()));
        while !has_stopped().unwrap() {
            assert!(Instant::now() < by, "its background work has not failed");
            std::thread::sleep(LOOK);
        }
        put(&storage, "c", "1").unwrap();
        assert!(!storage.figures().failing && !has_stopped().unwrap());
        for key in ["a", "c"] {
            assert_eq!(get(&storage, key).as_deref(), Some(&b"1"[..]), "{key}");
        }
        drop(storage);
        assert_eq!(get(&open(folder.path()), "a").as_deref(), Some(&b"1"[..]));
    }

    struct Nothing;

    impl dog::App for Nothing {
        type Groups = ();

        async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> {
            Ok(dog::text_response(dog::http::StatusCode::OK, ""))
        }
    }

    #[tokio::test]
    async fn a_server_whose_alarms_are_damaged_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Embedded::open(Folder::open(Some(folder.path())).unwrap()).unwrap();
        let damage = |opened: &Opened| opened.alarms.insert("g", "no time").map_err(|cause| failed(&cause));
        opened.slot.read(damage).unwrap();
        drop(opened);
        // Without this file, no commits seem to be missing, so only the damaged alarm is left to find.
        std::fs::remove_file(folder.path().join("COMMITS")).unwrap();
        let error = Server::new(Nothing).bind("127.0.0.1:0").data(folder.path()).start().await.unwrap_err();
        assert!(error.is_data(), "{error}");
        assert!(error.to_string().contains("a stored alarm is damaged"), "{error}");
    }

    #[test]
    fn commits_that_are_missing_are_noticed_and_can_be_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Embedded::open(Folder::open(Some(folder.path())).unwrap());
        drop(open().unwrap());
        let mark = folder.path().join("COMMITS");
        Mark::open(&mark).unwrap().write(3).unwrap();
        let error = open().expect_err("three commits are missing").to_string();
        assert!(error.contains("3 acknowledged commits are missing") && !error.contains('\n'), "{error}");
        std::fs::remove_file(mark).unwrap();
        drop(open().unwrap());
    }

    #[test]
    fn a_commit_that_is_missing_before_a_later_one_is_noticed_and_can_be_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Embedded::open(Folder::open(Some(folder.path())).unwrap());
        let storage = open().unwrap();
        ["a", "b", "c"].into_iter().for_each(|key| put(&storage, key, "1").unwrap());
        // The second commit leaves with its number, as it does when an earlier journal is cut.
        let number = [&b"commits"[..], &2_u64.to_be_bytes()].concat();
        storage.slot.read(|opened| opened.entries.remove(number.as_slice()).map_err(|cause| failed(&cause))).unwrap();
        drop(storage);
        let error = open().expect_err("a commit is missing").to_string();
        assert!(error.contains("1 acknowledged commits are missing") && !error.contains('\n'), "{error}");
        std::fs::remove_file(folder.path().join("COMMITS")).unwrap();
        drop(open().unwrap());
        // What is left counts as complete from then on.
        assert_eq!(get(&open().unwrap(), "c").as_deref(), Some(&b"1"[..]));
    }
}
