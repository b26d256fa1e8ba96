//! What waits for the client of one event stream: [`StreamQueue`]. The Replica's thread fills it, and the thread that sends the
//! response takes from it, so it has a lock. The lock is held for a few instructions.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dog::internal::{LocalFuture, StreamFormat};
use dog::{Close, CloseCode, Timestamp};
use futures_channel::oneshot;
use futures_util::FutureExt;

use super::encode::{keep_alive, last_words};
use crate::host::{SlowStreams, StreamLimits};

/// What each message counts in addition to its bytes. Without it, many messages of a few bytes could use many times the limit of
/// memory.
const KEEPING: usize = 64;

/// Up to this many bytes, messages that wait together are sent together.
const JOIN_UP_TO: usize = 64 * 1024;

/// Much waits for a client because of a burst if nothing waited this long ago.
const BURST: Duration = Duration::from_secs(1);

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
    /// When the first message was queued that has waited since then.
    since: Timestamp,
    /// How often something was taken.
    taken: u64,
    pace: Pace,
    /// Called when a client that lags has caught up.
    relief: Option<Relief>,
    /// Those that wait until the client has taken everything. They are dropped then.
    drained: Vec<oneshot::Sender<()>>,
    /// Whether nothing was queued since the last [`StreamQueue::keep_alive`].
    quiet: bool,
    /// Set when the stream has its last words: nothing is queued any more.
    outcome: Option<Outcome>,
    /// Wakes the task that sends the response.
    waker: Option<Waker>,
}

/// Tells a host, from any thread, that a client for which senders are held back has caught up.
pub type Relief = Box<dyn FnOnce() + Send>;

/// How well a client keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    /// Little waits for it.
    #[default]
    KeepsUp,
    /// Much waits for it because of a burst, and those who send are held back until it has caught up.
    Lags,
    /// Nobody is held back for it.
    Slow,
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
    /// It is queued, and much waits now because of a burst: see [`StreamQueue::hold_back`].
    Lags,
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
        self.drained.clear();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let first = self.chunks.pop_front()?;
        self.waiting -= first.len() + KEEPING;
        self.taken += 1;
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

    /// Queues a message. A client for which nothing waits gets even a message that is larger than the limit. One that lags has
    /// twice the room, for messages that were on their way when their senders were held back.
    pub(crate) fn push(&self, chunk: Bytes, now: Timestamp) -> Push {
        let (mut state, most) = (self.lock(), self.limits.max_waiting);
        if state.outcome.is_some() {
            return Push::Ended;
        }
        if state.waiting == 0 {
            state.since = now;
        }
        let room = if state.pace == Pace::Lags { most * 2 } else { most };
        if state.waiting == 0 || state.waiting + chunk.len() + KEEPING <= room {
            state.push(chunk);
            return self.judge(&mut state, now);
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

    fn judge(&self, state: &mut State, now: Timestamp) -> Push {
        match state.pace {
            Pace::KeepsUp if state.waiting > self.limits.max_waiting / 2 => {
                state.pace = Pace::Slow;
                let is_burst = now.since(state.since) < BURST && self.limits.slow == SlowStreams::Close;
                if is_burst { Push::Lags } else { Push::Taken }
            }
            Pace::Slow if state.waiting <= self.limits.max_waiting / 4 => {
                state.pace = Pace::KeepsUp;
                Push::Taken
            }
            Pace::KeepsUp | Pace::Lags | Pace::Slow => Push::Taken,
        }
    }

    /// Those who send are held back until the client has caught up. Then `relief` is called.
    pub(crate) fn hold_back(&self, relief: Relief) {
        let mut state = self.lock();
        state.pace = Pace::Lags;
        state.relief = Some(relief);
    }

    /// Whether so little waits that a chunk of this size is sure to be taken.
    pub(crate) fn takes(&self, bytes: usize) -> bool {
        let state = self.lock();
        state.waiting == 0 || state.waiting + bytes + KEEPING <= self.limits.max_waiting / 4
    }

    /// Completes when nothing waits, or the stream has ended.
    pub(crate) fn drained(&self) -> LocalFuture<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.waiting > 0 && state.outcome.is_none() {
            state.drained.push(sender);
        }
        // A sender that is dropped says the same.
        Box::pin(receiver.map(drop))
    }

    fn relieve(&self, state: &mut State) {
        if state.outcome.is_some() || state.waiting == 0 {
            state.drained.clear();
        }
        if state.outcome.is_some() || state.waiting <= self.limits.max_waiting / 4 {
            state.relief.take().into_iter().for_each(|relief| relief());
        }
    }

    /// Queues a comment if nothing was queued since the last call, and nothing waits.
    pub(crate) fn keep_alive(&self) {
        let mut state = self.lock();
        if state.quiet && state.outcome.is_none() && state.chunks.is_empty() {
            keep_alive(self.format).into_iter().for_each(|comment| state.push(comment));
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
        state.drained.clear();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Takes what waits. `Ready(None)` at the end of the stream.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.lock();
        match state.take() {
            Some(chunk) => {
                self.relieve(&mut state);
                Poll::Ready(Some(chunk))
            }
            None if state.outcome.is_some() => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The client takes nothing any more.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.chunks.clear();
        state.waiting = 0;
        state.outcome.get_or_insert(Outcome::Lost);
        self.relieve(&mut state);
    }
}

/// In a response that opens an event stream: the way in which the server that sends it can end it.
#[derive(Clone)]
pub struct EventStream(Arc<StreamQueue>);

impl EventStream {
    pub(crate) fn of(queue: &Arc<StreamQueue>) -> Self {
        Self(Arc::clone(queue))
    }

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

/// What waits for the client of an event stream for which senders are held back.
#[derive(Clone)]
pub struct StreamBacklog(Arc<StreamQueue>);

impl StreamBacklog {
    pub(crate) fn of(queue: &Arc<StreamQueue>) -> Self {
        Self(Arc::clone(queue))
    }

    /// Whether the client has caught up: little waits for it, or it has left. Then it does not lag any more.
    pub fn has_caught_up(&self) -> bool {
        let mut state = self.0.lock();
        let caught_up = state.outcome.is_some() || state.waiting <= self.0.limits.max_waiting / 4;
        if caught_up {
            state.pace = Pace::KeepsUp;
        }
        caught_up
    }

    /// A number that grows whenever the client takes something.
    pub fn taken(&self) -> u64 {
        self.0.lock().taken
    }

    /// The client is too slow: nobody is held back for it any more.
    pub fn is_slow(&self) {
        let mut state = self.0.lock();
        state.pace = Pace::Slow;
        state.relief = None;
    }
}

impl fmt::Debug for StreamBacklog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StreamBacklog")
    }
}

#[cfg(test)]
mod tests;
