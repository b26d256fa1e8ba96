//! The interface to one JetStream stream: [`MessageStream`]. The streams keep one message per subject, so a subject is
//! a register. A write replaces the value, and it can name the message that it expects to replace (compare-and-set).
//!
//! - [`StreamError`]: what a failed request means
//! - `retry`: requests that are repeated
//! - `jetstream`: the streams of a NATS server
//! - `fake`: an in-memory stream for tests, which loses answers, repeats writes and changes its leader

mod error;
#[cfg(test)]
pub(crate) mod fake;
mod jetstream;
mod retry;

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::BoxStream;

pub(crate) use error::StreamError;
pub(crate) use jetstream::JetStream;
pub(crate) use retry::{RETRY_AFTER, nonce, retry_while};

/// The answer to a request. If it is dropped early, the request may still be executed.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StreamError>> + Send + 'a>>;

/// The changes of a stream. An error ends it.
pub(crate) type Changes = BoxStream<'static, Result<Change, String>>;

/// A message to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) subject: String,
    /// `None` deletes the subject.
    pub(crate) payload: Option<Bytes>,
    /// The number of the message that it must replace. Zero: the subject must have no message. `None`: no condition.
    pub(crate) expected: Option<u64>,
}

impl Put {
    pub(crate) fn new(subject: String, payload: impl Into<Bytes>) -> Self {
        Self { subject, payload: Some(payload.into()), expected: None }
    }

    pub(crate) fn deletion(subject: String) -> Self {
        Self { subject, payload: None, expected: None }
    }

    /// Makes the write fail with [`StreamError::Conflict`] unless the last message of the subject has this number. Zero
    /// means no message.
    pub(crate) fn expecting(mut self, sequence: u64) -> Self {
        self.expected = Some(sequence);
        self
    }
}

/// The last message of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    /// `None` if the subject was deleted.
    pub(crate) payload: Option<Bytes>,
}

/// A message, as a follower of the stream sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    /// `None` if the subject was deleted.
    pub(crate) payload: Option<Bytes>,
}

/// One stream.
pub(crate) trait MessageStream: fmt::Debug + Send + Sync {
    /// Stores a message. Returns its number.
    fn put(&self, put: Put) -> Answer<'_, u64>;

    /// Stores all of these messages or none. Returns the number of the first. The others follow it without a gap.
    fn put_all(&self, puts: Vec<Put>) -> Answer<'_, u64>;

    /// Reads the last message of a subject from the stream's leader. Other servers may not have it yet.
    fn last<'a>(&'a self, subject: &'a str) -> Answer<'a, Option<Stored>>;

    /// Lists the subjects that match a filter and have a message. Deletions count as messages.
    fn subjects<'a>(&'a self, filter: &'a str) -> Answer<'a, Vec<String>>;

    /// Follows the subjects that match a filter: first the last message of each, then every change in the order of the
    /// stream. A message that is replaced before it was delivered may be skipped.
    fn follow<'a>(&'a self, filter: &'a str) -> Answer<'a, Changes>;
}
