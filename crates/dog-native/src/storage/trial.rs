//! Checks whether a data folder can be used, on a copy of it. Opening a database changes it: the end of an interrupted
//! write and files that nothing refers to are removed. If a server refuses to start, all of that must be unchanged.
//!
//! The copy is in the same folder, and is removed after the trial. Tables make up most of a large folder and never
//! change, so the copy uses hard links to them. Journals are copied up to the end of their contents.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::database::Opened;
use super::folder::Folder;
use super::mark::Mark;
use super::quiet::quietly;
use crate::error::Error;

/// The lock file of the database.
const LOCK: &str = "lock";
/// The name of the folders whose files never change once they are written.
const TABLES: &str = "tables";
/// The bytes that are checked for zeros at a time.
const BLOCK: usize = 64 * 1024;

/// Returns an error if the folder cannot be used. It changes nothing in it.
pub(super) fn try_out(folder: &Folder) -> Result<(), Error> {
    let unreadable = |cause: io::Error| folder.trouble("cannot be used", &cause);
    let marked = Mark::look(&folder.commits()).map_err(unreadable)?;
    let is_new = marked.is_nothing() && !folder.objects().try_exists().map_err(unreadable)?;
    if is_new {
        return Ok(());
    }
    let copy = folder.beside().map_err(unreadable)?;
    {
        let _unused = unused(folder)?;
        copy_all(&folder.objects(), copy.path()).map_err(unreadable)?;
    }
    let tried = quietly(|| {
        let opened = Opened::open_idle(copy.path()).map_err(|error| error.of(folder))?;
        opened.verify(&marked, folder)?;
        opened.set_alarms().map_err(|cause| folder.trouble("is damaged", &format!("{cause}: restore a backup")))?;
        Ok(())
    });
    // The database finds some damage with assertions, which panic.
    tried.unwrap_or_else(|_| Err(folder.trouble("is damaged", &"the database panicked: restore a backup")))
}

/// Returns an error if another server uses the database. Earlier releases lock only the database and not the folder.
fn unused(folder: &Folder) -> Result<Option<File>, Error> {
    // Without the lock file, nobody uses the database.
    let Ok(lock) = File::open(folder.objects().join(LOCK)) else { return Ok(None) };
    match lock.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Err(folder.is_in_use()),
        _ => Ok(Some(lock)),
    }
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let entries = match fs::read_dir(from) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let is_fixed = from.file_name().is_some_and(|name| name == TABLES);
    for entry in entries {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_all(&from, &to)?;
        } else if !is_fixed || fs::hard_link(&from, &to).is_err() {
            copy_one(&from, &to)?;
        }
    }
    Ok(())
}

/// Copies a file, but leaves out blocks of zeros: journal files are longer than their contents.
fn copy_one(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, to) = (File::open(from)?, File::create(to)?);
    let (mut block, mut at) = (vec![0; BLOCK], 0);
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            return to.set_len(at);
        }
        if block[..read].iter().any(|byte| *byte != 0) {
            to.write_all_at(&block[..read], at)?;
        }
        at += read as u64;
    }
}
