//! What waits for the client of one event stream: [`StreamQueue`]. The Replica's thread fills it, and the thread that sends the
//! response takes from it, so it has a lock. The lock is held for a few instructions.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use dog::internal::StreamFormat;
use dog::{Body, Close, CloseCode};
use http_body::Frame;

use super::encode::last_words;
use crate::host::{SeatGuard, SlowStreams, StreamLimits};

/// What each message counts in addition to its bytes. Without it, many messages of a few bytes could use many times the limit of
/// memory.
const KEEPING: usize = 64;

/// Up to this many bytes, messages that wait together are sent together.
const JOIN_UP_TO: usize = 64 * 1024;

/// The messages that wait for the client of one event stream.
pub(crate) struct StreamQueue {
    format: StreamFormat,
    limits: StreamLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// What `chunks` counts against the limit.
    waiting: usize,
    /// Whether nothing was queued since the last [`StreamQueue::keep_alive`].
    quiet: bool,
    /// Set when the stream has its last words: nothing is queued any more.
    outcome: Option<Outcome>,
    /// Wakes the task that sends the response.
    waker: Option<Waker>,
}

/// How an event stream has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It was closed from this side.
    Closed(Close),
    /// The body was dropped: the client is gone.
    Lost,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// It is queued.
    Taken,
    /// It was dropped, because too much waits. The stream goes on.
    Dropped,
    /// Too much waits, and the stream has ended because of it.
    TooSlow,
    /// The stream had ended before.
    Ended,
}

impl State {
    fn push(&mut self, chunk: Bytes) {
        self.waiting += chunk.len() + KEEPING;
        self.quiet = false;
        self.chunks.push_back(chunk);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn end(&mut self, close: Close, format: StreamFormat) {
        if self.outcome.is_some() {
            return;
        }
        if let Some(words) = last_words(&close, format) {
            self.push(words);
        }
        self.outcome = Some(Outcome::Closed(close));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let first = self.chunks.pop_front()?;
        self.waiting -= first.len() + KEEPING;
        if self.chunks.front().is_none_or(|next| first.len() + next.len() > JOIN_UP_TO) {
            return Some(first);
        }
        let mut joined = BytesMut::from(&first[..]);
        while let Some(next) = self.chunks.pop_front_if(|next| joined.len() + next.len() <= JOIN_UP_TO) {
            self.waiting -= next.len() + KEEPING;
            joined.extend_from_slice(&next);
        }
        Some(joined.freeze())
    }
}

impl StreamQueue {
    pub(crate) fn new(format: StreamFormat, limits: StreamLimits) -> Arc<Self> {
        Arc::new(Self { format, limits, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn format(&self) -> StreamFormat {
        self.format
    }

    /// Queues a message. A client for which nothing waits gets even a message that is larger than the limit.
    pub(crate) fn push(&self, chunk: Bytes) -> Push {
        let mut state = self.lock();
        if state.outcome.is_some() {
            return Push::Ended;
        }
        if state.waiting == 0 || state.waiting + chunk.len() + KEEPING <= self.limits.max_waiting {
            state.push(chunk);
            return Push::Taken;
        }
        match self.limits.slow {
            SlowStreams::DropNewest => Push::Dropped,
            SlowStreams::Close => {
                // Otherwise the last event would come after all that waits, which the client does not read.
                state.chunks.clear();
                state.waiting = 0;
                state.end(Close::new(CloseCode::TRY_AGAIN, "too slow"), self.format);
                Push::TooSlow
            }
        }
    }

    /// Queues a comment if nothing was queued since the last call, and nothing waits.
    pub(crate) fn keep_alive(&self) {
        let mut state = self.lock();
        if state.quiet && state.outcome.is_none() && state.chunks.is_empty() {
            state.push(super::keep_alive(self.format));
        }
        state.quiet = true;
    }

    /// Ends the stream after everything that was queued before.
    pub(crate) fn end(&self, close: Close) {
        self.lock().end(close, self.format);
    }

    /// How the stream has ended, if it has.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.lock().outcome.clone()
    }

    /// Ends the stream without last words, because the life of its Replica is over.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.outcome.get_or_insert(Outcome::Lost);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// The client takes nothing any more.
    fn leave(&self) {
        let mut state = self.lock();
        state.chunks.clear();
        state.waiting = 0;
        state.outcome.get_or_insert(Outcome::Lost);
    }
}

/// In a response that opens an event stream: the way in which the server that sends it can end it.
#[derive(Clone)]
pub struct EventStream(Arc<StreamQueue>);

impl EventStream {
    /// Ends the stream because the server shuts down: the client gets the last event, and the Replica is told.
    pub fn restart(&self) {
        self.0.end(Close::new(CloseCode::RESTARTING, "the server restarts"));
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EventStream")
    }
}

/// The body of the response that takes from `queue`. `seat` is released when the body has ended or was dropped.
pub(crate) fn body(queue: Arc<StreamQueue>, seat: Arc<dyn SeatGuard>) -> (Body, EventStream) {
    let handle = EventStream(Arc::clone(&queue));
    (Body::stream(EventBody { queue, seat }), handle)
}

#[allow(dead_code, reason = "the seat is there to be dropped")]
struct EventBody {
    queue: Arc<StreamQueue>,
    seat: Arc<dyn SeatGuard>,
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut state = self.queue.lock();
        match state.take() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None if state.outcome.is_some() => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        // Before the seat is released, because the Replica asks then how the stream has ended.
        self.queue.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(max_waiting: usize, slow: SlowStreams) -> Arc<StreamQueue> {
        StreamQueue::new(StreamFormat::Events, StreamLimits { max_waiting, slow })
    }

    fn chunk(length: usize) -> Bytes {
        vec![b'x'; length].into()
    }

    fn taken(queue: &StreamQueue) -> Option<usize> {
        queue.lock().take().map(|chunk| chunk.len())
    }

    #[test]
    fn what_waits_together_is_sent_together_up_to_64_kib() {
        let queue = queue(1 << 20, SlowStreams::Close);
        for length in [10, 20, 70_000, 30, JOIN_UP_TO - 30, 1] {
            assert_eq!(queue.push(chunk(length)), Push::Taken);
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| taken(&queue)).collect();
        assert_eq!(sizes, [30, 70_000, JOIN_UP_TO, 1]);
        assert_eq!(queue.lock().waiting, 0);
    }

    #[test]
    fn a_client_that_does_not_read_is_let_go_at_the_limit() {
        let queue = queue(1000, SlowStreams::Close);
        assert_eq!(queue.push(chunk(5000)), Push::Taken, "nothing waits, so any size is taken");
        assert_eq!(queue.push(chunk(1)), Push::TooSlow);
        assert_eq!(queue.push(chunk(1)), Push::Ended);
        let Some(Outcome::Closed(close)) = queue.outcome() else { panic!("it goes on") };
        assert_eq!(close.code(), CloseCode::TRY_AGAIN);
        let last = queue.lock().take().unwrap();
        assert_eq!(last, "event: close\ndata: {\"code\":1013,\"reason\":\"too slow\"}\n\n");
        assert_eq!(taken(&queue), None, "what waited is dropped");
    }

    #[test]
    fn many_small_messages_count_more_than_their_bytes() {
        let queue = queue(10 * (1 + KEEPING), SlowStreams::DropNewest);
        let pushes: Vec<Push> = (0..11).map(|_| queue.push(chunk(1))).collect();
        assert!(pushes[..10].iter().all(|push| *push == Push::Taken));
        assert_eq!(pushes[10], Push::Dropped);
        taken(&queue);
        assert_eq!(queue.push(chunk(1)), Push::Taken, "the stream goes on");
    }

    #[test]
    fn silence_is_broken_once_per_interval_and_only_silence() {
        let queue = queue(1000, SlowStreams::Close);
        queue.keep_alive();
        assert_eq!(taken(&queue), None, "the stream has just begun");
        queue.keep_alive();
        assert_eq!(taken(&queue), Some(3));
        queue.push(chunk(5));
        queue.keep_alive();
        assert_eq!((taken(&queue), taken(&queue)), (Some(5), None));
        queue.keep_alive();
        queue.keep_alive();
        assert_eq!((taken(&queue), taken(&queue)), (Some(3), None), "nothing is added for a client that does not read");
    }

    #[test]
    fn only_the_first_end_counts() {
        let queue = queue(1000, SlowStreams::Close);
        queue.push(chunk(5));
        queue.end(Close::new(CloseCode::NORMAL, ""));
        queue.end(Close::new(CloseCode::POLICY, ""));
        queue.leave();
        assert_eq!(queue.outcome(), Some(Outcome::Closed(Close::new(CloseCode::NORMAL, ""))));
    }
}
