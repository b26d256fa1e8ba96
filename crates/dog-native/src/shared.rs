//! [`Shared`]: what all threads of a server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dog::{Epoch, Timestamp};

use crate::clock::Clock;
use crate::cluster::node::Node;
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::limits::AddressLimits;
use crate::post::Post;
use crate::storage::port::Storage;

/// What all workers of a server share. Handling a message writes nothing in it.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) post: Post,
    pub(crate) storage: Arc<dyn Storage>,
    /// This server as a node, if it is one of a cluster.
    pub(crate) node: Option<Arc<Node>>,
    /// The names of the App's Groups, in the order of their `ClassIndex`.
    pub(crate) class_names: Vec<&'static str>,
    /// Whether the shutdown has begun.
    pub(crate) draining: AtomicBool,
    /// One per worker.
    pub(crate) heartbeats: Vec<Heartbeat>,
    next_epoch: AtomicU64,
    /// The number of workers that still have something to do before the server may end.
    undrained: AtomicUsize,
    clock: Clock,
    limits: AddressLimits,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        post: Post,
        storage: Arc<dyn Storage>,
        node: Option<Arc<Node>>,
        class_names: Vec<&'static str>,
    ) -> Self {
        let clock = node.as_ref().map_or_else(Clock::start, |node| node.clock());
        Self {
            undrained: AtomicUsize::new(post.workers()),
            class_names,
            draining: AtomicBool::new(false),
            heartbeats: (0..post.workers()).map(|_| Heartbeat::default()).collect(),
            limits: AddressLimits::new(&config),
            config,
            post,
            storage,
            node,
            next_epoch: AtomicU64::new(1),
            clock,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What one address may do per second or minute.
    pub(crate) fn limits(&self) -> &AddressLimits {
        &self.limits
    }

    /// Returns how long the server has run.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    /// Returns how long the server had run at `moment`.
    pub(crate) fn uptime_at(&self, moment: Instant) -> Duration {
        self.clock.uptime_at(moment)
    }

    /// Returns a number for a life that no other life of this process has.
    pub(crate) fn new_epoch(&self) -> Epoch {
        Epoch::from_raw(self.next_epoch.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes that one more worker has done everything that it must do before the server may end. Returns whether it is
    /// the last one.
    pub(crate) fn worker_is_drained(&self) -> bool {
        self.undrained.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Returns whether all workers have.
    pub(crate) fn is_drained(&self) -> bool {
        self.undrained.load(Ordering::Acquire) == 0
    }
}
