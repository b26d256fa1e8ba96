//! The database as it is opened, checked, and written by the committing thread, which opens it anew where that is safe.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use dog::Error;
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::alarm::{damaged_alarm, read_alarm};
use super::commit::{self, Together};
use super::folder::Folder;
use super::key;
use super::mark::{self, Mark, Marked};
use super::port::SetAlarm;
use crate::descriptors::Descriptors;
use crate::repeats::seldom;

/// Where the commits that were made stand: before all entries, and no object's.
const COMMITS: &[u8] = b"commits";

/// How long after an attempt to open the database anew the next may be made; twice as long each time, up to a minute.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRY_AGAIN_MOST: Duration = Duration::from_secs(60);

/// What must be free before it is tried.
const FREE_FILES: usize = 32;
const FREE_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Clone)]
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) entries: Keyspace,
    pub(super) alarms: Keyspace,
}

/// Why a database cannot be opened.
#[derive(Debug)]
pub(super) struct Unopened(Option<fjall::Error>);

impl Unopened {
    /// The same, in one line that names the folder and what to do.
    pub(super) fn of(self, folder: &Folder) -> crate::Error {
        match self.0 {
            None => folder.trouble("is damaged", &"the database panicked: restore a backup"),
            Some(fjall::Error::Locked) => folder.is_in_use(),
            Some(fjall::Error::InvalidVersion(_)) => {
                folder.trouble("was written by another release", &"run the release that wrote it")
            }
            Some(fjall::Error::Io(cause)) => folder.trouble("cannot be used", &cause),
            Some(other) => folder.trouble("is damaged", &format!("{}: restore it from a backup", explain(&other))),
        }
    }
}

impl Opened {
    pub(super) fn open(path: &Path) -> Result<Self, Unopened> {
        let files = Descriptors::of_process().files();
        let open = || Self::with(Database::builder(path).max_cached_files(Some(files)).open()?);
        // Some damage is found by an assertion of the database's.
        catch_unwind(AssertUnwindSafe(open)).map_err(|_| Unopened(None))?.map_err(|error| Unopened(Some(error)))
    }

    /// To be looked at: it does nothing in the background.
    pub(super) fn open_idle(path: &Path) -> Result<Self, Unopened> {
        let files = Descriptors::of_process().files();
        let builder = Database::builder(path).max_cached_files(Some(files)).worker_threads_unchecked(0);
        builder.open().and_then(Self::with).map_err(|error| Unopened(Some(error)))
    }

    fn with(database: Database) -> Result<Self, fjall::Error> {
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
        let alarms = database.keyspace("alarms", KeyspaceCreateOptions::default)?;
        Ok(Self { database, entries, alarms })
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

    /// All alarms that are set, with the class of each object.
    pub(super) fn set_alarms(&self) -> Result<Vec<SetAlarm>, Error> {
        let read = |guard: fjall::Guard| {
            let (name, value) = guard.into_inner().map_err(|cause| failed(&cause))?;
            let (at, class) = read_alarm(&value)?;
            let object = key::object(&name).ok_or_else(damaged_alarm)?;
            Ok(SetAlarm { at, class, object })
        };
        self.alarms.iter().map(read).collect()
    }

    /// Fails if commits are missing that were acknowledged, as far as `marked` knows of them.
    pub(super) fn verify(&self, marked: &Marked, folder: &Folder) -> Result<Commits, crate::Error> {
        let damaged = |what: &str| folder.trouble("is damaged", &what);
        let digest = self.digest_of_alarms().map_err(|cause| damaged(&explain(&cause)))?;
        let commits = self.commits().map_err(|cause| damaged(&explain(&cause)))?;
        match *marked {
            Marked::Commits(acknowledged) if commits.count < acknowledged => Err(damaged(&format!(
                "{} acknowledged commits are missing: restore it from a backup, or remove the file COMMITS and go \
                     on without them",
                acknowledged - commits.count
            ))),
            Marked::Nonsense => Err(damaged("the file COMMITS holds no number: restore it from a backup")),
            Marked::Commits(_) if commits.alarms != digest => Err(damaged(
                "alarms are missing: restore it from a backup, or remove the file COMMITS and go on without",
            )),
            Marked::Commits(_) => Ok(commits),
            // It is new, or was taken away by someone who goes on with what there is.
            Marked::Nothing => Ok(Commits { alarms: digest, ..commits }),
        }
    }

    /// Begins to write tables of all that is in memory only.
    pub(super) fn flush(&self) -> Result<(), fjall::Error> {
        self.entries.rotate_memtable()?;
        self.alarms.rotate_memtable()?;
        Ok(())
    }

    /// Whether tables have all there is.
    pub(super) fn is_flushed(&self) -> bool {
        let flushed = |keyspace: &Keyspace| {
            keyspace.tree.sealed_memtable_count() == 0 && keyspace.tree.active_memtable().is_empty()
        };
        flushed(&self.entries) && flushed(&self.alarms)
    }
}

/// What has been committed, as far as one number each can tell.
#[derive(Clone, Copy)]
pub(super) struct Commits {
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

/// An error of the database for people: its own text is that of a debugger.
pub(super) fn explain(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => cause.to_string(),
        fjall::Error::JournalRecovery(cause) => format!("its journal is damaged ({cause:?})"),
        fjall::Error::Storage(cause) => format!("a table is damaged ({cause:?})"),
        fjall::Error::Poisoned => "an earlier write failed: make room or mend the disk, then restart".into(),
        other => other.to_string(),
    }
}

pub(super) fn failed(cause: &fjall::Error) -> Error {
    Error::new(dog::internal::Kind::Storage, format!("the storage cannot be read: {}", explain(cause)))
}

/// The database where it can be read by all and opened anew by one.
pub(super) struct Slot {
    pub(super) folder: Folder,
    opened: RwLock<Option<Opened>>,
}

impl Slot {
    pub(super) fn new(folder: Folder, opened: Opened) -> Arc<Self> {
        Arc::new(Self { folder, opened: RwLock::new(Some(opened)) })
    }

    /// The database as it is now. Whoever reads keeps it no longer than the reading takes.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Opened) -> Result<T, Error>) -> Result<T, Error> {
        match &*self.opened.read().unwrap_or_else(PoisonError::into_inner) {
            Some(opened) => read(opened),
            None => Err(Error::new(dog::internal::Kind::Storage, "the storage could not be opened again: see the log")),
        }
    }

    /// Nobody has it any more.
    pub(super) fn take(&self) -> Option<Opened> {
        self.opened.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn with<T>(&self, work: impl FnOnce(&Opened) -> Result<T, fjall::Error>) -> Result<T, fjall::Error> {
        match &*self.opened.read().unwrap_or_else(PoisonError::into_inner) {
            Some(opened) => work(opened),
            None => Err(fjall::Error::Poisoned),
        }
    }
}

/// The database as the committing thread has it.
pub(super) struct Writer {
    slot: Arc<Slot>,
    mark: Mark,
    commits: Cell<Commits>,
    /// A write of its own has failed: what of it the disk has is not known, and nobody may read it in this process.
    has_failed: Cell<bool>,
    /// When it may be opened anew, and how long after that again.
    again: RefCell<(Instant, Duration)>,
}

impl Writer {
    /// Fails if commits are missing that were acknowledged.
    pub(super) fn open(slot: Arc<Slot>) -> Result<Self, crate::Error> {
        let unreadable = |cause: std::io::Error| slot.folder.trouble("cannot be used", &cause);
        let mark = Mark::open(&slot.folder.commits()).map_err(unreadable)?;
        let marked = mark.read().map_err(unreadable)?;
        let commits = match &*slot.opened.read().unwrap_or_else(PoisonError::into_inner) {
            Some(opened) => opened.verify(&marked, &slot.folder)?,
            None => return Err(slot.folder.trouble("cannot be used", &"it is closed")),
        };
        if marked.is_nothing() {
            mark.begin(commits.count).map_err(unreadable)?;
        }
        let again = RefCell::new((Instant::now(), TRY_AGAIN));
        Ok(Self { slot, mark, commits: Cell::new(commits), has_failed: Cell::new(false), again })
    }

    fn try_commit(&self, together: &Together) -> Result<(), fjall::Error> {
        self.slot.with(|Opened { database, entries, alarms }| {
            let mut commits = self.commits.get();
            commits.count += 1;
            let mut batch = database.batch().durability(Some(PersistMode::SyncData));
            for (key, value) in &together.alarms {
                let digest_of = |value: &[u8]| mark::digest(key, value);
                let earlier = alarms.get(key)?;
                commits.alarms ^= earlier.as_deref().map_or(0, digest_of) ^ value.as_deref().map_or(0, digest_of);
            }
            batch.insert(entries, COMMITS, commits.to_bytes());
            for (keyspace, entries) in [(entries, &together.entries), (alarms, &together.alarms)] {
                for (key, value) in entries {
                    match value {
                        Some(value) => batch.insert(keyspace, key.as_slice(), value.clone()),
                        None => batch.remove(keyspace, key.as_slice()),
                    }
                }
            }
            let committed = batch.commit();
            // All other errors are of this very write, and the journal may have some of it.
            self.has_failed.set(self.has_failed.get() || committed.as_ref().is_err_and(|error| !is_poisoned(error)));
            committed?;
            self.commits.set(commits);
            Ok(())
        })
    }

    /// Opens the database anew. Its background work has failed, which stops it for good, though nothing is lost: what was
    /// acknowledged is in journal or tables, and what was refused since then was never begun.
    fn open_again(&self) -> Result<(), String> {
        let now = Instant::now();
        let (at, wait) = *self.again.borrow();
        if now < at {
            return Err("its background work failed; it is tried again in a while".into());
        }
        *self.again.borrow_mut() = (now + wait, (wait * 2).min(TRY_AGAIN_MOST));
        self.is_promising()?;
        let mut slot = self.slot.opened.write().unwrap_or_else(PoisonError::into_inner);
        drop(slot.take());
        let folder = &self.slot.folder;
        let marked = self.mark.read().map_err(|cause| cause.to_string())?;
        let opened = Opened::open(&folder.objects()).map_err(|error| error.of(folder).to_string())?;
        let commits = opened.verify(&marked, folder).map_err(|error| error.to_string())?;
        self.commits.set(commits);
        *slot = Some(opened);
        tracing::warn!("the storage goes on: its background work had failed, nothing of it is missing");
        Ok(())
    }

    /// Whether there is enough of what the background work may have been short of.
    fn is_promising(&self) -> Result<(), String> {
        let files: Result<Vec<_>, _> = (0..FREE_FILES).map(|_| std::fs::File::open("/dev/null")).collect();
        if let Err(cause) = files {
            let limit = Descriptors::of_process().limit();
            return Err(format!("no more files can be opened ({cause}), of {limit}: raise the limit, ulimit -n"));
        }
        match rustix::fs::statvfs(self.slot.folder.path()) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_BYTES => {
                Err("its background work failed, and little room is left: make room, then restart".into())
            }
            _ => Ok(()),
        }
    }
}

fn is_poisoned(error: &fjall::Error) -> bool {
    matches!(error, fjall::Error::Poisoned)
}

impl commit::Database for Writer {
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let keys = self.slot.with(|opened| {
            let keys = opened.entries.prefix(prefix).map(|guard| guard.key().map(|key| key.to_vec()));
            keys.collect::<Result<_, _>>()
        });
        keys.map_err(|cause: fjall::Error| explain(&cause))
    }

    fn commit(&self, together: Together) -> Result<(), String> {
        let committed = match self.try_commit(&together) {
            Err(error) if is_poisoned(&error) && !self.has_failed.get() => {
                self.open_again()?;
                self.try_commit(&together)
            }
            committed => committed,
        };
        committed.map_err(|cause| explain(&cause))?;
        // An older number is right too. It only notices less.
        if let Err(cause) = self.mark.write(self.commits.get().count) {
            seldom!(
                warn,
                "the number of the last commit could not be noted",
                "the number of the last commit could not be noted: {cause}"
            );
        }
        Ok(())
    }
}
