//! The database: fjall, a log-structured one that is part of the process.

use std::ops::Bound;

use bytes::Bytes;
use dog::internal::Kind;
use dog::{Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::commit::{self, Committer, Together, Write};
use super::folder::Folder;
use super::{Done, SetAlarm, Storage, StorageFigures, key};

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

impl Embedded {
    pub(crate) fn open(folder: Folder) -> Result<Self, crate::Error> {
        let database = Opened::open(&folder)?;
        let committer = Committer::start(database.clone())
            .map_err(|cause| crate::Error::system("data: the system gives no thread for the storage", cause))?;
        Ok(Self { committer, database, folder })
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
        open().map_err(|error: fjall::Error| match error {
            fjall::Error::Locked => folder.trouble("is in use", &"another server runs on it: stop that one first"),
            fjall::Error::InvalidVersion(_) => {
                folder.trouble("was written by another release", &"run the release that wrote it")
            }
            fjall::Error::Io(cause) => folder.trouble("cannot be used", &cause),
            other => folder.trouble("is damaged", &format!("{other}: restore it from a backup")),
        })
    }
}

fn failed(cause: &fjall::Error) -> Error {
    Error::new(Kind::Storage, format!("the storage cannot be read: {cause}"))
}

impl Storage for Embedded {
    fn get(&self, object: Object, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self.database.entries.get(key::entry(object, space, key)).map_err(|cause| failed(&cause))?;
        Ok(value.map(Bytes::from))
    }

    fn range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: Option<usize>,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let prefix = key::prefix(object, space).len();
        let bounds = key::bounds(object, space, keys);
        if is_empty(&bounds) {
            return Ok(Vec::new());
        }
        let found = self.database.entries.range(bounds);
        let read = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(|cause| failed(&cause))?;
            Ok((Bytes::from(key).slice(prefix..), Bytes::from(value)))
        };
        let most = most.unwrap_or(usize::MAX);
        if reverse { found.rev().take(most).map(read).collect() } else { found.take(most).map(read).collect() }
    }

    fn write(&self, object: Object, class: &'static str, batch: Batch, done: Done) {
        let entry = |(key, value): (Vec<u8>, _)| (key::entry(object, batch.space, &key), value);
        let alarm = batch.alarm.map(|at| (key::name(object), at.map(|at| write_alarm(at, class))));
        self.committer.hand_over(Write {
            delete_all: batch.delete_all.then(|| key::prefix(object, batch.space)),
            entries: batch.entries.into_iter().map(entry).collect(),
            alarm,
            done,
        });
    }

    fn alarm(&self, object: Object) -> Result<Option<Timestamp>, Error> {
        let value = self.database.alarms.get(key::name(object)).map_err(|cause| failed(&cause))?;
        value.map(|value| read_alarm(&value).map(|(at, _)| at)).transpose()
    }

    fn figures(&self) -> StorageFigures {
        self.committer.figures()
    }

    fn alarms(&self) -> Result<Vec<SetAlarm>, Error> {
        let read = |guard: fjall::Guard| {
            let (name, value) = guard.into_inner().map_err(|cause| failed(&cause))?;
            let (at, class) = read_alarm(&value)?;
            let object = key::object(&name).ok_or_else(damaged_alarm)?;
            Ok(SetAlarm { at, class, object })
        };
        self.database.alarms.iter().map(read).collect()
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

impl commit::Database for Opened {
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let keys = self.entries.prefix(prefix).map(|guard| guard.key().map(|key| key.to_vec()));
        keys.collect::<Result<_, _>>().map_err(|cause: fjall::Error| cause.to_string())
    }

    fn commit(&self, together: Together) -> Result<(), String> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (keyspace, entries) in [(&self.entries, together.entries), (&self.alarms, together.alarms)] {
            for (key, value) in entries {
                match value {
                    Some(value) => batch.insert(keyspace, key, value),
                    None => batch.remove(keyspace, key),
                }
            }
        }
        batch.commit().map_err(|cause| match cause {
            fjall::Error::Poisoned => "an earlier write failed: make room or mend the disk, then restart".into(),
            other => other.to_string(),
        })
    }
}
