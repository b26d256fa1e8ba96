//! An answer that is owed.

use std::fmt;

use dog::Error;
use dog::internal::Kind;

/// Takes the answer to one call. Dropped without one, it says that there will be none: so nobody waits for an object
/// whose life has ended.
pub struct Reply<T> {
    send: Option<Send<T>>,
}

type Send<T> = Box<dyn FnOnce(Result<T, Error>)>;

impl<T> Reply<T> {
    /// An answer is to be given to `send`.
    pub fn new(send: impl FnOnce(Result<T, Error>) + 'static) -> Self {
        Self { send: Some(Box::new(send)) }
    }

    /// Gives it.
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
