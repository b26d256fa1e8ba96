//! The number of acknowledged commits, in a file of its own, so that a database that has lost some of them is not
//! accepted as complete.
//!
//! A database that is damaged at the end of its journal looks like one whose process was killed at that point, and it
//! opens without an error. So each commit contains its number, and after each commit the number is also written to this
//! file. The file is not flushed: nothing is lost when the process is killed. After a crash of the machine it may hold
//! an older number, which is still correct.

use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fnv::FnvHasher;

/// The file that holds the number of the last commit.
pub(super) struct Mark {
    file: File,
}

/// The contents of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// The file is empty or does not exist: no commit has been made yet, or somebody removed the file.
    Nothing,
    /// At least this many commits were made.
    Commits(u64),
    /// The file is damaged.
    Nonsense,
}

impl Marked {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

impl Mark {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)? })
    }

    pub(super) fn read(&self) -> io::Result<Marked> {
        Self::read_file(&self.file)
    }

    /// Reads the file at `path`, and does not create it if it does not exist.
    pub(super) fn look(path: &Path) -> io::Result<Marked> {
        match File::open(path) {
            Ok(file) => Self::read_file(&file),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Marked::Nothing),
            Err(cause) => Err(cause),
        }
    }

    fn read_file(file: &File) -> io::Result<Marked> {
        let mut bytes = [0; 16];
        match file.metadata()?.len() {
            0 => return Ok(Marked::Nothing),
            16 => file.read_exact_at(&mut bytes, 0)?,
            _ => return Ok(Marked::Nonsense),
        }
        let [number, check] = [0, 8].map(|at| u64::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte])));
        Ok(if check == !number { Marked::Commits(number) } else { Marked::Nonsense })
    }

    /// Writes the file for the first time and syncs it. Its length on the disk is final from then on, so a crash cannot
    /// leave an incomplete file.
    pub(super) fn begin(&self, commits: u64) -> io::Result<()> {
        self.write(commits)?;
        self.file.sync_all()
    }

    /// Writes that this many commits are durable.
    pub(super) fn write(&self, commits: u64) -> io::Result<()> {
        let bytes: [u8; 16] = std::array::from_fn(|at| {
            let number = if at < 8 { commits } else { !commits };
            number.to_be_bytes()[at % 8]
        });
        self.file.write_all_at(&bytes, 0)
    }
}

/// Returns the hash of an entry: FNV-1a with its bits mixed, because the hashes of all entries are combined with XOR. It
/// is part of the disk format.
pub(super) fn digest(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    for part in [key, &[0xff], value] {
        hasher.write(part);
    }
    let hash = hasher.finish();
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_an_entry_never_changes() {
        assert_eq!(digest(b"key", b"value"), 0xf596_629b_e226_356a);
    }

    #[test]
    fn it_reads_what_it_wrote_and_knows_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("COMMITS");
        let mark = Mark::open(&path).unwrap();
        assert_eq!(mark.read().unwrap(), Marked::Nothing);
        for number in [1, 2, u64::MAX, 0] {
            mark.write(number).unwrap();
            assert_eq!(Mark::open(&path).unwrap().read().unwrap(), Marked::Commits(number));
        }
        mark.write(0x0102_0304_0506_0708).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..16 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(Mark::open(&path).unwrap().read().unwrap(), Marked::Nonsense);
            std::fs::write(&path, &whole[..at.max(1)]).unwrap();
            assert_eq!(Mark::open(&path).unwrap().read().unwrap(), Marked::Nonsense);
        }
    }
}
