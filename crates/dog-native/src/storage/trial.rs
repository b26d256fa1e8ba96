//! Whether a data folder can be used, found out on a copy of it. To open a database is to tidy it: what is left of a write
//! that was cut off goes, files that nothing refers to go. A start that is refused must leave all of that as it was.
//!
//! The copy stands beside the original for as long as the trial takes. Tables, which are most of a large folder and never
//! change, are the same files by a second name; journals are copied as far as there is something in them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::database::Opened;
use super::folder::Folder;
use super::mark::Mark;
use super::quiet::quietly;
use crate::error::Error;

/// The database's own lock.
const LOCK: &str = "lock";
/// The folders of files that are written once.
const TABLES: &str = "tables";
/// What is looked at at a time for whether there is anything in it.
const BLOCK: usize = 64 * 1024;

/// Fails if the folder cannot be used, and has changed nothing in it.
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
    // Some damage is found by an assertion of the database's.
    tried.unwrap_or_else(|_| Err(folder.trouble("is damaged", &"the database panicked: restore a backup")))
}

/// Fails if another server is at it, one of an earlier release that locks nothing but the database.
fn unused(folder: &Folder) -> Result<Option<File>, Error> {
    // Not there, nobody has it.
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

/// Where there is nothing but zeros, nothing is written: journals are made larger than what is in them.
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
