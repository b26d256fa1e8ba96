//! A server that runs, and how it ends: [`Running`].

use std::fmt;
use std::net::SocketAddr;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::workers::Workers;

/// A server that runs. Dropped, it ends without anyone waiting for it.
pub struct Running {
    /// At least one.
    addresses: Vec<SocketAddr>,
    workers: Workers,
}

impl Running {
    pub(crate) fn new(addresses: Vec<SocketAddr>, workers: Workers) -> Self {
        Self { addresses, workers }
    }

    /// Where it listens: the first of [`local_addrs`](Self::local_addrs).
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Everywhere it listens, all with one port: one address, or those of the name that it was told to
    /// [`bind`](crate::Server::bind).
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where its operator finds it, if that was set: [`Server::admin`](crate::Server::admin).
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.workers.admin_addr()
    }

    /// Ends it in good order, and returns when all is done:
    ///
    /// 1. At once: readiness is false, nobody listens any more, requests that come over connections which are open are
    ///    answered with 503 and `retry-after`. Those under way are answered.
    /// 2. Open sockets are closed with 1012 in batches at random, spread over
    ///    [`drain_within`](crate::Server::drain_within); their `on_close` runs.
    /// 3. What handlers wait for, puts and calls, ends. Alarms that come due meanwhile ring when the server is back.
    ///
    /// It takes [`drain_within`](crate::Server::drain_within) +
    /// [`close_timeout`](crate::Server::close_timeout) + 1 s at most; what is under way then, a client that does not
    /// answer its close or a handler that waits for ever, is cut off. Every put that returned `Ok` is on disk in any
    /// case.
    pub async fn shutdown(self) {
        self.workers.stop().await;
    }

    /// Waits for SIGINT or SIGTERM, then [`shutdown`](Self::shutdown); a second signal during that ends the server at
    /// once. From this call on, not only once it is awaited, the signals are the server's.
    pub fn until_signal(self) -> impl Future<Output = ()> {
        let mut signals = Signals::listen();
        async move {
            signals.any().await;
            tracing::info!("a signal: the server ends in good order");
            tokio::select! {
                () = self.workers.stop() => {}
                () = signals.any() => {
                    tracing::warn!("a second signal: the server ends at once");
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

/// The signals that end a server. Where the system gives no handler, its own way of ending stays.
pub(crate) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    pub(crate) fn listen() -> Self {
        let listen = |kind| signal(kind).inspect_err(|error| tracing::error!("no handler for a signal: {error}")).ok();
        Self { interrupt: listen(SignalKind::interrupt()), terminate: listen(SignalKind::terminate()) }
    }

    pub(crate) async fn any(&mut self) {
        async fn one(signal: &mut Option<Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = one(&mut self.interrupt) => {}
            () = one(&mut self.terminate) => {}
        }
    }
}
