//! [`Server`]: sets up and starts a server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dog::{App, Env};

use crate::backend::Backend;
use crate::cluster::ports::{Cluster, Versions};
use crate::config::{Compression, Config, SlowConsumer};
use crate::error::Error;
use crate::handle::{Handle, Remote};
use crate::listening::{Listening, listen_all};
use crate::proxies::{Network, TrustedProxies};
use crate::rates::Rate;
use crate::running::Running;
use crate::service::Service;
use crate::tls::{Certificates, NodeCertificates};
use crate::workers::Workers;

/// A builder for a server: an App and its settings. Nothing happens before [`start`](Self::start), [`run`](Self::run)
/// or [`service`](Self::service). These check all settings first.
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
    remote: Remote,
}

impl<A: App + Send + Sync> Server<A> {
    /// Creates a server for `app` with the default settings.
    pub fn new(app: A) -> Self {
        Self { app, config: Config::default(), remote: Remote::default() }
    }

    fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Sets the address to listen on, `host:port`. Port 0 means any free port: see [`Running::local_addr`]. If `host`
    /// is a name, the server listens on all addresses that the name has on this machine (`localhost`: `127.0.0.1` and
    /// `::1`), with the same port: see [`Running::local_addrs`]. Default: `127.0.0.1:8787`.
    pub fn bind(self, address: impl Into<String>) -> Self {
        self.set(|config| config.bind = address.into())
    }

    /// Makes clients speak TLS 1.2 or 1.3, so that they connect with `https://` and `wss://`. Gives the file of the
    /// certificates, the server's own first and then those of the authorities between, and the file of the private key (RSA,
    /// ECDSA or Ed25519, without a password). Both are in the format PEM, and may be the same file. Default: no TLS.
    ///
    /// The files are looked at every 2 s, and loaded again within 5 s after they have changed, or at once by
    /// [`Running::reload_tls`] and at SIGHUP (see [`Running::until_signal`]). New connections get the new certificate, and open
    /// ones stay open. If the new files cannot be used, that is logged and counted, and the old ones are kept.
    ///
    /// A client that comes back resumes its session, for 12 h or until the server ends. The handshake takes part of
    /// [`handshake_timeout`](Self::handshake_timeout). A client that does not speak TLS gets 400.
    ///
    /// ```no_run
    /// # struct Chat;
    /// # impl dog::App for Chat {
    /// #     type Groups = ();
    /// #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> { Ok(dog::text_response(dog::http::StatusCode::OK, "")) }
    /// # }
    /// let server = dog_native::Server::new(Chat).bind("0.0.0.0:443").tls("fullchain.pem", "privkey.pem");
    /// # let _ = server;
    /// ```
    pub fn tls(self, certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let certificates = Certificates::new(certificates.into(), key.into());
        self.set(|config| config.tls = Some(Arc::new(certificates)))
    }

    /// Sets the folder in which objects are stored. It is created if it does not exist. Only one server can use it at a
    /// time. Default: a temporary folder, which is deleted when the server ends. If the server is killed, the next
    /// server with a temporary folder deletes it.
    pub fn data(self, folder: impl Into<PathBuf>) -> Self {
        self.set(|config| config.data = Some(folder.into()))
    }

    /// Sets how long an object may be idle before it hibernates, that is, leaves memory. Its sockets stay open, and
    /// their attachments and its storage are kept. Its fields are lost, and the next event wakes it. With zero it
    /// hibernates after every event, which shows what an App keeps in the wrong place. With `None` objects stay in
    /// memory. Default: 60 s.
    pub fn hibernate_after(self, idle: impl Into<Option<Duration>>) -> Self {
        let idle = idle.into();
        self.set(|config| config.hibernate_after = idle)
    }

    /// Makes this server a node of a cluster. Each object lives on one of the nodes, and is stored in the cluster: a
    /// [`data`](Self::data) folder is not used. Default: no cluster, all objects live on this server.
    ///
    /// Each kind of cluster is a crate of its own: `durable-object-groups-nats` connects nodes over NATS.
    pub fn cluster(self, cluster: impl Cluster + 'static) -> Self {
        self.set(|config| config.cluster = Some(Arc::new(cluster)))
    }

    /// Sets the address, `host:port`, on which this node listens for other nodes, and at which they reach it. Port 0
    /// means any free port. Keep it private: nodes authenticate each other with a secret of the cluster, but their
    /// traffic is only encrypted with [`node_tls`](Self::node_tls). Default: `127.0.0.1:0`, for nodes on one machine.
    pub fn advertise(self, address: impl Into<String>) -> Self {
        self.set(|config| config.advertise = address.into())
    }

    /// Makes the nodes of a cluster speak TLS 1.3 with each other at their [`advertise`](Self::advertise) addresses, where each
    /// side shows a certificate. Gives the file of this node's certificates, its own first and then those of the authorities
    /// between, the file of its private key, and the file of the cluster's authorities. All are in the format PEM. Set it on all
    /// nodes or on none. Default: no TLS.
    ///
    /// A node without a certificate of one of these authorities, or with one that has expired, is refused. The refusal is
    /// logged and counted. Names in the certificates are not checked, so the authority must be one that signs for the nodes of
    /// this cluster and for nobody else. A certificate has to be for both servers and clients, if it says what it is for. The
    /// secret of the cluster is proved as well, for the TLS connection.
    ///
    /// The files are loaded again when they change, as those of [`tls`](Self::tls) are. Connections between nodes that are open
    /// stay open. To replace an authority, put the old and the new one into the file on all nodes, then replace the
    /// certificates, and then remove the old one.
    ///
    /// # Errors
    /// The server does not start if the files cannot be used, or the certificate is of none of the authorities
    /// ([`Error::is_tls`]).
    ///
    /// ```no_run
    /// # struct Chat;
    /// # impl dog::App for Chat {
    /// #     type Groups = ();
    /// #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> { Ok(dog::text_response(dog::http::StatusCode::OK, "")) }
    /// # }
    /// let server = dog_native::Server::new(Chat).advertise("10.0.0.5:7422").node_tls("node.pem", "node-key.pem", "cluster-ca.pem");
    /// # let _ = server;
    /// ```
    pub fn node_tls(
        self,
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        authorities: impl Into<PathBuf>,
    ) -> Self {
        let certificates = NodeCertificates::new(certificates.into(), key.into(), authorities.into());
        self.set(|config| config.node_tls = Some(Arc::new(certificates)))
    }

    /// Speaks these versions of the node protocol, as another release does: for tests of an upgrade.
    #[doc(hidden)]
    pub fn node_versions(self, versions: Versions) -> Self {
        self.set(|config| config.node_versions = versions)
    }

    /// Sets how many threads run objects and connections. Default: one per core.
    pub fn workers(self, workers: usize) -> Self {
        self.set(|config| config.workers = workers)
    }

    /// Sets what objects find in their `env()`. Default: nothing.
    pub fn env(self, env: Env) -> Self {
        self.set(|config| config.env = env)
    }

    /// Sets the largest message that a client may send, in bytes of payload over all fragments. A larger one closes its
    /// socket with 1009. Default: 1 MiB.
    pub fn max_message(self, bytes: usize) -> Self {
        self.set(|config| config.max_message = bytes)
    }

    /// Sets how many bytes may be queued for a socket that does not take them. Each message counts its frame and 64
    /// bytes more. A single message may be larger. Default: 1 MiB.
    ///
    /// Only bytes that the kernel has refused count. If such a socket falls behind in a short time, the clients that
    /// send much to its Group are not read: for 1 s if it takes nothing, for 5 s at most. During that time twice as
    /// many bytes may be queued.
    pub fn max_outbox(self, bytes: usize) -> Self {
        self.set(|config| config.max_outbox = bytes)
    }

    /// Sets what happens to a socket when more bytes would be queued. Default: it is closed with 1013.
    pub fn slow_consumer(self, policy: SlowConsumer) -> Self {
        self.set(|config| config.slow_consumer = policy)
    }

    /// Offers compression (permessage-deflate, RFC 7692) to clients that ask for it, as browsers do. With `None` it is
    /// not offered. Default: `None`.
    ///
    /// A worker thread compresses each message at most once, and sends the same bytes to all sockets that take it
    /// compressed. A message is sent uncompressed if it is shorter than [`Compression::at_least`], or would not get
    /// smaller. Compression costs a few microseconds per message and thread, whatever the number of receivers, and
    /// about 420 KiB of memory per thread, but nothing per socket. Each message is compressed independently (no context
    /// takeover), in both directions.
    ///
    /// Compressed messages of clients are decompressed up to [`max_message`](Self::max_message). One kilobyte can
    /// become a megabyte, so a client can make the server work more than without compression.
    ///
    /// **When not to use it.** Do not use it if traffic is cheap and CPU time is not, or if messages are mostly short
    /// or compressed already. Nor should a message contain a secret together with text that somebody else chooses:
    /// encryption does not hide the length of the compressed message, and the length shows whether the two are similar
    /// (CRIME, BREACH). Send secrets such as tokens in messages of their own that are shorter than `at_least`, or do
    /// not use compression.
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

    /// Sets how many bytes of a request's line and headers are read, at least 8192. Default: 16 KiB.
    pub fn max_header(self, bytes: usize) -> Self {
        self.set(|config| config.max_header = bytes)
    }

    /// Sets how long a client may take to send a request's line and headers, from the first byte; for the first
    /// request, from the start of the connection. Then the connection is closed. Default: 10 s.
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.handshake_timeout = timeout)
    }

    /// Sets how long a connection is kept for the next request after a response. It should be longer than a load
    /// balancer keeps its connections. Otherwise the balancer can send a request just when the connection is closed,
    /// and answer 502. Default: 75 s.
    pub fn keep_alive_timeout(self, silence: Duration) -> Self {
        self.set(|config| config.keep_alive_timeout = silence)
    }

    /// Sets how long a client may make no progress: read no byte of a response that is ready, or send no byte of an
    /// expected request body. Then the connection is closed, its seat is released, and reading the body fails. It is
    /// also how long the server keeps a client that has shut down its side and may be gone. Each byte restarts the
    /// time. It does not limit a response that has nothing to send, such as an event stream. For WebSockets see
    /// [`max_outbox`](Self::max_outbox) and [`idle_timeout`](Self::idle_timeout). Default: 30 s.
    pub fn stall_timeout(self, time: Duration) -> Self {
        self.set(|config| config.stall_timeout = time)
    }

    /// Sets after how much silence a client is pinged. Default: 30 s.
    pub fn ping_after(self, silence: Duration) -> Self {
        self.set(|config| config.ping_after = silence)
    }

    /// Sets after how much silence, despite a ping, a socket is closed. Default: 60 s.
    pub fn idle_timeout(self, silence: Duration) -> Self {
        self.set(|config| config.idle_timeout = silence)
    }

    /// Sets how long a client may take to answer a close frame, from the moment when it took the last queued byte. Then
    /// the connection is cut off. Default: 5 s.
    pub fn close_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.close_timeout = timeout)
    }

    /// Sets the time over which a shutdown closes the sockets, in small random batches, so that their clients do not
    /// all connect again at the same moment. A worker with up to 100 sockets closes them all at the start; with zero,
    /// every worker does. At most 1 h. Default: 10 s. See [`Running::shutdown`].
    pub fn drain_within(self, time: Duration) -> Self {
        self.set(|config| config.drain_within = time)
    }

    /// Sets the address for operators, `host:port`. Keep it private. It serves `GET /metrics` in Prometheus' text
    /// format, `/healthz` (the process works) and `/readyz` (new clients can be sent here). The latter two answer 200,
    /// or 503 with the reason. Port 0 means any free port: see [`Running::admin_addr`]. Names work as in
    /// [`bind`](Self::bind). Default: none.
    pub fn admin(self, address: impl Into<String>) -> Self {
        self.set(|config| config.admin = Some(address.into()))
    }

    /// Sets after how long a worker thread that a handler blocks is logged, and makes `/healthz` answer 503. Both name
    /// the object. At least 2 s. Default: 10 s.
    pub fn stuck_after(self, time: Duration) -> Self {
        self.set(|config| config.stuck_after = time)
    }

    /// Sets how many connections one remote address may have. Further connections are answered with 503. An IPv6 /64
    /// network counts as one address. A trusted proxy may have any number; its sockets and its requests that are being
    /// answered count for the addresses of their clients: see [`trusted_proxies`](Self::trusted_proxies). Default: 4096.
    pub fn max_sockets_per_address(self, sockets: usize) -> Self {
        self.set(|config| config.max_sockets_per_address = sockets)
    }

    /// Sets how often one remote address may connect. Further connections are answered with 429 and `Retry-After: 1`, before TLS and
    /// before anything of the request is read. An IPv6 /64 network counts as one address. Connections of a trusted proxy are not
    /// limited; for its clients, set [`requests_per_address`](Self::requests_per_address). Default: no limit.
    ///
    /// It holds for this node. 65,536 addresses are remembered, in 1 MiB; with more, those that were least active are forgotten.
    pub fn connections_per_address(self, rate: Rate) -> Self {
        self.set(|config| config.connections_per_address = Some(rate))
    }

    /// Sets how many requests one remote address may send, WebSocket handshakes included. Further requests are answered with 429 and
    /// `Retry-After`, before [`App::fetch`]. Behind a [trusted proxy](Self::trusted_proxies) it is the address of the client; for a
    /// [`Service`], the one that [`dog::set_peer_address`] has set. Otherwise as
    /// [`connections_per_address`](Self::connections_per_address). Default: no limit.
    pub fn requests_per_address(self, rate: Rate) -> Self {
        self.set(|config| config.requests_per_address = Some(rate))
    }

    /// Sets how many Groups the requests of one remote address may activate on this node, typically per minute. Further requests
    /// that would need another Group get an error, which answers 429 with `Retry-After`, and activate nothing; Groups
    /// that are in memory go on. Otherwise as [`requests_per_address`](Self::requests_per_address). Default: no limit.
    ///
    /// ```no_run
    /// # struct Chat;
    /// # impl dog::App for Chat {
    /// #     type Groups = ();
    /// #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> {
    /// #         Ok(dog::text_response(dog::http::StatusCode::OK, ""))
    /// #     }
    /// # }
    /// use dog_native::{Rate, Server};
    ///
    /// let server = Server::new(Chat)
    ///     .connections_per_address(Rate::per_second(20).burst(200))
    ///     .requests_per_address(Rate::per_second(50).burst(500))
    ///     .groups_per_address(Rate::per_minute(30));
    /// # let _ = server;
    /// ```
    pub fn groups_per_address(self, rate: Rate) -> Self {
        self.set(|config| config.groups_per_address = Some(rate))
    }

    /// Sets the networks of the proxies in front of this server. A request from one of them has the address that the proxies
    /// have written into `X-Forwarded-For`: the right-most one that is not a trusted proxy itself. If the header is missing,
    /// or malformed before that, it is the address of the last trusted proxy. Nobody else's header is believed.
    ///
    /// [`dog::peer_address`] and [`max_sockets_per_address`](Self::max_sockets_per_address) use this address. Each proxy has
    /// to append the address that it was reached from. Default: none.
    ///
    /// ```no_run
    /// # struct Chat;
    /// # impl dog::App for Chat {
    /// #     type Groups = ();
    /// #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> { Ok(dog::text_response(dog::http::StatusCode::OK, "")) }
    /// # }
    /// let server = dog_native::Server::new(Chat).trusted_proxies(["10.0.0.0/8".parse()?, "::1".parse()?]);
    /// # let _ = server;
    /// # Ok::<(), dog_native::Error>(())
    /// ```
    pub fn trusted_proxies(self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.set(|config| config.trusted_proxies = TrustedProxies::new(networks))
    }

    /// Sets how many objects, Groups and Replicas together, may be in memory. Each worker thread has an equal share. At
    /// the limit, new rooms and new Replicas are refused with 503 and `Retry-After`. Nothing else is refused: clients
    /// keep their Replicas, and alarms ring. A room in memory takes about 10 KB (two objects), and leaves memory a few
    /// minutes after its last client has left. Default: 250,000, which is about 1.3 GB of rooms.
    pub fn max_objects(self, objects: usize) -> Self {
        self.set(|config| config.max_objects = objects)
    }

    /// Returns a handle to the App's Groups, for the rest of the process. It works while the server runs.
    pub fn handle(&self) -> Handle<A> {
        Handle::new(&self.remote)
    }

    /// Starts the server. Completes when it listens.
    ///
    /// # Errors
    /// If a setting is invalid ([`Error::is_configuration`]), the address cannot be listened on ([`Error::is_bind`]),
    /// the certificates cannot be used ([`Error::is_tls`]), the data folder cannot be used ([`Error::is_data`]), the cluster cannot be joined ([`Error::is_cluster`]), or
    /// the system refuses a thread or a descriptor ([`Error::is_system`]).
    pub async fn start(self) -> Result<Running, Error> {
        self.config.validate()?;
        if let Some(certificates) = &self.config.tls {
            certificates.load()?;
        }
        let Listening { addresses, listeners } = listen_all("bind", &self.config.addresses()?, self.config.workers)?;
        let backend = Backend::open::<A>(&self.config).await?;
        let workers = Workers::start(self.app, self.config, listeners, backend)?;
        self.remote.started(workers.post());
        for address in &addresses {
            tracing::info!(%address, "listening");
        }
        Ok(Running::new(addresses, workers, self.remote))
    }

    /// Starts the server, and shuts it down gracefully at SIGINT or SIGTERM.
    ///
    /// # Errors
    /// The same as [`start`](Self::start).
    pub async fn run(self) -> Result<(), Error> {
        self.start().await?.until_signal().await;
        Ok(())
    }

    /// Starts the App's objects without a listener. The service answers requests, including WebSocket handshakes, that
    /// another server, such as axum's, has received. The objects end when the last clone of the service is dropped.
    ///
    /// # Errors
    /// The same as [`start`](Self::start).
    pub fn service(self) -> Result<Service, Error> {
        self.config.validate()?;
        if self.config.cluster.is_some() {
            return Err(Error::configuration("cluster: a service cannot be a node: use Server::start"));
        }
        if self.config.tls.is_some() {
            return Err(Error::configuration("tls: a service has no connections: set up TLS in the server around it"));
        }
        let listeners = (0..self.config.workers).map(|_| Vec::new()).collect();
        let backend = Backend::local(&self.config)?;
        let workers = Workers::start(self.app, self.config, listeners, backend)?;
        self.remote.started(workers.post());
        Ok(Service::new(workers, self.remote))
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("config", &self.config).finish_non_exhaustive()
    }
}
