//! How a server is set up and started: [`Server`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dog::{App, Env};

use crate::backend::Backend;
use crate::cluster::ports::{Cluster, Versions};
use crate::config::{Compression, Config, SlowConsumer};
use crate::error::Error;
use crate::listening::{Listening, listen_all};
use crate::running::Running;
use crate::service::Service;
use crate::workers::Workers;

/// A server that is being set up: an App, and how it is to run. Nothing happens before [`start`](Self::start),
/// [`run`](Self::run) or [`service`](Self::service); they check every setting first.
///
/// ```no_run
/// # struct Chat;
/// # impl dog::App for Chat {
/// #     type Groups = ();
/// #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> { Ok(dog::text_response(dog::http::StatusCode::OK, "")) }
/// # }
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), dog_native::Error> {
///     dog_native::Server::new(Chat).bind("127.0.0.1:8787").run().await
/// }
/// ```
#[must_use = "a server does nothing until it is started"]
pub struct Server<A> {
    app: A,
    config: Config,
}

impl<A: App + Send + Sync> Server<A> {
    /// A server for `app` with the defaults.
    pub fn new(app: A) -> Self {
        Self { app, config: Config::default() }
    }

    fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The address to listen on, `host:port`; port 0 takes a free one, which [`Running::local_addr`] tells. A name is
    /// listened on at all addresses that it has on this machine, `localhost` at `127.0.0.1` and `::1`, with one port:
    /// [`Running::local_addrs`]. Default `127.0.0.1:8787`.
    pub fn bind(self, address: impl Into<String>) -> Self {
        self.set(|config| config.bind = address.into())
    }

    /// The folder that holds what objects keep: one server at a time uses it. Made if it is not there. Default: a
    /// temporary one, gone when the server ends, or when another one starts with a temporary folder after it was killed.
    pub fn data(self, folder: impl Into<PathBuf>) -> Self {
        self.set(|config| config.data = Some(folder.into()))
    }

    /// How long an object may be idle before it leaves memory: its sockets stay open, their attachments and its storage
    /// stay, its fields are gone, and the next event wakes it. Zero lets it rest after every event, which finds out what
    /// an App keeps in the wrong place; `None` keeps objects in memory for good. Default 60 s.
    pub fn hibernate_after(self, idle: impl Into<Option<Duration>>) -> Self {
        let idle = idle.into();
        self.set(|config| config.hibernate_after = idle)
    }

    /// Makes this server a node of a cluster: objects live on one of its nodes each, and what they keep lives in the
    /// cluster; no [`data`](Self::data) folder is used. Default: none, all objects live here.
    ///
    /// The cluster comes from a crate of its own: `durable-object-groups-nats` makes one over NATS.
    pub fn cluster(self, cluster: impl Cluster + 'static) -> Self {
        self.set(|config| config.cluster = Some(Arc::new(cluster)))
    }

    /// The address, `host:port`, at which other nodes of the cluster reach this one, and that it listens on for them;
    /// port 0 takes a free one. Keep it from everyone else: nodes know each other by a secret of the cluster, but what
    /// goes between them is not encrypted. Default `127.0.0.1:0`, for nodes on one machine.
    pub fn advertise(self, address: impl Into<String>) -> Self {
        self.set(|config| config.advertise = address.into())
    }

    /// Speaks these letters to other nodes, as another release does: for tests of an upgrade.
    #[doc(hidden)]
    pub fn letters(self, versions: Versions) -> Self {
        self.set(|config| config.node_versions = versions)
    }

    /// How many threads run objects and connections. Default: one a core.
    pub fn workers(self, workers: usize) -> Self {
        self.set(|config| config.workers = workers)
    }

    /// What the App's objects find in their `env()`. Default: nothing.
    pub fn env(self, env: Env) -> Self {
        self.set(|config| config.env = env)
    }

    /// The largest message taken from a client, in bytes of payload, all fragments together; a larger one closes its
    /// socket with 1009. Default 1 MiB.
    pub fn max_message(self, bytes: usize) -> Self {
        self.set(|config| config.max_message = bytes)
    }

    /// How many bytes may wait for a socket that does not take them, each message counting for 64 besides its frame. A
    /// single message may be larger. Default 1 MiB.
    ///
    /// Only what the kernel has refused to take counts. While a client takes some of it, those who send to it are not read:
    /// for a second if it takes nothing, for ten at most. During that time twice as much may wait.
    pub fn max_outbox(self, bytes: usize) -> Self {
        self.set(|config| config.max_outbox = bytes)
    }

    /// What happens to a socket for which more would wait than that. Default: closed with 1013.
    pub fn slow_consumer(self, policy: SlowConsumer) -> Self {
        self.set(|config| config.slow_consumer = policy)
    }

    /// Offers compression (permessage-deflate, RFC 7692) to clients that ask for it, as browsers do; `None` offers it to
    /// nobody. Default: `None`.
    ///
    /// A message is compressed once a worker thread, when the first socket there that takes it compressed is met, and all
    /// that do are sent the same bytes; it goes plain if it is shorter than [`Compression::at_least`], or would not get
    /// smaller. So it costs a thread a few microseconds a message whatever the number of receivers, some 420 KiB of
    /// memory, and a socket nothing. Each message is compressed by itself (no context takeover), in either direction.
    ///
    /// What clients send compressed is inflated up to [`max_message`](Self::max_message) and no further. But a kilobyte
    /// can say a megabyte: a client makes a server work more than it could without.
    ///
    /// **When not to.** Where traffic is cheap and processors are not; where messages are mostly short, or compressed
    /// already. And where one message holds a secret beside what somebody else can choose: the length of what goes over
    /// the wire, which encryption does not hide, then tells whether the two are alike (CRIME, BREACH). Tokens and the like
    /// go into messages of their own, shorter than the least that is compressed, or the service goes without compression.
    ///
    /// ```
    /// # struct Chat;
    /// # impl dog::App for Chat {
    /// #     type Groups = ();
    /// #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> { Ok(dog::text_response(dog::http::StatusCode::OK, "")) }
    /// # }
    /// use dog_native::{Compression, Server};
    ///
    /// let server = Server::new(Chat).compress(Compression::new().at_least(512));
    /// # let _ = server;
    /// ```
    pub fn compress(self, compression: impl Into<Option<Compression>>) -> Self {
        let compression = compression.into();
        self.set(|config| config.compression = compression)
    }

    /// How many bytes of a request's line and headers are read, 8192 at least. Default 16 KiB.
    pub fn max_header(self, bytes: usize) -> Self {
        self.set(|config| config.max_header = bytes)
    }

    /// How long a client may take to send a request's line and headers: from its first byte, and for the first request of
    /// a connection from the beginning. Then the connection ends. Default 10 s.
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.handshake_timeout = timeout)
    }

    /// How long a connection that has had an answer is kept for the next request. Longer than a balancer in front keeps
    /// it: else that sends a request at the moment when this ends it, and answers 502. Default 75 s.
    pub fn keep_alive_timeout(self, silence: Duration) -> Self {
        self.set(|config| config.keep_alive_timeout = silence)
    }

    /// How long a client may stop: take no byte of an answer that waits to go out, or send no byte of a request's body
    /// that is waited for. Then the connection ends, and gives its seat back; the body fails for whoever reads it. It is
    /// also how long a client that has shut down its side, and may be gone, is kept without a byte for it. Each byte that
    /// moves begins the time again; an answer that has nothing to send, such as a stream of events, waits for as long as
    /// it likes. WebSockets have [`max_outbox`](Self::max_outbox) and [`idle_timeout`](Self::idle_timeout). Default 30 s.
    pub fn stall_timeout(self, time: Duration) -> Self {
        self.set(|config| config.stall_timeout = time)
    }

    /// After how much silence a client is pinged. Default 30 s.
    pub fn ping_after(self, silence: Duration) -> Self {
        self.set(|config| config.ping_after = silence)
    }

    /// After how much silence, pings unanswered, a socket is ended. Default 60 s.
    pub fn idle_timeout(self, silence: Duration) -> Self {
        self.set(|config| config.idle_timeout = silence)
    }

    /// How long a client may take to answer a close before it is cut off, from when it took the last of what waited for
    /// it. Default 5 s.
    pub fn close_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.close_timeout = timeout)
    }

    /// Over how long the sockets of a server that ends are closed, in small batches at random, so that their clients do
    /// not all come back in the same moment. A worker with 100 sockets or fewer closes them at once; zero closes all at
    /// once. Default 10 s. See [`Running::shutdown`].
    pub fn drain_within(self, time: Duration) -> Self {
        self.set(|config| config.drain_within = time)
    }

    /// An address, `host:port`, for whoever operates the server, and for nobody outside: `GET /metrics` in Prometheus'
    /// text format, `/healthz` (the process lives) and `/readyz` (new clients are welcome), 200 or 503 with the reason.
    /// Port 0 takes a free one, which [`Running::admin_addr`] tells. A name is listened on as in [`bind`](Self::bind).
    /// Default: none.
    pub fn admin(self, address: impl Into<String>) -> Self {
        self.set(|config| config.admin = Some(address.into()))
    }

    /// After how long a worker thread that does not come round, because a handler keeps it, is logged and turns
    /// `/healthz` to 503; both name the object. 2 s at least. Default 10 s.
    pub fn stuck_after(self, time: Duration) -> Self {
        self.set(|config| config.stuck_after = time)
    }

    /// How many connections one remote address may have; more are answered with 503. A network of IPv6 (a /64) counts as
    /// one address. Default 4096.
    pub fn max_sockets_per_address(self, sockets: usize) -> Self {
        self.set(|config| config.max_sockets_per_address = sockets)
    }

    /// How many objects, Groups and Replicas together, may be in memory; each worker thread has an equal share of them. A
    /// new room and a new Replica beyond it are refused with 503 and `Retry-After`, and nothing else is: who has a Replica
    /// keeps it, and alarms ring. A room that is in memory costs some 10 KB, which are two objects, and leaves it a few
    /// minutes after everybody has left. Default 250,000: some 1.3 GB of rooms.
    pub fn max_objects(self, objects: usize) -> Self {
        self.set(|config| config.max_objects = objects)
    }

    /// Starts the server and returns once it listens.
    ///
    /// # Errors
    /// When a setting cannot be right ([`Error::is_configuration`]), the address cannot be listened on
    /// ([`Error::is_bind`]), the data folder cannot be used ([`Error::is_data`]), the cluster cannot be joined
    /// ([`Error::is_cluster`]), or the system gives no thread or descriptor ([`Error::is_system`]).
    pub async fn start(self) -> Result<Running, Error> {
        self.config.validate()?;
        let Listening { addresses, listeners } = listen_all("bind", &self.config.addresses()?, self.config.workers)?;
        let backend = Backend::open::<A>(&self.config).await?;
        let workers = Workers::start(self.app, self.config, listeners, backend)?;
        for address in &addresses {
            tracing::info!(%address, "listening");
        }
        Ok(Running::new(addresses, workers))
    }

    /// Starts the server, and ends it in good order at SIGINT or SIGTERM.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn run(self) -> Result<(), Error> {
        self.start().await?.until_signal().await;
        Ok(())
    }

    /// Starts the App's objects without an address of their own: the service answers requests, WebSockets included,
    /// that come in through somebody else's server, such as axum's. They end when the last clone of it is dropped.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn service(self) -> Result<Service, Error> {
        self.config.validate()?;
        if self.config.cluster.is_some() {
            return Err(Error::configuration("cluster: a service cannot be a node: use Server::start"));
        }
        let listeners = (0..self.config.workers).map(|_| Vec::new()).collect();
        let backend = Backend::local(&self.config)?;
        Ok(Service::new(Workers::start(self.app, self.config, listeners, backend)?))
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("config", &self.config).finish_non_exhaustive()
    }
}
