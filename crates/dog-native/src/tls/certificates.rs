//! What TLS uses now: [`Certificates`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ProducesTickets;
use rustls::sign::SingleCertAndKey;

use super::files::{Files, Stamp};
use crate::error::Error;

/// The certificates of a server and their key. A connection uses those that were loaded last when it began.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Files,
    provider: Arc<CryptoProvider>,
    /// Locked while the files are read, which may take long.
    loading: Mutex<Loading>,
    /// Never locked for long, because every new connection needs it.
    current: Mutex<Current>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

#[derive(Debug, Default)]
struct Loading {
    /// What the tickets of clients that come back are encrypted with. It outlives the certificates.
    ticketer: Option<Arc<dyn ProducesTickets>>,
    /// What the files were when they were last read, whether they could be used or not.
    stamp: Option<Stamp>,
}

#[derive(Debug, Default)]
struct Current {
    config: Option<Arc<ServerConfig>>,
    expires: Option<u64>,
}

/// What is counted for TLS in the whole process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TlsFigures {
    pub(crate) reloads: u64,
    pub(crate) failed_reloads: u64,
    /// When the certificate expires, in seconds since 1970.
    pub(crate) expires: Option<u64>,
}

impl Certificates {
    /// Takes the paths. Nothing is read before [`load`](Self::load).
    pub(crate) fn new(certificates: PathBuf, key: PathBuf) -> Self {
        Self {
            files: Files::new(certificates, key),
            provider: Arc::new(ring::default_provider()),
            loading: Mutex::default(),
            current: Mutex::default(),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
        }
    }

    /// Reads the files. If they cannot be used, what was loaded before is kept.
    pub(crate) fn load(&self) -> Result<(), Error> {
        let mut loading = lock(&self.loading);
        // Before the files are read, so that a later change is noticed.
        loading.stamp = Some(self.files.stamp());
        let loaded = self.files.load(&self.provider)?;
        let ticketer = match &loading.ticketer {
            Some(ticketer) => Arc::clone(ticketer),
            None => ring::Ticketer::new().map_err(|error| unusable(&error))?,
        };
        loading.ticketer = Some(Arc::clone(&ticketer));
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let config = config.with_safe_default_protocol_versions().map_err(|error| unusable(&error))?;
        let certified = SingleCertAndKey::from(loaded.certified);
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(certified));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = ticketer;
        *lock(&self.current) = Current { config: Some(Arc::new(config)), expires: loaded.expires };
        Ok(())
    }

    /// Reads the files again. Counts and logs the result.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let loaded = self.load();
        match &loaded {
            Ok(()) => {
                self.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!("the certificates were loaded again");
            }
            Err(error) => {
                self.failed_reloads.fetch_add(1, Ordering::Relaxed);
                tracing::error!("the new certificates cannot be used, the old ones are kept: {error}");
            }
        }
        loaded
    }

    /// Returns what the files are now, if that differs from when they were last read.
    pub(super) fn changed(&self) -> Option<Stamp> {
        let stamp = self.files.stamp();
        (lock(&self.loading).stamp != Some(stamp)).then_some(stamp)
    }

    /// Returns the settings for a new connection. `None` before the first [`load`](Self::load).
    pub(super) fn config(&self) -> Option<Arc<ServerConfig>> {
        lock(&self.current).config.clone()
    }

    pub(crate) fn figures(&self) -> TlsFigures {
        TlsFigures {
            reloads: self.reloads.load(Ordering::Relaxed),
            failed_reloads: self.failed_reloads.load(Ordering::Relaxed),
            expires: lock(&self.current).expires,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unusable(error: &rustls::Error) -> Error {
    Error::tls(format!("tls: {error}"))
}
