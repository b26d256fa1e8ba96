//! The answer to a call, on its way to the caller.

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

/// Whether a caller learns that no answer will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnLoss {
    /// The call fails with `is_unreachable`.
    Fail,
    /// It never completes: only the caller's deadline ends it.
    StaySilent,
}

/// Answers a call. If it is dropped without an answer, [`OnLoss`] says what the caller learns.
pub(super) struct ReplySender<T> {
    slot: Rc<RefCell<Slot<T>>>,
    on_loss: OnLoss,
}

/// A future that completes with the answer.
pub(super) struct PendingReply<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

/// Creates both ends of an answer.
pub(super) fn reply<T>(on_loss: OnLoss) -> (ReplySender<T>, PendingReply<T>) {
    let slot = Rc::new(RefCell::new(Slot::Waiting(None)));
    (ReplySender { slot: Rc::clone(&slot), on_loss }, PendingReply { slot })
}

impl<T> ReplySender<T> {
    /// Sends the answer.
    pub(super) fn send(self, answer: Result<T, Error>) {
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

impl<T> Drop for ReplySender<T> {
    fn drop(&mut self) {
        if self.on_loss == OnLoss::Fail {
            self.fill(Err(Error::new(Kind::Unreachable, "the connection was lost")));
        }
    }
}

impl<T> Future for PendingReply<T> {
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
