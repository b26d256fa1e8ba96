//! The certificate of servers with TLS, and clients that trust it: [`Encryption`].

use std::sync::Arc;

use dog_test_support::certificates::Authority;
use dog_test_support::tls::{NAME, forgetful, trusting};
use rustls::ClientConfig;
use rustls::version::TLS13;

/// A certificate and its key (ECDSA P-256), in files that are deleted when this is dropped.
#[derive(Debug)]
pub struct Encryption {
    authority: Authority,
    /// The paths of the certificate and of its key.
    files: [String; 2],
}

impl Default for Encryption {
    fn default() -> Self {
        Self::new()
    }
}

impl Encryption {
    /// Makes an authority, and a certificate from it.
    ///
    /// # Panics
    /// If there is no room for the files.
    pub fn new() -> Self {
        let authority = Authority::new();
        let files = authority.vouches_for(NAME).map(|file| file.display().to_string());
        Self { authority, files }
    }

    /// Returns the words that make our servers speak TLS.
    pub fn flags(&self) -> [&str; 4] {
        let [certificate, key] = &self.files;
        ["--tls-cert", certificate, "--tls-key", key]
    }

    /// Returns the settings of clients. They speak TLS 1.3. They resume sessions, or do each handshake in full.
    ///
    /// # Panics
    /// If the files are gone.
    pub fn clients(&self, resume: bool) -> Arc<ClientConfig> {
        let trusting = trusting(self.authority.root(), &[&TLS13]);
        if resume { trusting } else { forgetful(trusting) }
    }
}
