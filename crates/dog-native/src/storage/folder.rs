//! The data folder: what stands in it, and who may use it.
//!
//! ```text
//! DIR/FORMAT     the version of what stands beside it, in text
//! DIR/COMMITS    the number of the last commit, twice: see `mark`
//! DIR/objects/   the database
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::Error;

/// The version that this release writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// A folder that holds a server's data.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Taken away with the server, where no folder was named.
    #[allow(dead_code, reason = "it is there to be dropped")]
    temporary: Option<TempDir>,
}

impl Folder {
    /// The folder that was named, made if it is not there; or a temporary one.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let folder = match path {
            Some(path) => Self { path: path.to_owned(), temporary: None },
            None => {
                let temporary = tempfile::Builder::new().prefix("dog-").tempdir();
                let temporary = temporary
                    .map_err(|cause| Error::data(format!("data: no temporary folder can be made: {cause}")))?;
                Self { path: temporary.path().to_owned(), temporary: Some(temporary) }
            }
        };
        fs::create_dir_all(&folder.path).map_err(|cause| folder.trouble("cannot be made", &cause))?;
        folder.check_format()?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Where the database is.
    pub(crate) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Where the number of the last commit is.
    pub(crate) fn commits(&self) -> PathBuf {
        self.path.join("COMMITS")
    }

    /// One line that names the folder and what to do.
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
                    Err(self.trouble("is damaged", &"the file FORMAT holds no version: restore it from a backup"))
                }
            },
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => self.begin(&path),
            Err(cause) => Err(self.trouble("cannot be read", &cause)),
        }
    }

    /// A new folder: nothing else may stand in it, lest somebody's files be taken for ours.
    fn begin(&self, format: &Path) -> Result<(), Error> {
        let mut entries = fs::read_dir(&self.path).map_err(|cause| self.trouble("cannot be read", &cause))?;
        if entries.next().is_some() {
            let advice = "there are files in it, but no FORMAT: name an empty folder, or restore FORMAT from a backup";
            return Err(self.trouble("is no data folder", &advice));
        }
        let written = fs::write(format, format!("{FORMAT}\n")).and_then(|()| fs::File::open(format)?.sync_all());
        let written = written.and_then(|()| fs::File::open(&self.path)?.sync_all());
        written.map_err(|cause| self.trouble("cannot be written", &cause))
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
    fn what_cannot_be_used_is_told_in_one_line_and_left_alone() {
        let cases = [("2\n", "another release"), ("", "damaged"), ("one", "damaged")];
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
