//! A body that never ends: [`Endless`].

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use dog::Result;
use http_body::Frame;

use crate::witness::InFlight;

/// A body that never ends.
pub(crate) struct Endless {
    _seat: InFlight,
}

impl Endless {
    /// It has a seat until it is dropped.
    pub(crate) fn new(seat: InFlight) -> Self {
        Self { _seat: seat }
    }
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}
