//! Requests and responses: from the types of the platform to those of `dog`, and back.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use dog::http::request::Parts;
use dog::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use dog::internal::{CloseAtOnce, Kind};
use dog::{Body, Close, CloseCode, Error, Request, Response};
use dog_engine::request::HEAD;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::send::SendWrapper;

use crate::platform::{self, WebSocket, WebSocketPair, error_text};

/// The header that says what the response of an object is. It is always replaced too, and never leaves the Worker.
pub(crate) const ANSWER: &str = "dog-answer";

/// A value of [`ANSWER`]: the response of the handler.
pub(crate) const RESPONSE: &str = "response";
/// A value of [`ANSWER`]: the body is the reason why the ticket was refused.
pub(crate) const REFUSAL: &str = "refusal";
/// A value of [`ANSWER`]: the body is an error of this library.
pub(crate) const ERROR: &str = "error";

/// Bodies up to this length, in bytes, are read before the request goes to an object, so that a refused request can go to
/// another one.
const KEPT: usize = 1 << 20;

fn invalid(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::InvalidId, format!("the request cannot be read: {what}"))
}

fn thrown(thrown: &JsValue) -> Error {
    Error::new(Kind::Unreachable, error_text(thrown))
}

/// The platform shows each byte of a header as the character with that number.
fn headers_from_lines<'a>(mut lines: impl Iterator<Item = &'a str>) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?;
        let value = if value.is_ascii() {
            HeaderValue::from_str(value)
        } else {
            let bytes: Vec<u8> = value.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect();
            HeaderValue::from_bytes(&bytes)
        };
        map.append(name, value.map_err(invalid)?);
    }
    Ok(map)
}

/// All headers. The one that `set` names has the value of `set`.
fn headers_to_lines(map: &HeaderMap, set: Option<(&str, &str)>) -> String {
    let mut lines = String::new();
    let mut add = |name: &str, value: &[u8]| {
        lines.push('\n');
        lines.push_str(name);
        lines.push('\n');
        lines.extend(value.iter().map(|byte| char::from(*byte)));
    };
    for (name, value) in map.iter().filter(|(name, _)| set.is_none_or(|(set, _)| *name != set)) {
        add(name.as_str(), value.as_bytes());
    }
    if let Some((name, value)) = set {
        add(name, value.as_bytes());
    }
    lines
}

fn body_from_platform(stream: Option<web_sys::ReadableStream>) -> Body {
    stream.map_or(Body::empty(), |stream| Body::stream(worker::Body::new(stream).map_err(|error| error.to_string())))
}

/// `null`, bytes, or a stream.
fn body_to_platform(body: Body) -> Result<JsValue, Error> {
    if body.is_stream() {
        let stream = worker::Body::from_stream(body.into_data_stream());
        let stream = stream.map_err(|error| Error::new(Kind::Unreachable, error.to_string()))?;
        return Ok(stream.into_inner().map_or(JsValue::NULL, JsValue::from));
    }
    match body.collect().now_or_never() {
        Some(Ok(collected)) => Ok(bytes_to_platform(&collected.to_bytes())),
        Some(Err(_)) | None => Ok(JsValue::NULL),
    }
}

fn bytes_to_platform(bytes: &Bytes) -> JsValue {
    if bytes.is_empty() { JsValue::NULL } else { Uint8Array::from(&bytes[..]).into() }
}

/// A request from outside, or from another object.
pub(crate) fn request_from_platform(request: &web_sys::Request) -> Result<Request, Error> {
    let lines = platform::request_to_lines(request).map_err(|error| thrown(&error))?;
    let mut lines = lines.split('\n');
    let (method, url) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    // The path as in a request of HTTP/1.1, which is what the native host has.
    let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("/");
    let path = path.split('#').next().unwrap_or("/");
    let mut ours = Request::new(body_from_platform(request.body()));
    *ours.method_mut() = Method::from_bytes(method.as_bytes()).map_err(invalid)?;
    *ours.uri_mut() = Uri::try_from(path).map_err(invalid)?;
    *ours.headers_mut() = headers_from_lines(lines)?;
    Ok(ours)
}

/// A request that goes to another object.
pub(crate) struct Sendable {
    parts: Parts,
    body: Sent,
}

enum Sent {
    Kept(Bytes),
    Stream(Cell<Option<Body>>),
}

impl Sendable {
    /// Reads the body if its `content-length` says that it is short.
    pub(crate) async fn new(request: Request) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let body = match length {
            Some(length @ ..=KEPT) => Sent::Kept(body.bytes(length).await?),
            Some(_) | None if body.is_stream() => Sent::Stream(Cell::new(Some(body))),
            Some(_) | None => Sent::Kept(body.bytes(usize::MAX).await?),
        };
        Ok(Self { parts, body })
    }

    /// The request for the platform, with `head` in its header.
    pub(crate) fn to_platform(&self, head: &str) -> Result<web_sys::Request, Error> {
        let body = match &self.body {
            Sent::Kept(bytes) => bytes_to_platform(bytes),
            Sent::Stream(body) => body_to_platform(body.take().unwrap_or_default())?,
        };
        let path = self.parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let lines = headers_to_lines(&self.parts.headers, Some((HEAD.as_str(), head)));
        platform::request_from_lines(self.parts.method.as_str(), &format!("https://dog{path}"), &lines, &body)
            .map_err(|error| thrown(&error))
    }

    /// The request as it was, if its body was read.
    pub(crate) fn into_request(self) -> Option<Request> {
        match self.body {
            Sent::Kept(bytes) => Some(Request::from_parts(self.parts, bytes.into())),
            Sent::Stream(_) => None,
        }
    }
}

/// The client's end of a WebSocket, in the response that opens it. If nobody takes it, the socket is closed.
#[derive(Clone)]
struct Connection(Arc<SendWrapper<Unused>>);

struct Unused(Cell<Option<WebSocket>>);

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            // A failure changes nothing: the socket is gone in any case.
            let _ = socket.accept().and_then(|()| socket.close(1001, ""));
        }
    }
}

/// The response of an object, and the value of its [`ANSWER`].
pub(crate) fn response_from_platform(response: &web_sys::Response) -> Result<(Option<String>, Response), Error> {
    let lines = platform::response_to_lines(response).map_err(|error| thrown(&error))?;
    let mut headers = headers_from_lines(lines.split('\n').skip(1))?;
    let answer = headers.remove(ANSWER).and_then(|answer| answer.to_str().map(str::to_owned).ok());
    let mut ours = Response::new(body_from_platform(response.body()));
    *ours.status_mut() = StatusCode::from_u16(response.status()).map_err(invalid)?;
    *ours.headers_mut() = headers;
    let socket = Reflect::get(response, &"webSocket".into()).unwrap_or_default();
    if socket.is_object() {
        let unused = Unused(Cell::new(Some(socket.unchecked_into())));
        ours.extensions_mut().insert(Connection(Arc::new(SendWrapper(unused))));
    }
    Ok((answer, ours))
}

/// A response for the platform. The response of an object has an `answer`.
pub(crate) fn response_to_platform(response: Response, answer: Option<&str>) -> Result<web_sys::Response, Error> {
    let (mut parts, body) = response.into_parts();
    let connection = parts.extensions.remove::<Connection>().and_then(|connection| connection.0.0.0.take());
    upgrade(parts.status, &parts.headers, body, connection.as_ref(), answer)
}

/// The answer to a request from outside. A connection that the App refuses after the upgrade is closed here, in the Worker that
/// has its request: no object has a part in it.
pub(crate) fn answer_to_platform(mut response: Response) -> Result<web_sys::Response, Error> {
    let Some(CloseAtOnce(close)) = response.extensions_mut().remove::<CloseAtOnce>() else {
        return response_to_platform(response, None);
    };
    let (parts, _) = response.into_parts();
    let theirs = closed_pair(&close).map_err(|error| thrown(&error))?;
    upgrade(parts.status, &parts.headers, Body::empty(), Some(&theirs), None)
}

/// The client's end of a WebSocket whose other end is closed.
fn closed_pair(close: &Close) -> Result<WebSocket, JsValue> {
    let pair = WebSocketPair::new()?;
    let (theirs, ours) = (pair.get(0), pair.get(1));
    ours.accept()?;
    match CloseCode::new(close.code().as_u16()) {
        Some(code) => ours.close(code.as_u16(), close.reason())?,
        None => ours.close_without_code()?,
    }
    Ok(theirs)
}

/// A response for the platform, with the client's end of a WebSocket.
pub(crate) fn upgrade(
    status: StatusCode,
    headers: &HeaderMap,
    body: Body,
    socket: Option<&WebSocket>,
    answer: Option<&str>,
) -> Result<web_sys::Response, Error> {
    let no_body = matches!(status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if no_body { JsValue::NULL } else { body_to_platform(body)? };
    let lines = headers_to_lines(headers, answer.map(|answer| (ANSWER, answer)));
    platform::response_from_lines(status.as_u16(), &lines, &body, socket).map_err(|error| thrown(&error))
}
