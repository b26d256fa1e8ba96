//! What is wrong with a key, a setting or a session: [`DoorError`].

use std::fmt;

/// A key, a setting or the claims of a session cannot be used. Its text says why and what to do. It is about the program, never
/// about the token of a client: that is a [`Denied`](crate::Denied).
#[derive(Clone, PartialEq, Eq)]
pub struct DoorError(String);

impl DoorError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for DoorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for DoorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for DoorError {}
