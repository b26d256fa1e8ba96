//! How a handler waits for another one without a clock or a runtime: [`Signal`], [`Gates`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

/// Wakes all waiting tasks whenever their condition may have changed.
#[derive(Default)]
pub(super) struct Signal {
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Wakes all waiting tasks.
    pub(super) fn notify(&self) {
        // The wakers are taken out first, because a woken task can wait again at once.
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Completes when `condition` returns true. It is called now and after each [`notify`](Self::notify).
    pub(super) fn until(&self, condition: impl Fn() -> bool) -> impl Future<Output = ()> {
        poll_fn(move |task| {
            if condition() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(task.waker().clone());
            Poll::Pending
        })
    }
}

/// Gates with names. A gate is closed until it is opened, and then stays open.
#[derive(Default)]
pub(super) struct Gates {
    open: RefCell<BTreeSet<String>>,
    changed: Signal,
}

impl Gates {
    pub(super) fn open(&self, gate: &str) {
        self.open.borrow_mut().insert(gate.to_owned());
        self.changed.notify();
    }

    pub(super) async fn pass(&self, gate: &str) {
        self.changed.until(|| self.open.borrow().contains(gate)).await;
    }
}
