//! Streamed responses: [`Tap`] is a body into which the Replica pushes texts until it ends the body.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};

#[derive(Default)]
struct State {
    chunks: VecDeque<Bytes>,
    ended: bool,
    waits: Option<Waker>,
}

/// The state that both ends of a stream share.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Mutex<State>>);

impl Tap {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, text: &str) {
        let mut state = self.lock();
        state.chunks.push_back(Bytes::copy_from_slice(text.as_bytes()));
        state.waits.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.waits.take().into_iter().for_each(Waker::wake);
    }
}

impl Body for Tap {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.lock();
        match state.chunks.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None if state.ended => Poll::Ready(None),
            None => {
                state.waits = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
