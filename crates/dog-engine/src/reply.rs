//! The answer to one call: [`Reply`].

use std::fmt;

use dog::Error;
use dog::internal::Kind;

/// Takes the answer to one call. Dropped without an answer, it sends an error, so no caller waits for an object whose life has
/// ended.
pub struct Reply<T> {
    send: Option<Send<T>>,
}

type Send<T> = Box<dyn FnOnce(Result<T, Error>)>;

impl<T> Reply<T> {
    /// Passes the answer to `send`.
    pub fn new(send: impl FnOnce(Result<T, Error>) + 'static) -> Self {
        Self { send: Some(Box::new(send)) }
    }

    /// Sends the answer.
    pub fn send(mut self, answer: Result<T, Error>) {
        if let Some(send) = self.send.take() {
            send(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(send) = self.send.take() {
            send(Err(Error::new(Kind::Unreachable, "the object ended before it answered")));
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reply")
    }
}
