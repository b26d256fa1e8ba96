//! The body of the response that is an event stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use dog::Body;
use http_body::Frame;

use super::queue::StreamQueue;
use crate::host::SeatGuard;

/// The body that takes from `queue`. `seat` is released when the body has ended or was dropped.
pub(crate) fn body(queue: Arc<StreamQueue>, seat: Arc<dyn SeatGuard>) -> Body {
    Body::stream(EventBody { queue, seat })
}

#[allow(dead_code, reason = "the seat is there to be dropped")]
struct EventBody {
    queue: Arc<StreamQueue>,
    seat: Arc<dyn SeatGuard>,
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.queue.poll_take(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        // Before the seat is released, because the Replica asks then how the stream has ended.
        self.queue.leave();
    }
}
