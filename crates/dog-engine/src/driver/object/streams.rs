//! Responses of an object that are being streamed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use dog::{Body, Response};
use http_body::{Frame, SizeHint};

use crate::host::SeatGuard;

/// Counts the streamed responses of one object. A stream may need the object's value, so the object does not hibernate
/// while there are any. Bodies are sent on other threads, so the count is atomic.
#[derive(Debug, Default)]
pub(in crate::driver) struct Streams(Arc<AtomicUsize>);

impl Streams {
    pub(in crate::driver) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// Counts the response until its body was sent or dropped, and holds the seat of its request for the same time. A
    /// response that is not streamed is returned as it is.
    pub(in crate::driver) fn count(&self, response: Response, seat: Option<Arc<dyn SeatGuard>>) -> Response {
        if !response.body().is_stream() {
            return response;
        }
        self.0.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(Arc::clone(&self.0));
        response.map(|body| Body::stream(CountedBody { body, counted, seat }))
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[allow(dead_code, reason = "two fields are there to be dropped, in this order")]
struct CountedBody {
    body: Body,
    counted: Counted,
    /// Dropped last: the release of the seat makes the Replica check whether it can hibernate.
    seat: Option<Arc<dyn SeatGuard>>,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
