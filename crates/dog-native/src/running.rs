//! [`Running`]: a running server, and its shutdown.

use std::fmt;
use std::net::SocketAddr;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;
use crate::handle::{Handle, Remote, Unchecked};
use crate::workers::Workers;

/// A running server. Dropping it starts a shutdown, without waiting for its end.
pub struct Running {
    /// At least one address.
    addresses: Vec<SocketAddr>,
    workers: Workers,
    remote: Remote,
}

impl Running {
    pub(crate) fn new(addresses: Vec<SocketAddr>, workers: Workers, remote: Remote) -> Self {
        Self { addresses, workers, remote }
    }

    /// Returns the address that the server listens on: the first of [`local_addrs`](Self::local_addrs).
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Returns all addresses that the server listens on, with the same port: one address, or all addresses of the name
    /// that was passed to [`bind`](crate::Server::bind).
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the address for operators, if [`Server::admin`](crate::Server::admin) was set.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.workers.admin_addr()
    }

    /// Returns a handle to the App's Groups, for the rest of the process. Unlike that of
    /// [`Server::handle`](crate::Server::handle), it does not know the type of the App.
    pub fn handle(&self) -> Handle<Unchecked> {
        Handle::new(&self.remote)
    }

    /// Loads the certificates of [`Server::tls`](crate::Server::tls) and [`Server::node_tls`](crate::Server::node_tls) again, as
    /// SIGHUP does. It reads their files, and blocks meanwhile. New connections get the new certificates, and open ones stay
    /// open. Without TLS it does nothing.
    ///
    /// # Errors
    /// If files cannot be used ([`Error::is_tls`]). Then the old certificates of that setting are kept.
    pub fn reload_tls(&self) -> Result<(), Error> {
        let config = &self.workers.shared().config;
        let clients = config.tls.as_ref().map_or(Ok(()), |certificates| certificates.reload());
        let nodes = config.node_tls.as_ref().map_or(Ok(()), |certificates| certificates.reload());
        clients.and(nodes)
    }

    fn has_certificates(&self) -> bool {
        let config = &self.workers.shared().config;
        config.tls.is_some() || config.node_tls.is_some()
    }

    /// Shuts the server down gracefully, and completes when everything is done:
    ///
    /// 1. At once: `/readyz` answers 503, the listeners are closed, and new requests on open connections are answered
    ///    with 503 and `retry-after`. Requests in progress are answered.
    /// 2. Open sockets are closed with 1012, in batches at random over [`drain_within`](crate::Server::drain_within).
    ///    Their `on_close` runs.
    /// 3. Handlers finish what they wait for, such as puts and calls. Alarms that come due during the shutdown
    ///    ring after the restart.
    ///
    /// It takes at most the sum of [`drain_within`](crate::Server::drain_within),
    /// [`close_timeout`](crate::Server::close_timeout) and 1 s. What has not ended by then is cut off: a client that
    /// does not answer its close frame, or a handler that never completes. Every put that returned `Ok` is on disk in
    /// any case.
    pub async fn shutdown(self) {
        self.workers.stop().await;
    }

    /// Waits for SIGINT or SIGTERM, then does a [`shutdown`](Self::shutdown). A second signal ends the server
    /// immediately. With TLS, SIGHUP loads the certificates again: see [`reload_tls`](Self::reload_tls). The signals are handled
    /// as soon as this function is called, even before the future is polled.
    pub fn until_signal(self) -> impl Future<Output = ()> {
        let mut signals = Signals::listen();
        let mut hangups = if self.has_certificates() { handler(SignalKind::hangup()) } else { None };
        async move {
            loop {
                tokio::select! {
                    () = signals.any() => break,
                    // The result is logged and counted.
                    () = received(&mut hangups) => drop(self.reload_tls()),
                }
            }
            tracing::info!("signal received: the server shuts down gracefully");
            tokio::select! {
                () = self.workers.stop() => {}
                () = signals.any() => {
                    tracing::warn!("second signal received: the server ends immediately");
                    self.workers.stop_at_once().await;
                }
            }
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Running({:?}, {} workers)", self.addresses, self.workers.post().workers())
    }
}

/// The signals that end a server. If the system refuses a handler for a signal, its default action remains.
pub(crate) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    pub(crate) fn listen() -> Self {
        Self { interrupt: handler(SignalKind::interrupt()), terminate: handler(SignalKind::terminate()) }
    }

    pub(crate) async fn any(&mut self) {
        tokio::select! {
            () = received(&mut self.interrupt) => {}
            () = received(&mut self.terminate) => {}
        }
    }
}

fn handler(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|error| tracing::error!("cannot handle a signal: {error}")).ok()
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
