//! What waits for a change: [`Signal`], across threads.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A count of changes, and who waits for the next.
#[derive(Debug, Default)]
pub(super) struct Signal(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    changes: u64,
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// The place of one who waits. It is given up when this is dropped.
struct Place<'a> {
    signal: &'a Signal,
    number: u64,
}

impl Signal {
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    pub(super) fn change(&self) {
        let wakers = {
            let mut waiting = self.lock();
            waiting.changes += 1;
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }

    /// Waits until there are other changes than the `seen`.
    pub(super) async fn changed(&self, seen: u64) {
        let number = {
            let mut waiting = self.lock();
            waiting.next += 1;
            waiting.next
        };
        let place = Place { signal: self, number };
        poll_fn(|context| place.poll(seen, context)).await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    fn poll(&self, seen: u64, context: &Context<'_>) -> Poll<()> {
        let mut waiting = self.signal.lock();
        if waiting.changes != seen {
            return Poll::Ready(());
        }
        waiting.wakers.insert(self.number, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.signal.lock().wakers.remove(&self.number);
    }
}

/// Waits for the first of two. `true`: it was `first`.
pub(crate) async fn or(first: impl Future<Output = ()>, second: impl Future<Output = ()>) -> bool {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| {
        if first.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        second.as_mut().poll(context).map(|()| false)
    })
    .await
}
