//! The files of the certificates and of their key: [`Files`].

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

use crate::error::Error;

/// The most bytes of a file that are read. A chain of certificates has a few thousand.
const MOST: u64 = 1024 * 1024;

/// A year that no certificate outlives, in seconds since 1970: 10000.
const FAR: Duration = Duration::from_secs(253_402_300_800);

/// The paths of the two files.
#[derive(Debug)]
pub(super) struct Files {
    certificates: PathBuf,
    key: PathBuf,
}

/// Tells versions of the two files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<FileStamp>; 2]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    /// When it was last written, in seconds and nanoseconds.
    modified: (i64, i64),
    length: u64,
}

/// What the files contain.
pub(super) struct Loaded {
    pub(super) certified: CertifiedKey,
    /// When the first certificate expires, in seconds since 1970. `None` if that is too far away to be known.
    pub(super) expires: Option<u64>,
}

impl Files {
    pub(super) fn new(certificates: PathBuf, key: PathBuf) -> Self {
        Self { certificates, key }
    }

    /// Returns what the files are now. It differs if one of them is replaced, whether it has the same path, or a symbolic link
    /// on the way leads elsewhere.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp([&self.certificates, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            let modified = (file.mtime(), file.mtime_nsec());
            Some(FileStamp { device: file.dev(), inode: file.ino(), modified, length: file.len() })
        }))
    }

    /// Reads and checks both files. A certificate that has expired is logged.
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<Loaded, Error> {
        let certificates = read_certificates(&self.certificates)?;
        let key = read_key(&self.key)?;
        let [certificate, above @ ..] = &certificates[..] else { return Err(no_certificate(&self.certificates)) };
        let expires = expiry(certificate, above, provider);
        if expires.is_some_and(|expires| expires <= UnixTime::now().as_secs()) {
            let file = self.certificates.display();
            tracing::warn!("tls: the certificate in {file} has expired: clients will refuse it: renew it");
        }
        let certified = CertifiedKey::from_der(certificates, key, provider).map_err(|error| self.unusable(&error))?;
        Ok(Loaded { certified, expires })
    }

    fn unusable(&self, error: &rustls::Error) -> Error {
        let (certificates, key) = (self.certificates.display(), self.key.display());
        Error::tls(match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "tls: the key in {key} does not belong to the first certificate in {certificates}: give the key that it was \
                 made with, and put the server's own certificate first"
            ),
            rustls::Error::InvalidCertificate(_) => {
                format!("tls: the first certificate in {certificates} cannot be used: {error}")
            }
            _ => format!("tls: the key in {key} cannot be used: {error}: give an RSA, ECDSA or Ed25519 key"),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    match read {
        Err(cause) => Err(Error::tls(format!("tls: {} cannot be read: {cause}", path.display()))),
        Ok(read) if read as u64 > MOST => {
            Err(Error::tls(format!("tls: {} has more than 1 MiB: give a file in the format PEM", path.display())))
        }
        Ok(_) => Ok(bytes),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(no_certificate(path)),
        Err(error) => Err(damaged(path, &error)),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = read(path)?;
    let needle = b"ENCRYPTED";
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if bytes.windows(needle.len()).any(|window| window == needle) => {
            Err(Error::tls(format!("tls: the key in {} has a password: give one without", path.display())))
        }
        Err(pem::Error::NoItemsFound) => Err(Error::tls(format!(
            "tls: {} contains no private key: give a PEM file with -----BEGIN PRIVATE KEY-----",
            path.display()
        ))),
        Err(error) => Err(damaged(path, &error)),
    }
}

fn no_certificate(path: &Path) -> Error {
    let path = path.display();
    Error::tls(format!(
        "tls: {path} contains no certificate: give a PEM file with -----BEGIN CERTIFICATE-----, the server's own first and \
         then those of the authorities between"
    ))
}

fn damaged(path: &Path, error: &pem::Error) -> Error {
    Error::tls(format!("tls: {} is no valid PEM file: {error}", path.display()))
}

/// Returns when a certificate expires, in seconds since 1970.
fn expiry(certificate: &CertificateDer<'_>, above: &[CertificateDer<'_>], provider: &CryptoProvider) -> Option<u64> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    // The time is checked first. Far in the future every certificate has expired, and the error says since when.
    let verified = verify_server_cert_signed_by_trust_anchor(
        &certificate,
        &RootCertStore::empty(),
        above,
        UnixTime::since_unix_epoch(FAR),
        provider.signature_verification_algorithms.all,
    );
    match verified {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(not_after.as_secs())
        }
        _ => None,
    }
}
