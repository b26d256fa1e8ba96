//! [`PendingCalls`]: calls of this worker that have no answer yet.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use dog::Error;
use dog::internal::Kind;
use tokio::sync::oneshot;

use crate::mail::Answer;

type Outcome = Result<Answer, Error>;

/// The calls of one worker, each with its own number.
#[derive(Default)]
pub(super) struct PendingCalls {
    calls: RefCell<HashMap<u64, oneshot::Sender<Outcome>>>,
    next: Cell<u64>,
}

/// The answer to a call, to be awaited. If it is dropped, the answer is ignored.
pub(super) struct PendingCall(oneshot::Receiver<Outcome>);

impl PendingCall {
    pub(super) async fn answer(self) -> Outcome {
        match self.0.await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(Kind::Unreachable, "the worker has ended")),
        }
    }
}

impl PendingCalls {
    /// Begins a call. Returns its number, and its answer to be awaited.
    pub(super) fn begin(&self) -> (u64, PendingCall) {
        let call = self.next.replace(self.next.get() + 1);
        let (sender, receiver) = oneshot::channel();
        self.calls.borrow_mut().insert(call, sender);
        (call, PendingCall(receiver))
    }

    /// Completes a call with an answer, unless the caller has given it up.
    pub(super) fn answer(&self, call: u64, answer: Outcome) {
        if let Some(sender) = self.calls.borrow_mut().remove(&call) {
            // The caller may have dropped the call.
            let _ = sender.send(answer);
        }
    }

    /// Removes the calls that their callers have given up. Their answers may never arrive.
    pub(super) fn remove_abandoned(&self) {
        self.calls.borrow_mut().retain(|_, sender| !sender.is_closed());
    }

    pub(super) fn is_pending(&self, call: u64) -> bool {
        self.calls.borrow().contains_key(&call)
    }

    /// Returns whether no caller waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.borrow().values().all(oneshot::Sender::is_closed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn each_call_gets_its_own_answer_and_those_that_were_given_up_are_removed() {
        let calls = PendingCalls::default();
        let (first, answer) = calls.begin();
        let (second, given_up) = calls.begin();
        assert!(first != second && calls.is_pending(second));
        drop(given_up);
        calls.remove_abandoned();
        assert!(calls.is_pending(first) && !calls.is_pending(second) && !calls.is_idle());
        calls.answer(second, Ok(Answer::Written));
        calls.answer(first, Ok(Answer::Written));
        assert!(matches!(answer.answer().now_or_never(), Some(Ok(Answer::Written))));
        assert!(calls.is_idle());
    }
}
