//! [`Settings`]: the settings of a cluster.

use std::path::PathBuf;
use std::time::Duration;

use crate::address::Login;

/// The values that [`Nats`](crate::Nats) has collected.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The addresses of NATS as text. It may contain a password.
    pub(crate) url: String,
    pub(crate) login: Login,
    /// A PEM file.
    pub(crate) root_certificates: Option<PathBuf>,
    /// The certificate of this node and its key, as PEM files.
    pub(crate) client_certificate: Option<[PathBuf; 2]>,
    pub(crate) tls: bool,
    pub(crate) prefix: String,
    pub(crate) replicas: Option<usize>,
    pub(crate) patience: Duration,
    /// The time of this node's lease.
    pub(crate) lease: Duration,
}

impl Settings {
    /// Returns the default settings.
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            login: Login::default(),
            root_certificates: None,
            client_certificate: None,
            tls: false,
            prefix: "dog".into(),
            replicas: None,
            patience: Duration::from_secs(60),
            lease: Duration::from_secs(15),
        }
    }
}
