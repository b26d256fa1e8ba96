//! The TLS that clients speak: [`Certificates`].

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ProducesTickets;
use rustls::sign::SingleCertAndKey;

use super::files::Files;
use super::pem::PemFile;
use super::reloading::{Loaded, Reloading, Source};
use crate::error::Error;

/// The certificates of a server and their key, as its clients see them.
pub(crate) type Certificates = Reloading<ForClients>;

/// The setting that gives the files.
const SETTING: &str = "tls";

#[derive(Debug)]
pub(crate) struct ForClients {
    files: Files,
    provider: Arc<CryptoProvider>,
    /// What the tickets of clients that come back are encrypted with. It outlives the certificates.
    ticketer: OnceLock<Arc<dyn ProducesTickets>>,
}

impl Certificates {
    /// Takes the paths.
    pub(crate) fn new(certificates: PathBuf, key: PathBuf) -> Self {
        Self::from_source(ForClients {
            files: Files::new(SETTING, certificates, key),
            provider: Arc::new(ring::default_provider()),
            ticketer: OnceLock::new(),
        })
    }
}

impl Source for ForClients {
    type Settings = Arc<ServerConfig>;
    const NAME: &'static str = "the certificates for clients";

    fn files(&self) -> Vec<&PemFile> {
        self.files.all().to_vec()
    }

    /// A certificate that has expired is logged.
    fn load(&self) -> Result<Loaded<Arc<ServerConfig>>, Error> {
        let pair = self.files.load(&self.provider)?;
        if pair.has_expired() {
            let file = self.files.certificates().path().display();
            tracing::warn!("tls: the certificate in {file} has expired: clients will refuse it: renew it");
        }
        let unusable = |error: rustls::Error| self.files.certificates().error(error);
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let config = config.with_safe_default_protocol_versions().map_err(unusable)?;
        let certified = SingleCertAndKey::from(pair.certified);
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(certified));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = self.ticketer().map_err(unusable)?;
        Ok(Loaded { settings: Arc::new(config), expires: pair.expires })
    }
}

impl ForClients {
    fn ticketer(&self) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        if let Some(ticketer) = self.ticketer.get() {
            return Ok(Arc::clone(ticketer));
        }
        let new = ring::Ticketer::new()?;
        Ok(Arc::clone(self.ticketer.get_or_init(|| new)))
    }
}
