//! Event streams: sockets that only send, as the streamed body of a response. They work alike on every host, because a host
//! needs nothing for them but streamed responses.
//!
//! - this file: the response that opens one
//! - `encode`: messages as server-sent events, as lines or as they are
//! - `queue`: what waits for one client; `body`: the body that takes it

mod body;
mod encode;
mod queue;

use dog::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use dog::http::{Method, StatusCode};
use dog::internal::StreamFormat;
use dog::{Body, Request, Response};

pub(crate) use body::body;
pub(crate) use encode::Encoded;
pub use queue::{EventStream, Relief, StreamBacklog};
pub(crate) use queue::{Outcome, Push, StreamQueue};

/// Asks nginx and proxies that follow it to pass on what they get at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The head of the response that opens an event stream.
///
/// # Errors
/// The response with status 405, unless the method is GET, or POST where the client is no `EventSource`.
pub(crate) fn accept(request: &Request, format: StreamFormat) -> Result<Response, Box<Response>> {
    let (methods, content_type) = match format {
        StreamFormat::Events => ("GET", "text/event-stream"),
        StreamFormat::Lines | StreamFormat::QuietLines => ("GET, POST", "application/x-ndjson"),
        StreamFormat::Bytes => ("GET, POST", "application/octet-stream"),
    };
    let is_allowed = match *request.method() {
        Method::GET => true,
        Method::POST => format != StreamFormat::Events,
        _ => false,
    };
    if !is_allowed {
        let text = format!("this stream is opened with {}", methods.replace(", ", " or "));
        let mut response = dog::text_response(StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        return Err(Box::new(response));
    }
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}
