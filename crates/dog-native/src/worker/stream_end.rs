//! Ends streamed responses when a server shuts down. Their handlers have been told before. A stream that does not end
//! in time is ended here.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dog::http::{StatusCode, header};
use dog::{Body, Response};
use dog_engine::EventStream;
use http_body::{Frame, SizeHint};

use crate::shutdown_watch::{OpenStream, ShutdownWatch};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long an event stream may continue after its handler was told to end.
const GRACE: Duration = Duration::from_secs(1);

/// In a response that was forwarded from another node: it is an event stream of a Replica there.
#[derive(Clone)]
pub(crate) struct ForwardedEvents;

/// Returns whether the response is an event stream of a Replica, here or on another node.
pub(crate) fn is_event_stream(response: &Response) -> bool {
    response.extensions().get::<EventStream>().is_some() || response.extensions().get::<ForwardedEvents>().is_some()
}

/// Ends the body of a streamed response when its worker shuts down. The worker waits for that.
///
/// An event stream of a Replica is closed with 1012 at a random moment of the time over which sockets are closed: its client
/// gets a last event, and its Replica is told. A client of other server-sent events reconnects too when its stream ends, so
/// such a stream is completed at such a moment. The end of any other stream would look like the end of its content. Such a
/// stream may use all of that time, and is then ended with an error.
pub(crate) fn end_at_shutdown(response: Response, shutdown: impl FnOnce() -> ShutdownWatch) -> Response {
    if !response.body().is_stream() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let events = response.extensions().get::<EventStream>().cloned();
    let completes = events.is_some() || kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
    let mut shutdown = shutdown();
    let stream = shutdown.open_stream();
    let is_due: Pin<Box<dyn Future<Output = ()> + Send>> = if completes {
        Box::pin(async move {
            shutdown.is_due().await;
            if let Some(events) = events {
                // The body goes on, so that the client gets the last event.
                events.restart();
            }
            tokio::time::sleep(GRACE.min(shutdown.times().close)).await;
        })
    } else {
        Box::pin(async move {
            shutdown.begins().await;
            tokio::time::sleep(shutdown.drain_within()).await;
        })
    };
    response.map(|body| Body::stream(Ending { body, is_due: Some(is_due), completes, stream }))
}

#[allow(dead_code, reason = "`stream` is there to be dropped")]
struct Ending {
    body: Body,
    /// `None` once the stream has been ended.
    is_due: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    completes: bool,
    stream: OpenStream,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(is_due) = &mut self.is_due else { return Poll::Ready(None) };
        if is_due.as_mut().poll(context).is_ready() {
            self.is_due = None;
            // The handler that writes to the stream notices this now.
            self.body = Body::empty();
            let broken = || Some(Err("the server restarts".into()));
            return Poll::Ready(if self.completes { None } else { broken() });
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_due.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_due.is_none() { SizeHint::default() } else { self.body.size_hint() }
    }
}
