//! [`ShutdownWatch`]: what a tunnel or a streamed response knows of the shutdown of its worker, on any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::Config;

/// Up to this many streams of a worker are closed at the same time: too few to overload the server when their clients
/// connect again.
const FEW: usize = 100;

/// The shutdown of one worker, as its streams see it.
#[derive(Clone)]
pub(crate) struct ShutdownWatch {
    /// Set when the worker begins to close its sockets.
    closes: watch::Receiver<bool>,
    /// How many streams of the worker are open.
    streams: Arc<AtomicUsize>,
    /// The time over which more streams are closed.
    drain_within: Duration,
    times: StreamTimes,
    /// Makes the worker check again whether everything has ended.
    recheck: Arc<dyn Fn() + Send + Sync>,
}

/// The timeouts for a client whose bytes are copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamTimes {
    /// For reading the remaining bytes and closing, once the connection must end.
    pub(crate) close: Duration,
    /// Without reading a byte that is sent to it.
    pub(crate) stall: Duration,
}

impl StreamTimes {
    pub(crate) fn of(config: &Config) -> Self {
        Self { close: config.close_timeout, stall: config.stall_timeout }
    }
}

impl ShutdownWatch {
    pub(crate) fn new(
        closes: watch::Receiver<bool>,
        streams: Arc<AtomicUsize>,
        config: &Config,
        recheck: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let times = StreamTimes::of(config);
        Self { closes, streams, drain_within: config.drain_within, times, recheck: Arc::new(recheck) }
    }

    pub(crate) fn times(&self) -> StreamTimes {
        self.times
    }

    pub(crate) fn drain_within(&self) -> Duration {
        self.drain_within
    }

    /// Counts one more stream. The worker waits for it until the guard is dropped.
    pub(crate) fn open_stream(&self) -> OpenStream {
        self.streams.fetch_add(1, Ordering::AcqRel);
        OpenStream(self.clone())
    }

    /// Completes when the worker begins to close its sockets.
    pub(crate) async fn begins(&mut self) {
        if self.closes.wait_for(|closes| *closes).await.is_err() {
            // The worker is gone, and its tasks with it.
            std::future::pending::<()>().await;
        }
    }

    /// Completes when this stream must be closed: at a random moment of the time over which sockets are closed, or at
    /// its start if there are few streams.
    pub(crate) async fn is_due(&mut self) {
        self.begins().await;
        if self.streams.load(Ordering::Acquire) > FEW {
            tokio::time::sleep(self.drain_within.mul_f64(fastrand::f64())).await;
        }
    }
}

/// A stream that its worker waits for. See [`ShutdownWatch::open_stream`].
pub(crate) struct OpenStream(ShutdownWatch);

impl OpenStream {
    pub(crate) fn watch(&self) -> ShutdownWatch {
        self.0.clone()
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
        if *self.0.closes.borrow() {
            (self.0.recheck)();
        }
    }
}
