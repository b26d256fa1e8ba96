//! [`TurnState`]: the current turn of a worker's loop.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a turn may spend on one kind of work: mail of other workers, bytes of sockets, and what follows from both.
/// So a turn takes at most three slices, plus the time of one handler and of the writes at its end.
const SLICE: Duration = Duration::from_millis(1);

/// When the turn began, and how the loop is woken for the next one.
pub(super) struct TurnState {
    began: Cell<Instant>,
    /// Whether a turn is running. If so, it will find what is queued.
    is_running: Cell<bool>,
    wake: Notify,
}

impl TurnState {
    pub(super) fn new() -> Self {
        Self { began: Cell::new(Instant::now()), is_running: Cell::new(false), wake: Notify::new() }
    }

    pub(super) fn begin(&self) {
        self.is_running.set(true);
        self.began.set(Instant::now());
    }

    pub(super) fn end(&self) {
        self.is_running.set(false);
    }

    pub(super) fn began(&self) -> Instant {
        self.began.get()
    }

    /// Returns whether the turn has lasted for this many slices.
    pub(super) fn has_lasted(&self, slices: u32) -> bool {
        self.began.get().elapsed() >= SLICE * slices
    }

    /// Notes that something was queued: the loop must take another turn.
    pub(super) fn queued(&self) {
        if !self.is_running.get() {
            self.wake.notify_one();
        }
    }

    /// Makes the loop take another turn after this one.
    pub(super) fn continues(&self) {
        self.wake.notify_one();
    }

    /// Completes when something was queued.
    pub(super) async fn is_woken(&self) {
        self.wake.notified().await;
    }
}
