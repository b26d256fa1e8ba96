//! Opening, checking and writing the database. The committing thread also reopens it after a failure, where that is
//! safe.

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

/// The key of the entry that holds [`Commits`]. No object has such a key: its second byte is not a kind of object.
const COMMITS: &[u8] = b"commits";

/// How many of the last commits each have an entry with their number. A damaged journal that is not the last one loses
/// the commits before the first of the next journal: later commits are there, and only a missing number shows the loss.
/// The next journal has far fewer commits than this before the tables of the journal before it are written.
const NUMBERED: u64 = 16_384;

/// The time between two attempts to reopen the database. It doubles with each attempt, up to one minute.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRY_AGAIN_MOST: Duration = Duration::from_secs(60);

/// How many file descriptors and how many bytes of disk must be free before the database is reopened.
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
    /// Returns the same error as one line that names the folder and says what to do.
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
        // The database finds some damage with assertions, which panic.
        catch_unwind(AssertUnwindSafe(open)).map_err(|_| Unopened(None))?.map_err(|error| Unopened(Some(error)))
    }

    /// Opens the database for inspection only: it does no background work.
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

    /// Returns the commits that the database contains.
    fn commits(&self) -> Result<Commits, fjall::Error> {
        let bytes = self.entries.get(COMMITS)?.unwrap_or_default();
        Ok(Commits::from_bytes(&bytes))
    }

    /// Returns how many of the last commits are missing although a later one is there.
    fn missing(&self, commits: Commits) -> Result<u64, fjall::Error> {
        let first = commits.whole_since.max((commits.count + 1).saturating_sub(NUMBERED));
        let mut present = 0;
        for guard in self.entries.prefix(COMMITS) {
            let (key, value) = guard.into_inner()?;
            let number = value[..].try_into().map_or(0, u64::from_be_bytes);
            present += u64::from(key.len() > COMMITS.len() && (first..=commits.count).contains(&number));
        }
        Ok((commits.count + 1).saturating_sub(first + present))
    }

    /// Returns the combined digest of the alarms that the database contains.
    fn digest_of_alarms(&self) -> Result<u64, fjall::Error> {
        let alarms = self.alarms.iter().map(fjall::Guard::into_inner);
        alarms.map(|alarm| alarm.map(|(key, value)| mark::digest(&key, &value))).try_fold(0, |all, one| Ok(all ^ one?))
    }

    /// Returns all alarms that are set, with the class of each object.
    pub(super) fn set_alarms(&self) -> Result<Vec<SetAlarm>, Error> {
        let read = |guard: fjall::Guard| {
            let (name, value) = guard.into_inner().map_err(|cause| failed(&cause))?;
            let (at, class) = read_alarm(&value)?;
            let object = key::object(&name).ok_or_else(damaged_alarm)?;
            Ok(SetAlarm { at, class, object })
        };
        self.alarms.iter().map(read).collect()
    }

    /// Returns an error if acknowledged commits are missing, as far as `marked` can show it.
    pub(super) fn verify(&self, marked: &Marked, folder: &Folder) -> Result<Commits, crate::Error> {
        let damaged = |what: &str| folder.trouble("is damaged", &what);
        let digest = self.digest_of_alarms().map_err(|cause| damaged(&explain(&cause)))?;
        let commits = self.commits().map_err(|cause| damaged(&explain(&cause)))?;
        let missing = self.missing(commits).map_err(|cause| damaged(&explain(&cause)))?;
        match *marked {
            Marked::Commits(acknowledged) if commits.count < acknowledged || missing > 0 => Err(damaged(&format!(
                "{} acknowledged commits are missing: restore it from a backup, or remove the file COMMITS and \
                     continue without them",
                missing.max(acknowledged.saturating_sub(commits.count))
            ))),
            Marked::Nonsense => Err(damaged("the file COMMITS does not hold a valid number: restore it from a backup")),
            Marked::Commits(_) if commits.alarms != digest => Err(damaged(
                "alarms are missing: restore it from a backup, or remove the file COMMITS and continue without them",
            )),
            Marked::Commits(_) => Ok(commits),
            // The folder is new, or somebody removed the file in order to continue with the data that is left.
            Marked::Nothing => Ok(Commits { alarms: digest, whole_since: commits.count + 1, ..commits }),
        }
    }

    /// Starts to write everything that is only in memory to tables.
    pub(super) fn flush(&self) -> Result<(), fjall::Error> {
        self.entries.rotate_memtable()?;
        self.alarms.rotate_memtable()?;
        Ok(())
    }

    /// Returns whether everything is in tables.
    pub(super) fn is_flushed(&self) -> bool {
        let flushed = |keyspace: &Keyspace| {
            keyspace.tree.sealed_memtable_count() == 0 && keyspace.tree.active_memtable().is_empty()
        };
        flushed(&self.entries) && flushed(&self.alarms)
    }
}

/// A summary of what has been committed: one number for the commits, one for the alarms.
#[derive(Clone, Copy)]
pub(super) struct Commits {
    count: u64,
    /// The XOR of the digests of all alarms. Alarms are few and change seldom, so they stay in the journal long after
    /// later entries have moved to tables. The number of commits would not show that they were lost.
    alarms: u64,
    /// The first commit from which on none may be missing. It is 1, unless somebody removed the file COMMITS in order to
    /// continue with the data that was left.
    whole_since: u64,
}

impl Commits {
    fn to_bytes(self) -> Vec<u8> {
        [self.count, self.alarms, self.whole_since].map(u64::to_be_bytes).concat()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let number = |at: usize| bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let count = number(0).unwrap_or(0);
        Self { count, alarms: number(8).unwrap_or(0), whole_since: number(16).unwrap_or(count + 1) }
    }

    /// Returns the key of the entry with the number of the last commit.
    fn key_of_number(self) -> Vec<u8> {
        let slot = (self.count % NUMBERED).to_be_bytes();
        [COMMITS, &slot].concat()
    }
}

/// Describes a database error for a user. The error's own text is meant for debugging.
pub(super) fn explain(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => cause.to_string(),
        fjall::Error::JournalRecovery(cause) => format!("its journal is damaged ({cause:?})"),
        fjall::Error::Storage(cause) => format!("a table is damaged ({cause:?})"),
        fjall::Error::Poisoned => "an earlier write failed: free disk space or repair the disk, then restart".into(),
        other => other.to_string(),
    }
}

pub(super) fn failed(cause: &fjall::Error) -> Error {
    Error::new(dog::internal::Kind::Storage, format!("the storage cannot be read: {}", explain(cause)))
}

/// The open database: any thread may read it, and one thread may reopen it.
pub(super) struct Slot {
    pub(super) folder: Folder,
    opened: RwLock<Option<Opened>>,
}

impl Slot {
    pub(super) fn new(folder: Folder, opened: Opened) -> Arc<Self> {
        Arc::new(Self { folder, opened: RwLock::new(Some(opened)) })
    }

    /// Calls `read` with the open database. The lock is held for as long as `read` runs, so it must be short.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Opened) -> Result<T, Error>) -> Result<T, Error> {
        match &*self.opened.read().unwrap_or_else(PoisonError::into_inner) {
            Some(opened) => read(opened),
            None => Err(Error::new(dog::internal::Kind::Storage, "the storage could not be opened again: see the log")),
        }
    }

    /// Takes the database out, so that nobody can use it any more.
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

/// The database as the committing thread uses it.
pub(super) struct Writer {
    slot: Arc<Slot>,
    mark: Mark,
    commits: Cell<Commits>,
    /// Whether a write of this process has failed. It is then unknown how much of that write is on the disk, and this
    /// process must not read it.
    has_failed: Cell<bool>,
    /// When the database may be reopened next, and how long to wait after that attempt.
    again: RefCell<(Instant, Duration)>,
}

impl Writer {
    /// Returns an error if acknowledged commits are missing.
    pub(super) fn open(slot: Arc<Slot>) -> Result<Self, crate::Error> {
        let unreadable = |cause: std::io::Error| slot.folder.trouble("cannot be used", &cause);
        let mark = Mark::open(&slot.folder.commits()).map_err(unreadable)?;
        let marked = mark.read().map_err(unreadable)?;
        let commits = match &*slot.opened.read().unwrap_or_else(PoisonError::into_inner) {
            Some(opened) => opened.verify(&marked, &slot.folder)?,
            None => return Err(slot.folder.trouble("cannot be used", &"it is closed")),
        };
        let again = RefCell::new((Instant::now(), TRY_AGAIN));
        let writer = Self { slot, mark, commits: Cell::new(commits), has_failed: Cell::new(false), again };
        if marked.is_nothing() {
            if commits.count > 0 {
                // From now on the data that is left counts as complete.
                let accepted = writer.try_commit(&Together::default());
                accepted.map_err(|cause| writer.slot.folder.trouble("cannot be used", &explain(&cause)))?;
            }
            let begun = writer.mark.begin(writer.commits.get().count);
            begun.map_err(|cause| writer.slot.folder.trouble("cannot be used", &cause))?;
        }
        Ok(writer)
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
            batch.insert(entries, commits.key_of_number(), commits.count.to_be_bytes());
            for (keyspace, entries) in [(entries, &together.entries), (alarms, &together.alarms)] {
                for (key, value) in entries {
                    match value {
                        Some(value) => batch.insert(keyspace, key.as_slice(), value.clone()),
                        None => batch.remove(keyspace, key.as_slice()),
                    }
                }
            }
            let committed = batch.commit();
            // All errors but `Poisoned` come from this write, and part of it may be in the journal.
            self.has_failed.set(self.has_failed.get() || committed.as_ref().is_err_and(|error| !is_poisoned(error)));
            committed?;
            self.commits.set(commits);
            Ok(())
        })
    }

    /// Reopens the database after its background work has failed. Such a failure stops the database permanently but
    /// loses nothing: acknowledged writes are in the journal or in tables, and writes that failed after it were never
    /// started.
    fn open_again(&self) -> Result<(), String> {
        let now = Instant::now();
        let (at, wait) = *self.again.borrow();
        if now < at {
            return Err("its background work failed; reopening is tried again later".into());
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
        tracing::warn!("the storage was reopened after its background work had failed; nothing is lost");
        Ok(())
    }

    /// Returns an error if the process still lacks what the background work may have lacked: file descriptors or disk
    /// space.
    fn is_promising(&self) -> Result<(), String> {
        let files: Result<Vec<_>, _> = (0..FREE_FILES).map(|_| std::fs::File::open("/dev/null")).collect();
        if let Err(cause) = files {
            let limit = Descriptors::of_process().limit();
            return Err(format!("no more files can be opened ({cause}), of {limit}: raise the limit, ulimit -n"));
        }
        match rustix::fs::statvfs(self.slot.folder.path()) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_BYTES => {
                Err("its background work failed, and little disk space is left: free some, then restart".into())
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
        // If this fails, the file keeps an older number. That is still correct, but it detects fewer losses.
        if let Err(cause) = self.mark.write(self.commits.get().count) {
            seldom!(
                warn,
                "the number of the last commit could not be written",
                "the number of the last commit could not be written: {cause}"
            );
        }
        Ok(())
    }
}
