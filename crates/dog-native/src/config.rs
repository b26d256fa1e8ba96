//! The settings of a server, their defaults, and their validation.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dog::Env;

use crate::cluster::message::VERSIONS;
use crate::cluster::ports::{Cluster, Versions};
use crate::error::Error;
use crate::proxies::TrustedProxies;
use crate::rates::Rate;
use crate::tls::{Certificates, NodeCertificates};

/// What happens to a socket when too much is queued for it. See [`Server::max_outbox`](crate::Server::max_outbox).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowConsumer {
    /// The socket is closed with 1013. The client may connect again.
    #[default]
    Close,
    /// Messages that do not fit are dropped. Publications are not: the socket gets them from the log when its client has read what
    /// waits for it.
    DropNewest,
}

/// How messages are compressed. See [`Server::compress`](crate::Server::compress).
///
/// ```
/// use dog_native::Compression;
///
/// // Every message of 1 KiB and more, as small as possible.
/// let compression = Compression::new().at_least(1024).level(9);
/// # let _ = compression;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    pub(crate) least: usize,
    pub(crate) level: u32,
}

impl Compression {
    /// Compresses messages of 256 bytes and more, at level 3.
    pub fn new() -> Self {
        Self { least: 256, level: 3 }
    }

    /// Sets the length, in bytes, of the shortest message that is compressed. Compressing a message of a hundred bytes
    /// takes almost as much time as one of a thousand, and saves little.
    #[must_use]
    pub fn at_least(self, bytes: usize) -> Self {
        Self { least: bytes, ..self }
    }

    /// Sets the level: 1 (fastest) to 9 (smallest). Levels above 6 gain little for much work.
    #[must_use]
    pub fn level(self, level: u32) -> Self {
        Self { level, ..self }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::new()
    }
}

/// All settings of a server.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) bind: String,
    /// Without it, clients speak HTTP without TLS.
    pub(crate) tls: Option<Arc<Certificates>>,
    pub(crate) workers: usize,
    pub(crate) env: Env,
    pub(crate) max_message: usize,
    pub(crate) max_outbox: usize,
    pub(crate) slow_consumer: SlowConsumer,
    pub(crate) compression: Option<Compression>,
    pub(crate) max_header: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) ping_after: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) drain_within: Duration,
    pub(crate) admin: Option<String>,
    pub(crate) stuck_after: Duration,
    pub(crate) max_sockets_per_address: usize,
    /// Without a rate there is no limit. The same for the next two.
    pub(crate) connections_per_address: Option<Rate>,
    pub(crate) requests_per_address: Option<Rate>,
    pub(crate) groups_per_address: Option<Rate>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) max_objects: usize,
    pub(crate) data: Option<PathBuf>,
    pub(crate) hibernate_after: Option<Duration>,
    pub(crate) cluster: Option<Arc<dyn Cluster>>,
    pub(crate) advertise: String,
    /// Without it, nodes speak with each other without TLS.
    pub(crate) node_tls: Option<Arc<NodeCertificates>>,
    pub(crate) node_versions: Versions,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8787".into(),
            tls: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            env: Env::new(),
            max_message: 1024 * 1024,
            max_outbox: 1024 * 1024,
            slow_consumer: SlowConsumer::default(),
            compression: None,
            max_header: 16 * 1024,
            handshake_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(30),
            ping_after: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            drain_within: Duration::from_secs(10),
            admin: None,
            stuck_after: Duration::from_secs(10),
            max_sockets_per_address: 4096,
            connections_per_address: None,
            requests_per_address: None,
            groups_per_address: None,
            trusted_proxies: TrustedProxies::default(),
            max_objects: 250_000,
            data: None,
            hibernate_after: Some(Duration::from_secs(60)),
            cluster: None,
            advertise: "127.0.0.1:0".into(),
            node_tls: None,
            node_versions: VERSIONS,
        }
    }
}

impl Config {
    /// Checks each setting, and whether they fit together.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        self.validate_limits()?;
        self.validate_rates()?;
        self.validate_times()
    }

    fn validate_limits(&self) -> Result<(), Error> {
        let (workers, level) = (self.workers, self.compression.unwrap_or_default().level);
        check((1..=1024).contains(&workers), || format!("workers: {workers} is out of range: give 1 to 1024 threads"))?;
        check(self.max_message >= 1, || "max_message: 0 bytes would refuse every message: give at least 1".into())?;
        check(self.max_outbox >= 1, || "max_outbox: 0 bytes would close every socket: give at least 1".into())?;
        check((1..=9).contains(&level), || format!("compress: level {level} is out of range: give 1 to 9"))?;
        check(self.max_header >= 8192, || {
            format!("max_header: {} bytes is too little: give at least 8192", self.max_header)
        })?;
        check(self.max_sockets_per_address >= 1, || {
            "max_sockets_per_address: 0 would refuse everyone: give at least 1".into()
        })?;
        check(self.max_objects >= 2 * workers, || {
            format!("max_objects: {} leaves a thread without a room: give at least 2 per worker", self.max_objects)
        })
    }

    fn validate_rates(&self) -> Result<(), Error> {
        let rates = [
            ("connections_per_address", self.connections_per_address),
            ("requests_per_address", self.requests_per_address),
            ("groups_per_address", self.groups_per_address),
        ];
        rates.into_iter().try_for_each(|(name, rate)| {
            check(rate.is_none_or(Rate::is_valid), || {
                format!("{name}: a rate of zero would refuse everyone: give at least 1, and a burst of at least 1")
            })
        })
    }

    fn validate_times(&self) -> Result<(), Error> {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        check(!self.handshake_timeout.is_zero(), || {
            "handshake_timeout: zero would refuse every connection: give a time".into()
        })?;
        check(!self.keep_alive_timeout.is_zero(), || {
            "keep_alive_timeout: zero would end every connection with its first answer: give a time".into()
        })?;
        check(!self.stall_timeout.is_zero(), || {
            "stall_timeout: zero would cut every answer that waits: give a time".into()
        })?;
        check(!self.close_timeout.is_zero(), || "close_timeout: zero would cut every close: give a time".into())?;
        check(self.drain_within <= hour, || {
            format!("drain_within: {:?} is too long: give an hour at most", self.drain_within)
        })?;
        check(self.stuck_after >= 2 * second, || {
            format!("stuck_after: {:?} is too short: give at least 2 s", self.stuck_after)
        })?;
        check(self.ping_after >= second, || {
            format!("ping_after: {:?} is too short: give at least 1 s", self.ping_after)
        })?;
        check(self.idle_timeout >= self.ping_after + second, || {
            format!(
                "idle_timeout: {:?} leaves no time to answer a ping that is sent after {:?} of silence: give at least 1 s more",
                self.idle_timeout, self.ping_after
            )
        })
    }
}

fn check(is_right: bool, text: impl FnOnce() -> String) -> Result<(), Error> {
    if is_right { Ok(()) } else { Err(Error::configuration(text())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 19] = [
            ("workers", |config| config.workers = 0),
            ("max_message", |config| config.max_message = 0),
            ("max_outbox", |config| config.max_outbox = 0),
            ("compress", |config| config.compression = Some(Compression::new().level(0))),
            ("compress", |config| config.compression = Some(Compression::new().level(10))),
            ("max_header", |config| config.max_header = 100),
            ("handshake_timeout", |config| config.handshake_timeout = Duration::ZERO),
            ("keep_alive_timeout", |config| config.keep_alive_timeout = Duration::ZERO),
            ("stall_timeout", |config| config.stall_timeout = Duration::ZERO),
            ("close_timeout", |config| config.close_timeout = Duration::ZERO),
            ("drain_within", |config| config.drain_within = Duration::MAX),
            ("stuck_after", |config| config.stuck_after = Duration::from_secs(1)),
            ("ping_after", |config| config.ping_after = Duration::ZERO),
            ("idle_timeout", |config| config.idle_timeout = config.ping_after),
            ("max_sockets_per_address", |config| config.max_sockets_per_address = 0),
            ("connections_per_address", |config| config.connections_per_address = Some(Rate::per_second(0))),
            ("requests_per_address", |config| config.requests_per_address = Some(Rate::per_second(5).burst(0))),
            ("groups_per_address", |config| config.groups_per_address = Some(Rate::per_minute(0))),
            ("max_objects", |config| config.max_objects = 1),
        ];
        for (field, change) in cases {
            let mut config = Config::default();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert!(error.is_configuration());
            assert!(error.to_string().starts_with(&format!("{field}: ")), "{error}");
        }
    }
}
