//! Requests and responses: the types of the `http` crate with [`Body`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;

use crate::error::{Error, Kind};

/// A request from outside.
pub type Request = http::Request<Body>;

/// The response to a [`Request`].
pub type Response = http::Response<Body>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Streamed = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>;

/// The body of a request or a response: empty, bytes in memory, or a stream.
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Full(Bytes),
    Stream(Streamed),
}

impl Body {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// A body that takes its bytes from another body as they come.
    pub fn stream<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Inner::Stream(Box::pin(body.map_err(Into::into))))
    }

    /// Reads the whole body.
    ///
    /// Cancel safe in that nothing leaks, but the bytes read so far are lost.
    ///
    /// # Errors
    /// - [`Error::is_too_large`]: the body is longer than `limit` bytes.
    /// - [`Error::is_unreachable`]: the client stopped before the end of the body.
    pub async fn bytes(self, limit: usize) -> Result<Bytes, Error> {
        match Limited::new(self, limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(cause) if cause.is::<http_body_util::LengthLimitError>() => {
                Err(Error::new(Kind::TooLarge, format!("the body is over {limit} bytes")))
            }
            Err(cause) => Err(Error::caused(Kind::Unreachable, "the body ended before it was complete", cause)),
        }
    }

    /// For hosts: whether the response is still being sent after the handler has returned.
    #[doc(hidden)]
    pub fn is_stream(&self) -> bool {
        matches!(self.0, Inner::Stream(_))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Inner::Full(Bytes::from_static(text.as_bytes())))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Inner::Full(text.into()))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Full(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Full(bytes.into()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Empty => formatter.write_str("Body(empty)"),
            Inner::Full(bytes) => write!(formatter, "Body({} bytes)", bytes.len()),
            Inner::Stream(_) => formatter.write_str("Body(stream)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => {
                let frame = Frame::data(std::mem::take(bytes));
                self.0 = Inner::Empty;
                Poll::Ready(Some(Ok(frame)))
            }
            Inner::Stream(stream) => stream.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Full(bytes) => bytes.is_empty(),
            Inner::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream(stream) => stream.size_hint(),
        }
    }
}

/// A response with a plain text body.
///
/// ```
/// use dog::http::StatusCode;
/// assert_eq!(dog::text_response(StatusCode::NOT_FOUND, "no such room").status(), 404);
/// ```
pub fn text_response(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

/// A response with `value` as JSON.
///
/// ```
/// use dog::http::StatusCode;
///
/// #[derive(serde::Serialize)]
/// struct Reached { sockets: usize }
///
/// let response = dog::json_response(StatusCode::OK, &Reached { sockets: 3 })?;
/// assert_eq!(response.headers()["content-type"], "application/json");
/// # Ok::<(), dog::Error>(())
/// ```
///
/// # Errors
/// [`Error::is_encoding`] if `value` cannot be written as JSON, for example a map whose keys are not strings.
pub fn json_response<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Result<Response, Error> {
    let json = serde_json::to_vec(value)
        .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be written as JSON", cause))?;
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

/// The value of the first parameter `name` in the query of a request, percent-decoded. `None` if there is none.
///
/// ```
/// let request = dog::http::Request::get("/ws?u=ann%20b&room=1").body(dog::Body::empty())?;
/// assert_eq!(dog::query_param(&request, "u").as_deref(), Some("ann b"));
/// assert_eq!(dog::query_param(&request, "x"), None);
/// # Ok::<(), dog::http::Error>(())
/// ```
pub fn query_param(request: &Request, name: &str) -> Option<String> {
    query_params(request, name).next()
}

/// The values of all parameters `name` in the query of a request, percent-decoded, in their order.
///
/// ```
/// let request = dog::http::Request::get("/ws?topic=a&u=ann&topic=b").body(dog::Body::empty())?;
/// assert_eq!(dog::query_params(&request, "topic").collect::<Vec<_>>(), ["a", "b"]);
/// # Ok::<(), dog::http::Error>(())
/// ```
pub fn query_params<'a>(request: &'a Request, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = request.uri().query().into_iter().flat_map(|query| query.split('&'));
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(move |(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
}

/// Decodes percent escapes, and `+` as a space, as in forms. Invalid escapes stay as they are.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |at: usize| tail.get(at).and_then(|digit| (*digit as char).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                rest = &tail[2..];
            }
            (b'+', ..) => bytes.push(b' '),
            (other, ..) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        for (text, decoded) in
            [("a+b", "a b"), ("%C3%A4", "ä"), ("100%", "100%"), ("%zz", "%zz"), ("%4", "%4"), ("", "")]
        {
            assert_eq!(decode(text), decoded);
        }
    }
}
