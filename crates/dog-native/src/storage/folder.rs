//! The data folder: its contents, and which process may use it.
//!
//! ```text
//! DIR/FORMAT     the version of the other files, as text
//! DIR/COMMITS    the number of the last commit and its complement: see `mark`
//! DIR/objects/   the database
//! DIR/trial-*/   a copy of the database while a server starts: see `trial`
//! DIR/TEMPORARY  present in a folder that is removed with its server
//! ```
//!
//! A server holds a lock on the folder itself for as long as it runs. If a temporary folder is not locked, its server
//! was killed: the next server that uses a temporary folder removes it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::error::Error;

/// The version that this release writes. It reads no other.
const FORMAT: u32 = 2;

/// The names of temporary folders begin with `PREFIX`, and each contains the file `TEMPORARY`. Both are required before
/// a folder is removed, because somebody else's folder could have such a name.
const PREFIX: &str = "dog-temporary-";
const TEMPORARY: &str = "TEMPORARY";

/// The names of copies for a trial start begin with this.
const TRIAL: &str = "trial-";

/// How often the lock of a named folder is tried, and the time between two tries. A server that is stopping releases it
/// last.
const ASKS: usize = 3;
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A folder that holds a server's data.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock on the folder. `None` if the file system has no locks; then only the database's own lock protects the
    /// folder.
    #[allow(dead_code, reason = "it is there to be dropped")]
    lock: Option<File>,
    /// Set if no folder was named. Dropping it removes the folder.
    #[allow(dead_code, reason = "it is there to be dropped")]
    temporary: Option<TempDir>,
}

impl Folder {
    /// Opens the folder at `path`, and creates it if it does not exist. Without a path, creates a temporary folder.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let folder = match path {
            Some(path) => Self::named(path)?,
            None => Self::temporary()?,
        };
        folder.check_format()?;
        // A folder that was named must not be removed.
        if !folder.is_temporary() {
            let _ = fs::remove_file(folder.path.join(TEMPORARY));
        }
        folder.remove_trials();
        Ok(folder)
    }

    fn named(path: &Path) -> Result<Self, Error> {
        let mut folder = Self { path: path.to_owned(), lock: None, temporary: None };
        fs::create_dir_all(path).map_err(|cause| folder.trouble("cannot be made", &cause))?;
        for _ in 0..ASKS {
            match lock(path) {
                Lock::Held(file) => {
                    folder.lock = file;
                    return Ok(folder);
                }
                Lock::Taken => std::thread::sleep(ASK_AGAIN),
            }
        }
        Err(folder.is_in_use())
    }

    fn temporary() -> Result<Self, Error> {
        let impossible = |cause: io::Error| Error::data(format!("data: cannot create a temporary folder: {cause}"));
        loop {
            let temporary = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(impossible)?;
            // In the moment before the lock was taken, another server may have removed the folder as left behind.
            let Lock::Held(lock) = lock(temporary.path()) else { continue };
            if fs::write(temporary.path().join(TEMPORARY), "").is_err() && !temporary.path().exists() {
                continue;
            }
            if lock.is_some() {
                remove_left_behind(temporary.path());
            }
            return Ok(Self { path: temporary.path().to_owned(), lock, temporary: Some(temporary) });
        }
    }

    /// Removes the trial copies of servers that were killed while they started.
    fn remove_trials(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TRIAL) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Creates a folder for a copy of the database. It is removed when the value is dropped.
    pub(super) fn beside(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix(TRIAL).tempdir_in(&self.path)
    }

    pub(super) fn is_in_use(&self) -> Error {
        self.trouble("is in use", &"another server uses it: stop that one first")
    }

    /// Empties the journal, so that the next start need not read it. To be called when tables hold everything and the
    /// database is closed. If there is more than one journal, it does nothing.
    pub(super) fn empty_journal(&self) -> io::Result<()> {
        let mut journals = Vec::new();
        for entry in fs::read_dir(self.objects())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                journals.push(path);
            }
        }
        // The file itself must stay: without it, the database would restart its numbering.
        let [journal] = &journals[..] else { return Ok(()) };
        let journal = File::options().write(true).open(journal)?;
        journal.set_len(0)?;
        journal.sync_all()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Returns the path of the database.
    pub(crate) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Returns the path of the file with the number of the last commit.
    pub(crate) fn commits(&self) -> PathBuf {
        self.path.join("COMMITS")
    }

    /// Returns an error in one line that names the folder and says what to do.
    pub(crate) fn trouble(&self, what: &str, cause: &dyn std::fmt::Display) -> Error {
        Error::data(format!("data: {} {what}: {cause}", self.path.display()))
    }

    fn check_format(&self) -> Result<(), Error> {
        let path = self.path.join("FORMAT");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(FORMAT) => Ok(()),
                Ok(version) => Err(self.trouble(
                    "was written by another release",
                    &format!("its format is {version}, this release reads {FORMAT}: run the release that wrote it"),
                )),
                Err(_) => {
                    Err(self.trouble("is damaged", &"the file FORMAT contains no version: restore it from a backup"))
                }
            },
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => self.begin(&path),
            Err(cause) => Err(self.trouble("cannot be read", &cause)),
        }
    }

    /// Initializes a new folder. It must be empty, so that somebody else's files are not taken for a server's data.
    fn begin(&self, format: &Path) -> Result<(), Error> {
        let mut entries = fs::read_dir(&self.path).map_err(|cause| self.trouble("cannot be read", &cause))?;
        let mut entries = entries.by_ref().flatten().filter(|entry| entry.file_name() != TEMPORARY);
        if entries.next().is_some() {
            let advice = "there are files in it, but no FORMAT: name an empty folder, or restore FORMAT from a backup";
            return Err(self.trouble("is no data folder", &advice));
        }
        let written = fs::write(format, format!("{FORMAT}\n")).and_then(|()| fs::File::open(format)?.sync_all());
        let written = written.and_then(|()| fs::File::open(&self.path)?.sync_all());
        written.map_err(|cause| self.trouble("cannot be written", &cause))
    }
}

enum Lock {
    /// This process holds the lock. `None` if the file system has no locks.
    Held(Option<File>),
    Taken,
}

fn lock(folder: &Path) -> Lock {
    let Ok(file) = File::open(folder) else { return Lock::Held(None) };
    match file.try_lock() {
        Ok(()) => Lock::Held(Some(file)),
        Err(TryLockError::WouldBlock) => Lock::Taken,
        Err(TryLockError::Error(_)) => Lock::Held(None),
    }
}

/// Removes the temporary folders next to `own` that killed servers of this user have left behind.
fn remove_left_behind(own: &Path) {
    let user = |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir).map(|folder| folder.uid());
    let (Some(parent), Some(this_user)) = (own.parent(), user(own)) else { return };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let may_be = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && path != own
            && user(&path) == Some(this_user)
            && path.join(TEMPORARY).exists();
        // The lock is held until the folder is removed.
        if may_be && let Lock::Held(Some(_lock)) = lock(&path) {
            match fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(folder = %path.display(), "data: removed what a killed server left behind"),
                Err(cause) => tracing::debug!(folder = %path.display(), "data: cannot be removed: {cause}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_and_found_again() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        for _ in 0..2 {
            assert!(!Folder::open(Some(&path)).unwrap().is_temporary());
        }
        let temporary = Folder::open(None).unwrap();
        let path = temporary.path().to_owned();
        assert!(path.join("FORMAT").exists());
        drop(temporary);
        assert!(!path.exists());
    }

    #[test]
    fn a_temporary_folder_that_nobody_has_is_taken_away_by_the_next() {
        let live = Folder::open(None).unwrap();
        let beside = |name: &str| live.path().with_file_name(format!("{name}-{}", std::process::id()));
        let (dead, kept) = (beside("dog-temporary-dead"), beside("dog-temporary-kept"));
        for (folder, files) in [(&dead, &["TEMPORARY", "FORMAT", "objects/lock"][..]), (&kept, &["thesis.txt"])] {
            fs::create_dir_all(folder.join("objects")).unwrap();
            files.iter().for_each(|file| fs::write(folder.join(file), "1").unwrap());
        }
        drop(Folder::open(None).unwrap());
        assert!(!dead.exists(), "the folder that was left behind is still there");
        assert!(live.path().join("FORMAT").exists(), "the folder of a running server was removed");
        assert!(kept.join("thesis.txt").exists(), "a folder of somebody else was removed");
        fs::remove_dir_all(kept).unwrap();
    }

    #[test]
    fn a_folder_that_is_named_is_kept() {
        let live = Folder::open(None).unwrap();
        let saved = live.path().with_file_name(format!("dog-temporary-saved-{}", std::process::id()));
        fs::create_dir(&saved).unwrap();
        for (file, text) in [("TEMPORARY", ""), ("FORMAT", "2")] {
            fs::write(saved.join(file), text).unwrap();
        }
        let named = Folder::open(Some(&saved)).unwrap();
        assert!(Folder::open(Some(&saved)).unwrap_err().to_string().contains("is in use"));
        drop(named);
        drop(Folder::open(None).unwrap());
        assert!(saved.join("FORMAT").exists());
        fs::remove_dir_all(saved).unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_told_in_one_line_and_left_alone() {
        let cases = [("1\n", "another release"), ("3\n", "another release"), ("", "damaged"), ("one", "damaged")];
        for (format, part) in cases {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("FORMAT"), format).unwrap();
            let error = Folder::open(Some(folder.path())).unwrap_err();
            assert!(error.is_data() && error.to_string().contains(part), "{error}");
            assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).unwrap(), format);
        }
        let foreign = tempfile::tempdir().unwrap();
        fs::write(foreign.path().join("thesis.txt"), "mine").unwrap();
        assert!(Folder::open(Some(foreign.path())).unwrap_err().to_string().contains("no data folder"));
        let file = foreign.path().join("thesis.txt");
        assert!(Folder::open(Some(&file)).unwrap_err().to_string().contains("cannot be made"));
    }
}
