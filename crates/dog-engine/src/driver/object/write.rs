//! A write of one object that is not durable yet: [`Write`].

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use dog::Error;
use dog::internal::{LocalFuture, LogReservation};

use super::write_log::Logged;
use crate::host::{Host, HostObserver, Scheduler};
use crate::repeats::log_limited;

/// What follows from the outcome of a write.
pub(super) struct Settling {
    pub(super) logged: Logged,
    /// If it changes alarms: those of which the book keeps the payloads.
    pub(super) alarms: Option<Vec<(String, u64)>>,
    /// If it publishes: the logs that wait for it.
    pub(super) logs: Option<Box<dyn LogReservation>>,
}

/// The storage that learns of the outcome.
pub(super) trait Settles: 'static {
    type Host: Host;

    fn host(&self) -> &Rc<Self::Host>;
    fn settle(&self, batch: Settling, is_durable: bool);
}

/// A write that is not durable yet. If its caller drops it, the write is still made, and stays in the log until it is
/// durable.
pub(super) struct Write<S: Settles> {
    store: Rc<S>,
    done: Option<(LocalFuture<Result<(), Error>>, Settling)>,
}

impl<S: Settles> Write<S> {
    pub(super) fn new(store: &Rc<S>, done: LocalFuture<Result<(), Error>>, settling: Settling) -> Self {
        Self { store: Rc::clone(store), done: Some((done, settling)) }
    }
}

impl<S: Settles> Future for Write<S> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((done, _)) = &mut self.done else { return Poll::Pending };
        let outcome = std::task::ready!(done.as_mut().poll(context));
        if let Some((_, settling)) = self.done.take() {
            self.store.settle(settling, outcome.is_ok());
        }
        Poll::Ready(outcome)
    }
}

impl<S: Settles> Drop for Write<S> {
    fn drop(&mut self) {
        let Some((done, settling)) = self.done.take() else { return };
        let store = Rc::clone(&self.store);
        self.store.host().spawn(Box::pin(async move {
            let outcome = done.await;
            if let Err(error) = &outcome {
                log_limited!(
                    store.host(),
                    error,
                    "a write that nobody waited for failed",
                    "a write that nobody waited for failed: {error}"
                );
            }
            store.settle(settling, outcome.is_ok());
        }));
    }
}
