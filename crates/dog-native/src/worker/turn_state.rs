//! The present turn of a worker's loop: [`TurnState`].

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a turn goes on with one kind of work while there is more of it: mail of other workers, bytes of sockets, and
/// what follows from both. So a turn takes three slices at most, plus one handler's time and the writes at its end.
const SLICE: Duration = Duration::from_millis(1);

/// When the turn began, and how the loop is woken for the next one.
pub(super) struct TurnState {
    began: Cell<Instant>,
    /// Whether the loop is at work, so that it will see what is queued.
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

    /// Whether the turn has lasted for this many slices.
    pub(super) fn has_lasted(&self, slices: u32) -> bool {
        self.began.get().elapsed() >= SLICE * slices
    }

    /// Something was queued: there must be another turn.
    pub(super) fn queued(&self) {
        if !self.is_running.get() {
            self.wake.notify_one();
        }
    }

    /// There must be another turn after this one.
    pub(super) fn continues(&self) {
        self.wake.notify_one();
    }

    /// Completes when something was queued.
    pub(super) async fn is_woken(&self) {
        self.wake.notified().await;
    }
}
