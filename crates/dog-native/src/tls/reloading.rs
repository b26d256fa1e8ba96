//! What TLS uses now, and how it is loaded again: [`Reloading`].

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pem::{FileStamp, PemFile};
use crate::error::Error;

/// Files, and the settings of TLS that are made of them.
pub(crate) trait Source: Debug + Send + Sync {
    /// What a new connection needs.
    type Settings: Clone + Debug + Send;
    /// What the log calls the certificates.
    const NAME: &'static str;

    fn files(&self) -> Vec<&PemFile>;

    /// Reads and checks the files.
    fn load(&self) -> Result<Loaded<Self::Settings>, Error>;
}

/// What was made of the files.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<Settings> {
    pub(super) settings: Settings,
    /// When the certificate expires, in seconds since 1970.
    pub(super) expires: Option<u64>,
}

/// The settings of TLS that were loaded last. A connection uses those that were there when it began.
#[derive(Debug)]
pub(crate) struct Reloading<S: Source> {
    source: S,
    /// What the files were when they were last read, whether they could be used or not. Locked while they are read, which may
    /// take long.
    stamps: Mutex<Option<Stamps>>,
    /// Never locked for long, because every new connection needs it.
    current: Mutex<Option<Loaded<S::Settings>>>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

/// Tells versions of all files apart.
pub(super) type Stamps = Vec<Option<FileStamp>>;

/// What is counted for TLS in the whole process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TlsFigures {
    pub(crate) reloads: u64,
    pub(crate) failed_reloads: u64,
    /// When the certificate expires, in seconds since 1970.
    pub(crate) expires: Option<u64>,
}

impl<S: Source> Reloading<S> {
    /// Nothing is read before [`load`](Self::load).
    pub(super) fn from_source(source: S) -> Self {
        Self {
            source,
            stamps: Mutex::default(),
            current: Mutex::new(None),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
        }
    }

    /// Reads the files. If they cannot be used, what was loaded before is kept.
    pub(crate) fn load(&self) -> Result<(), Error> {
        let mut stamps = lock(&self.stamps);
        // Before the files are read, so that a later change is noticed.
        *stamps = Some(self.stamps());
        *lock(&self.current) = Some(self.source.load()?);
        Ok(())
    }

    /// Reads the files again. Counts and logs the result.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let loaded = self.load();
        match &loaded {
            Ok(()) => {
                self.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!("{} were loaded again", S::NAME);
            }
            Err(error) => {
                self.failed_reloads.fetch_add(1, Ordering::Relaxed);
                tracing::error!("{}: the new ones cannot be used, the old ones are kept: {error}", S::NAME);
            }
        }
        loaded
    }

    /// Returns what the files are now, if that differs from when they were last read.
    pub(super) fn changed(&self) -> Option<Stamps> {
        let stamps = self.stamps();
        (lock(&self.stamps).as_ref() != Some(&stamps)).then_some(stamps)
    }

    fn stamps(&self) -> Stamps {
        self.source.files().into_iter().map(PemFile::stamp).collect()
    }

    /// Returns the settings for a new connection. `None` before the first [`load`](Self::load).
    pub(super) fn settings(&self) -> Option<S::Settings> {
        lock(&self.current).as_ref().map(|loaded| loaded.settings.clone())
    }

    #[cfg(test)]
    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// Sets the settings, whatever the files contain.
    #[cfg(test)]
    pub(super) fn set(&self, settings: S::Settings) {
        *lock(&self.current) = Some(Loaded { settings, expires: None });
    }

    pub(crate) fn figures(&self) -> TlsFigures {
        TlsFigures {
            reloads: self.reloads.load(Ordering::Relaxed),
            failed_reloads: self.failed_reloads.load(Ordering::Relaxed),
            expires: lock(&self.current).as_ref().and_then(|loaded| loaded.expires),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
