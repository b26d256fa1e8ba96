//! Streamed responses at the end of a server: whoever streams has been told, and what has not ended by its turn is ended.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dog::http::{StatusCode, header};
use dog::{Body, Response};
use http_body::{Frame, SizeHint};

use crate::passing::{Counted, Leaving};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long whoever streams has for its last words, from its turn on.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Ends the response's body when the worker ends and its turn has come; until then the worker waits for it.
///
/// A client of server-sent events that reads the end of its stream connects again, so that such a stream is completed, at
/// random within the time in which sockets are closed. Of any other stream the end would be taken for the end of what it
/// carries: it has all of that time, and is broken off then.
pub(crate) fn until_the_end(response: Response, leaving: Leaving) -> Response {
    if !response.body().is_stream() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let completes = kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
    let counted = Counted::new(leaving.clone());
    let is_due: Pin<Box<dyn Future<Output = ()> + Send>> = if completes {
        Box::pin(async move {
            let mut leaving = leaving;
            leaving.is_due().await;
            tokio::time::sleep(LAST_WORDS.min(leaving.times.close)).await;
        })
    } else {
        Box::pin(async move {
            let mut leaving = leaving;
            leaving.begins().await;
            tokio::time::sleep(leaving.within).await;
        })
    };
    response.map(|body| Body::stream(Ending { body, is_due: Some(is_due), completes, counted }))
}

#[allow(dead_code, reason = "`counted` is there to be dropped")]
struct Ending {
    body: Body,
    /// `None` once the stream has been ended.
    is_due: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    completes: bool,
    counted: Counted,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(is_due) = &mut self.is_due else { return Poll::Ready(None) };
        if is_due.as_mut().poll(context).is_ready() {
            self.is_due = None;
            // What feeds it learns of it now.
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
