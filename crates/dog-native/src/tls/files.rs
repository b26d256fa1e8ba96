//! A certificate and its key: [`Files`].

use std::path::PathBuf;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

use super::pem::PemFile;
use crate::error::Error;

/// A year that no certificate outlives, in seconds since 1970: 10000.
const FAR: Duration = Duration::from_secs(253_402_300_800);

/// The files of the certificates and of their key.
#[derive(Debug)]
pub(super) struct Files {
    certificates: PemFile,
    key: PemFile,
}

/// What the files contain.
pub(super) struct Pair {
    pub(super) certified: CertifiedKey,
    /// When the first certificate expires, in seconds since 1970. `None` if that is too far away to be known.
    pub(super) expires: Option<u64>,
}

impl Pair {
    pub(super) fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= UnixTime::now().as_secs())
    }
}

impl Files {
    /// Takes the paths that `setting` gives.
    pub(super) fn new(setting: &'static str, certificates: PathBuf, key: PathBuf) -> Self {
        Self { certificates: PemFile::new(setting, certificates), key: PemFile::new(setting, key) }
    }

    pub(super) fn all(&self) -> [&PemFile; 2] {
        [&self.certificates, &self.key]
    }

    pub(super) fn certificates(&self) -> &PemFile {
        &self.certificates
    }

    /// Reads both files, and checks that they belong together.
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<Pair, Error> {
        let certificates = self.certificates.certificates()?;
        let key = self.key.key()?;
        let [certificate, above @ ..] = &certificates[..] else { return Err(self.certificates.no_certificate()) };
        let expires = expiry(certificate, above, provider);
        let certified = CertifiedKey::from_der(certificates, key, provider).map_err(|error| self.unusable(&error))?;
        Ok(Pair { certified, expires })
    }

    fn unusable(&self, error: &rustls::Error) -> Error {
        let [certificates, key] = self.all().map(|file| file.path().display());
        self.key.error(match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "the key in {key} does not belong to the first certificate in {certificates}: give the key that it was \
                 made with, and put the server's own certificate first"
            ),
            rustls::Error::InvalidCertificate(_) => {
                format!("the first certificate in {certificates} cannot be used: {error}")
            }
            _ => format!("the key in {key} cannot be used: {error}: give an RSA, ECDSA or Ed25519 key"),
        })
    }
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
