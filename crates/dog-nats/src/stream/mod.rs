//! What this crate needs of one JetStream stream: [`MessageStream`]. The streams keep one message per subject, so a subject is a
//! register: a write replaces the value, and it can demand which message it replaces.
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

/// The answer to a request. Dropped early, the request may have been done all the same.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StreamError>> + Send + 'a>>;

/// The changes of a stream. An error ends it.
pub(crate) type Changes = BoxStream<'static, Result<Change, String>>;

/// A message to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) subject: String,
    /// Nothing deletes the subject.
    pub(crate) payload: Option<Bytes>,
    /// The number of the message that it replaces; zero if the subject has none. Otherwise the write fails.
    pub(crate) expected: Option<u64>,
}

impl Put {
    pub(crate) fn new(subject: String, payload: impl Into<Bytes>) -> Self {
        Self { subject, payload: Some(payload.into()), expected: None }
    }

    pub(crate) fn deletion(subject: String) -> Self {
        Self { subject, payload: None, expected: None }
    }

    /// The write fails with [`StreamError::Conflict`] unless the last message of the subject has this number; zero stands
    /// for no message.
    pub(crate) fn expecting(mut self, sequence: u64) -> Self {
        self.expected = Some(sequence);
        self
    }
}

/// The last message of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    /// Nothing if the subject was deleted.
    pub(crate) payload: Option<Bytes>,
}

/// A message, as a follower of the stream sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    /// Nothing if the subject was deleted.
    pub(crate) payload: Option<Bytes>,
}

/// One stream.
pub(crate) trait MessageStream: fmt::Debug + Send + Sync {
    /// Stores a message and gives its number.
    fn put(&self, put: Put) -> Answer<'_, u64>;

    /// Stores all of these messages or none, and gives the number of the first. The others follow it without a gap.
    fn put_all(&self, puts: Vec<Put>) -> Answer<'_, u64>;

    /// The last message of a subject, as the stream's leader has it. Other servers may not have it yet.
    fn last<'a>(&'a self, subject: &'a str) -> Answer<'a, Option<Stored>>;

    /// The subjects that match a filter and have a message, deletions among them.
    fn subjects<'a>(&'a self, filter: &'a str) -> Answer<'a, Vec<String>>;

    /// The last message of each subject that matches the filter, and then every change in the order of the stream. A message
    /// that was replaced before it could be delivered is left out.
    fn follow<'a>(&'a self, filter: &'a str) -> Answer<'a, Changes>;
}
