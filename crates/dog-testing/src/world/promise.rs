//! An answer that is on its way to whoever asked.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use dog::Error;
use dog::internal::Kind;

enum Slot<T> {
    Waiting(Option<Waker>),
    Answered(Result<T, Error>),
    Taken,
}

/// Keeps the promise, or breaks it by being dropped.
pub(super) struct Promise<T> {
    slot: Rc<RefCell<Slot<T>>>,
    /// Whether whoever asked hears that no answer will come; else only the deadline tells.
    tells: bool,
}

/// Waits for the answer.
pub(super) struct Asked<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

pub(super) fn promise<T>(tells: bool) -> (Promise<T>, Asked<T>) {
    let slot = Rc::new(RefCell::new(Slot::Waiting(None)));
    (Promise { slot: Rc::clone(&slot), tells }, Asked { slot })
}

impl<T> Promise<T> {
    pub(super) fn keep(self, answer: Result<T, Error>) {
        self.fill(answer);
    }

    fn fill(&self, answer: Result<T, Error>) {
        let slot = self.slot.replace(Slot::Answered(answer));
        match slot {
            Slot::Waiting(waker) => waker.into_iter().for_each(Waker::wake),
            Slot::Answered(_) | Slot::Taken => drop(self.slot.replace(slot)),
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if self.tells {
            self.fill(Err(Error::new(Kind::Unreachable, "the connection was lost")));
        }
    }
}

impl<T> Future for Asked<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let mut slot = self.slot.borrow_mut();
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Answered(answer) => Poll::Ready(answer),
            Slot::Waiting(_) | Slot::Taken => {
                *slot = Slot::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}
