//! What is under way for the alarms of one object: [`AlarmRuns`].

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// What is under way for the alarms of one object.
#[derive(Debug, Default)]
pub(super) struct AlarmRuns {
    /// One task begins handlers, so that they begin in the order of their times.
    is_starting: Cell<bool>,
    /// The host has woken the object, and what is due was not looked up yet.
    is_woken: Cell<bool>,
    /// Whether a task waits for the next alarm while handlers run.
    is_watched: Cell<bool>,
    /// Something has changed that the watching task has to know.
    has_changed: Cell<bool>,
    watching: RefCell<Option<Waker>>,
}

impl AlarmRuns {
    /// The host has woken the object.
    pub(super) fn wake(&self) {
        self.is_woken.set(true);
    }

    /// Returns whether the host has woken the object since the last call.
    pub(super) fn take_woken(&self) -> bool {
        self.is_woken.take()
    }

    /// Returns whether a task has to be started that begins handlers: false while one runs.
    pub(super) fn begin_starting(&self) -> bool {
        !self.is_starting.replace(true)
    }

    pub(super) fn end_starting(&self) {
        self.is_starting.set(false);
    }

    pub(super) fn is_starting(&self) -> bool {
        self.is_starting.get()
    }

    /// Returns whether a task has to be started that waits for the next alarm: false while one waits.
    pub(super) fn begin_watching(&self) -> bool {
        !self.is_watched.replace(true)
    }

    pub(super) fn end_watching(&self) {
        self.is_watched.set(false);
    }

    /// Alarms were set or deleted, or a handler has ended.
    pub(super) fn note_change(&self) {
        self.has_changed.set(true);
        if let Some(waker) = self.watching.take() {
            waker.wake();
        }
    }

    pub(super) async fn changed(&self) {
        poll_fn(|context| {
            if self.has_changed.take() {
                return Poll::Ready(());
            }
            self.watching.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Whether the alarms that are due were not looked up yet.
    pub(super) fn is_woken(&self) -> bool {
        self.is_woken.get()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_starting.get() || self.is_woken.get()
    }
}
