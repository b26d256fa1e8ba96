//! The time in which an object's value stays in memory without a break: [`Activation`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use dog::Error;
use dog::internal::{Kind, LocalFuture};

/// Shared with every handle that the user's code holds. It is over as soon as the value is dropped, because the object
/// hibernates or its life ends; every use of a handle fails from then on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activation(Rc<State>);

#[derive(Debug, Default)]
struct State {
    over: Cell<bool>,
    /// The host has begun to shut down.
    stopping: Cell<bool>,
    /// Futures that wait for either, by number.
    waiting: RefCell<HashMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Activation {
    /// The activation after this one.
    pub(super) fn next(&self) -> Self {
        Self(Rc::new(State { stopping: self.0.stopping.clone(), ..State::default() }))
    }

    pub(super) fn end(&self) {
        self.0.over.set(true);
        self.wake();
    }

    pub(super) fn stop(&self) {
        self.0.stopping.set(true);
        self.wake();
    }

    fn wake(&self) {
        self.0.waiting.take().into_values().for_each(Waker::wake);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.over.get()
    }

    /// Completes when background work of the user should end: the host has begun to shut down, or the activation is over.
    pub(crate) fn stopping(&self) -> LocalFuture<()> {
        let number = self.0.next.replace(self.0.next.get() + 1);
        Box::pin(Stopping { activation: self.clone(), number })
    }

    /// Fails if the activation is over.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_over() { Err(over()) } else { Ok(()) }
    }
}

struct Stopping {
    activation: Activation,
    number: u64,
}

impl Future for Stopping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let state = &self.activation.0;
        if state.over.get() || state.stopping.get() {
            return Poll::Ready(());
        }
        state.waiting.borrow_mut().insert(self.number, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.activation.0.waiting.borrow_mut().remove(&self.number);
    }
}

/// The error of every operation of an activation that is over.
pub(crate) fn over() -> Error {
    Error::new(Kind::Closed, "this life of the object is over")
}
