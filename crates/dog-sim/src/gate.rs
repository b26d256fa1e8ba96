//! Holds requests until the run lets them go on: [`Gate`].

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

#[derive(Debug, Default)]
struct State {
    /// How often it was opened.
    opened: u64,
    waiting: Vec<Waker>,
}

/// A gate, which is closed except for the moments at which it is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<State>>);

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the gate is opened the next time.
    pub(crate) async fn wait(&self) {
        let before = self.state().opened;
        poll_fn(|context| {
            let mut state = self.state();
            if state.opened > before {
                return Poll::Ready(());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets all go on that wait.
    pub(crate) fn open(&self) {
        let waiting = {
            let mut state = self.state();
            state.opened += 1;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}
