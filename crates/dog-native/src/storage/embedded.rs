//! The database: fjall, a log-structured one that is part of the process.

use std::cell::Cell;
use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use dog::internal::Kind;
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::commit::{self, Committer, Together, Write};
use super::folder::Folder;
use super::mark::{self, Mark, Marked};
use super::{Done, Read, SetAlarm, Storage, StorageFigures, key};
use crate::repeats::seldom;

/// The storage of one process.
pub(crate) struct Embedded {
    // Before the database, so that what was handed over is done before that is closed.
    committer: Committer,
    database: Opened,
    /// Locked and, if it is temporary, there as long as this.
    #[allow(dead_code, reason = "it is there to be dropped")]
    folder: Folder,
}

#[derive(Clone)]
struct Opened {
    database: Database,
    entries: Keyspace,
    alarms: Keyspace,
}

/// Where they stand: before all entries, and no object's.
const COMMITS: &[u8] = b"commits";

impl Embedded {
    pub(crate) fn open(folder: Folder) -> Result<Self, crate::Error> {
        let database = Opened::open(&folder)?;
        let writer = Writer::open(database.clone(), &folder)?;
        let committer = Committer::start(writer)
            .map_err(|cause| crate::Error::system("data: the system gives no thread for the storage", cause))?;
        Ok(Self { committer, database, folder })
    }

    fn alarm_of(&self, object: Object) -> Result<Option<Timestamp>, Error> {
        let value = self.database.alarms.get(key::name(object)).map_err(|cause| failed(&cause))?;
        value.map(|value| read_alarm(&value).map(|(at, _)| at)).transpose()
    }

    /// All alarms that are set, with the class of each object.
    pub(crate) fn alarms(&self) -> Result<Vec<SetAlarm>, Error> {
        let read = |guard: fjall::Guard| {
            let (name, value) = guard.into_inner().map_err(|cause| failed(&cause))?;
            let (at, class) = read_alarm(&value)?;
            let object = key::object(&name).ok_or_else(damaged_alarm)?;
            Ok(SetAlarm { at, class, object })
        };
        self.database.alarms.iter().map(read).collect()
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Embedded")
    }
}

impl Opened {
    fn open(folder: &Folder) -> Result<Self, crate::Error> {
        let open = || {
            let database = Database::builder(folder.objects()).open()?;
            let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
            let alarms = database.keyspace("alarms", KeyspaceCreateOptions::default)?;
            Ok(Self { database, entries, alarms })
        };
        // Some damage is found by an assertion of the database's.
        let opened = catch_unwind(AssertUnwindSafe(open));
        let opened = opened.map_err(|_| folder.trouble("is damaged", &"the database panicked: restore a backup"))?;
        opened.map_err(|error: fjall::Error| match error {
            fjall::Error::Locked => folder.trouble("is in use", &"another server runs on it: stop that one first"),
            fjall::Error::InvalidVersion(_) => {
                folder.trouble("was written by another release", &"run the release that wrote it")
            }
            fjall::Error::Io(cause) => folder.trouble("cannot be used", &cause),
            other => folder.trouble("is damaged", &format!("{}: restore it from a backup", explain(&other))),
        })
    }

    /// The commits that are there.
    fn commits(&self) -> Result<Commits, fjall::Error> {
        let bytes = self.entries.get(COMMITS)?.unwrap_or_default();
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes);
        let (count, alarms) = bytes.split_at(bytes.len() / 2);
        Ok(Commits { count: number(count), alarms: number(alarms) })
    }

    /// The digest of the alarms that are there.
    fn digest_of_alarms(&self) -> Result<u64, fjall::Error> {
        let alarms = self.alarms.iter().map(fjall::Guard::into_inner);
        alarms.map(|alarm| alarm.map(|(key, value)| mark::digest(&key, &value))).try_fold(0, |all, one| Ok(all ^ one?))
    }
}

/// What has been committed, as far as one number each can tell.
#[derive(Clone, Copy)]
struct Commits {
    count: u64,
    /// The digests of all alarms, taken together. There are few of them and seldom new ones, so that they stay in the
    /// journal while what came after them has long gone to tables, and a loss of them shows in no count.
    alarms: u64,
}

impl Commits {
    fn to_bytes(self) -> [u8; 16] {
        let (count, alarms) = (self.count.to_be_bytes(), self.alarms.to_be_bytes());
        std::array::from_fn(|at| if at < 8 { count[at] } else { alarms[at - 8] })
    }
}

/// The database as the committing thread has it.
struct Writer {
    database: Opened,
    mark: Mark,
    commits: Cell<Commits>,
}

impl Writer {
    /// Fails if commits are missing that were acknowledged.
    fn open(database: Opened, folder: &Folder) -> Result<Self, crate::Error> {
        let unreadable = |cause: std::io::Error| folder.trouble("cannot be used", &cause);
        let damaged = |what: &str| folder.trouble("is damaged", &what);
        let mark = Mark::open(&folder.commits()).map_err(unreadable)?;
        let digest = database.digest_of_alarms().map_err(|cause| damaged(&explain(&cause)))?;
        let commits = database.commits().map_err(|cause| damaged(&explain(&cause)))?;
        match mark.read().map_err(unreadable)? {
            Marked::Commits(acknowledged) if commits.count < acknowledged => Err(damaged(&format!(
                "{} acknowledged commits are missing: restore it from a backup, or remove the file COMMITS and go \
                     on without them",
                acknowledged - commits.count
            ))),
            Marked::Nonsense => Err(damaged("the file COMMITS holds no number: restore it from a backup")),
            Marked::Commits(_) if commits.alarms != digest => Err(damaged(
                "alarms are missing: restore it from a backup, or remove the file COMMITS and go on without",
            )),
            Marked::Commits(_) => Ok(Self { database, mark, commits: Cell::new(commits) }),
            // It is new, or was taken away by someone who goes on with what there is.
            Marked::Nothing => {
                mark.begin(commits.count).map_err(unreadable)?;
                let commits = Commits { alarms: digest, ..commits };
                Ok(Self { database, mark, commits: Cell::new(commits) })
            }
        }
    }
}

/// An error of the database for people: its own text is that of a debugger.
fn explain(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => cause.to_string(),
        fjall::Error::JournalRecovery(cause) => format!("its journal is damaged ({cause:?})"),
        fjall::Error::Storage(cause) => format!("a table is damaged ({cause:?})"),
        fjall::Error::Poisoned => "an earlier write failed: make room or mend the disk, then restart".into(),
        other => other.to_string(),
    }
}

fn failed(cause: &fjall::Error) -> Error {
    Error::new(Kind::Storage, format!("the storage cannot be read: {}", explain(cause)))
}

impl Storage for Embedded {
    fn get(&self, object: Object, space: Space, key: &[u8]) -> Read<Option<Bytes>> {
        let value = self.database.entries.get(key::entry(object, space, key)).map_err(|cause| failed(&cause));
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
        let found = self.database.entries.range(bounds);
        let read = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(|cause| failed(&cause))?;
            Ok((Bytes::from(key).slice(prefix..), Bytes::from(value)))
        };
        let most = most.unwrap_or(usize::MAX);
        Read::Now(if reverse {
            found.rev().take(most).map(read).collect()
        } else {
            found.take(most).map(read).collect()
        })
    }

    fn write(&self, object: Object, _: Epoch, class: &'static str, batch: Batch, done: Done) {
        let entry = |(key, value): (Vec<u8>, _)| (key::entry(object, batch.space, &key), value);
        let alarm = batch.alarm.map(|at| (key::name(object), at.map(|at| write_alarm(at, class))));
        self.committer.hand_over(Write {
            delete_all: batch.delete_all.then(|| key::prefix(object, batch.space)),
            entries: batch.entries.into_iter().map(entry).collect(),
            alarm,
            done,
        });
    }

    fn alarm(&self, object: Object) -> Read<Option<Timestamp>> {
        Read::Now(self.alarm_of(object))
    }

    fn figures(&self) -> StorageFigures {
        self.committer.figures()
    }
}

/// A range that ends before it begins: the database would panic.
pub(super) fn is_empty(bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    match bounds {
        (Bound::Included(start), Bound::Excluded(end)) => start >= end,
        (Bound::Excluded(start), Bound::Excluded(end) | Bound::Included(end)) => start >= end,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        _ => false,
    }
}

fn damaged_alarm() -> Error {
    Error::new(Kind::Storage, "a stored alarm is damaged")
}

pub(super) fn write_alarm(at: Timestamp, class: &str) -> Bytes {
    [&at.as_millis().to_be_bytes()[..], class.as_bytes()].concat().into()
}

pub(super) fn read_alarm(value: &[u8]) -> Result<(Timestamp, String), Error> {
    let (at, class) = value.split_first_chunk::<8>().ok_or_else(damaged_alarm)?;
    let class = std::str::from_utf8(class).map_err(|_| damaged_alarm())?;
    Ok((Timestamp::from_millis(u64::from_be_bytes(*at)), class.to_owned()))
}

impl commit::Database for Writer {
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let keys = self.database.entries.prefix(prefix).map(|guard| guard.key().map(|key| key.to_vec()));
        keys.collect::<Result<_, _>>().map_err(|cause: fjall::Error| explain(&cause))
    }

    fn commit(&self, together: Together) -> Result<(), String> {
        let Opened { database, entries, alarms } = &self.database;
        let mut commits = self.commits.get();
        commits.count += 1;
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in &together.alarms {
            let digest_of = |value: &[u8]| mark::digest(key, value);
            let earlier = alarms.get(key).map_err(|cause| explain(&cause))?;
            commits.alarms ^= earlier.as_deref().map_or(0, digest_of) ^ value.as_deref().map_or(0, digest_of);
        }
        batch.insert(entries, COMMITS, commits.to_bytes());
        for (keyspace, entries) in [(entries, together.entries), (alarms, together.alarms)] {
            for (key, value) in entries {
                match value {
                    Some(value) => batch.insert(keyspace, key, value),
                    None => batch.remove(keyspace, key),
                }
            }
        }
        batch.commit().map_err(|cause| explain(&cause))?;
        self.commits.set(commits);
        // An older number is right too. It only notices less.
        if let Err(cause) = self.mark.write(commits.count) {
            seldom!(
                warn,
                "the number of the last commit could not be noted",
                "the number of the last commit could not be noted: {cause}"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Server;

    struct Nothing;

    impl dog::App for Nothing {
        type Groups = ();

        async fn fetch(&self, _: dog::Request, _: &dog::Dog) -> dog::Result<dog::Response> {
            Ok(dog::text(dog::http::StatusCode::OK, ""))
        }
    }

    #[tokio::test]
    async fn a_server_whose_alarms_are_damaged_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Embedded::open(Folder::open(Some(folder.path())).unwrap()).unwrap();
        opened.database.alarms.insert("g", "no time").unwrap();
        drop(opened);
        // Whoever wrote that has seen to it that nothing seems to be missing.
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
}
