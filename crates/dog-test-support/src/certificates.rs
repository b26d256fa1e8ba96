//! A certificate authority, and certificates from it: [`Authority`].

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// A certificate authority, and a folder with its files.
#[derive(Debug)]
pub struct Authority {
    folder: tempfile::TempDir,
    root: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes an authority with a name and a key of its own.
    ///
    /// # Panics
    /// If there is no room for its files.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut wanted = CertificateParams::new(Vec::new()).expect("names");
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate for one that is signed by itself if its issuer has its name.
        wanted.distinguished_name.push(DnType::CommonName, "an authority for tests");
        let key = KeyPair::generate().expect("a key");
        let root = folder.path().join("root.pem");
        fs::write(&root, wanted.self_signed(&key).expect("a certificate").pem()).expect("a file");
        Self { folder, root, issuer: Issuer::new(wanted, key) }
    }

    /// Returns the file with the certificate of the authority, in PEM.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of the files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a certificate for `name` and its key. Returns the two files, in PEM.
    ///
    /// # Panics
    /// If there is no room for the files.
    pub fn vouches_for(&self, name: &str) -> [PathBuf; 2] {
        let (certificate, key) = self.certificate(name, false);
        let file = |what: &str, text: String| {
            let path = self.folder.path().join(format!("{name}-{what}.pem"));
            fs::write(&path, text).expect("a file");
            path
        };
        [file("certificate", certificate), file("key", key)]
    }

    /// Returns a certificate for `name` and its key, in PEM. It may have `expired` in 2001.
    ///
    /// # Panics
    /// Never.
    pub fn certificate(&self, name: &str, expired: bool) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut wanted = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        wanted.distinguished_name.push(DnType::CommonName, name);
        if expired {
            (wanted.not_before, wanted.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        }
        let certificate = wanted.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// Puts a new file in the place of an old one, as tools that renew certificates do.
///
/// # Panics
/// If there is no room for it.
pub fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("a file");
    fs::rename(&new, path).expect("a file");
}
