//! One file of certificates or of a key: [`PemFile`].

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;

/// The most bytes of a file that are read. A chain of certificates has a few thousand.
const MOST: u64 = 1024 * 1024;

/// The path of a file in the format PEM, and the setting that names it.
#[derive(Debug)]
pub(crate) struct PemFile {
    setting: &'static str,
    path: PathBuf,
}

/// Tells versions of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    /// When it was last written, in seconds and nanoseconds.
    modified: (i64, i64),
    length: u64,
}

impl PemFile {
    pub(super) fn new(setting: &'static str, path: PathBuf) -> Self {
        Self { setting, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the file is now. It differs if the file is replaced, whether it has the same path, or a symbolic link on
    /// the way leads elsewhere. `None` if there is no file.
    pub(super) fn stamp(&self) -> Option<FileStamp> {
        let file = fs::metadata(&self.path).ok()?;
        let modified = (file.mtime(), file.mtime_nsec());
        Some(FileStamp { device: file.dev(), inode: file.ino(), modified, length: file.len() })
    }

    /// Returns all certificates of the file, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let bytes = self.read()?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(self.no_certificate()),
            Err(error) => Err(self.damaged(&error)),
        }
    }

    /// Returns the first private key of the file.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        let bytes = self.read()?;
        let (needle, path) = (b"ENCRYPTED", self.path.display());
        match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) if bytes.windows(needle.len()).any(|window| window == needle) => {
                Err(self.error(format_args!("the key in {path} has a password: give one without")))
            }
            Err(pem::Error::NoItemsFound) => Err(self.error(format_args!(
                "{path} contains no private key: give a PEM file with -----BEGIN PRIVATE KEY-----"
            ))),
            Err(error) => Err(self.damaged(&error)),
        }
    }

    /// Returns an error about the setting that names this file.
    pub(super) fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::tls(format!("{}: {what}", self.setting))
    }

    pub(super) fn no_certificate(&self) -> Error {
        let path = self.path.display();
        self.error(format_args!(
            "{path} contains no certificate: give a PEM file with -----BEGIN CERTIFICATE-----, the server's own first and \
             then those of the authorities between"
        ))
    }

    fn read(&self) -> Result<Vec<u8>, Error> {
        let (mut bytes, path) = (Vec::new(), self.path.display());
        let read = File::open(&self.path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
        match read {
            Err(cause) => Err(self.error(format_args!("{path} cannot be read: {cause}"))),
            Ok(read) if read as u64 > MOST => {
                Err(self.error(format_args!("{path} has more than 1 MiB: give a file in the format PEM")))
            }
            Ok(_) => Ok(bytes),
        }
    }

    fn damaged(&self, error: &pem::Error) -> Error {
        self.error(format_args!("{} is no valid PEM file: {error}", self.path.display()))
    }
}
