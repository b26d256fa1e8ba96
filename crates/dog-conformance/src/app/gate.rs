//! How a handler waits for another one, without a clock and without a runtime: [`Signal`], [`Gates`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

/// Wakes those that wait for a condition whenever something may have changed.
#[derive(Default)]
pub(super) struct Signal {
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Lets all that wait look again.
    pub(super) fn notify(&self) {
        // Taken first: a waker may run at once and wait again.
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ends when `condition` holds. It is asked now and after each [`notify`](Self::notify).
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

/// Gates with names: closed until they are opened, then open for good.
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
