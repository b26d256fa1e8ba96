//! The opening handshake of a WebSocket (RFC 6455, section 4.2).

use std::collections::HashSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use dog::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use dog::http::{Method, StatusCode, Version};
use dog::{Body, Request, Response};
use sha1::{Digest, Sha1};

mod deflate;

pub use deflate::Deflate;

/// What the server appends to the key before it hashes it (section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Decodes a key. The last digit has four bits without meaning, and clients may set them: a key in RFC 6455 itself,
/// `AQIDBAUGBwgJCgsMDQ4PEC==`, does.
const KEY: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Whether a request asks for a WebSocket, even if the handshake is wrong.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    names(headers, &UPGRADE, "websocket")
}

/// The response that accepts the WebSocket.
///
/// # Errors
/// The response that says what is wrong with the request, with status 405, 426 or 400.
pub fn accept(request: &Request) -> Result<Response, Box<Response>> {
    let headers = request.headers();
    if request.method() != Method::GET {
        let response = refuse(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened with GET", ALLOW, "GET");
        return Err(Box::new(response));
    }
    if request.version() < Version::HTTP_11 || !is_asked_for(headers) {
        let response =
            refuse(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket: send Upgrade: websocket", UPGRADE, "websocket");
        return Err(Box::new(response));
    }
    if !names(headers, &CONNECTION, "upgrade") {
        return Err(Box::new(dog::text_response(StatusCode::BAD_REQUEST, "the header Connection: Upgrade is missing")));
    }
    let mut versions = headers.get_all(SEC_WEBSOCKET_VERSION).iter();
    let version = versions.next();
    if versions.next().is_some() {
        return Err(Box::new(dog::text_response(
            StatusCode::BAD_REQUEST,
            "the header Sec-WebSocket-Version must appear once",
        )));
    }
    if version.is_none_or(|version| version != "13") {
        let text = "only version 13 of the WebSocket protocol is supported: send Sec-WebSocket-Version: 13";
        let response = refuse(StatusCode::UPGRADE_REQUIRED, text, SEC_WEBSOCKET_VERSION, "13");
        return Err(Box::new(response));
    }
    if has_body(headers) {
        // A proxy and this server might disagree where the body ends and the WebSocket begins.
        return Err(Box::new(dog::text_response(
            StatusCode::BAD_REQUEST,
            "a request that opens a WebSocket must have no body",
        )));
    }
    let Some(key) = key(headers) else {
        let text = "the header Sec-WebSocket-Key must appear once, with 16 bytes in base64";
        return Err(Box::new(dog::text_response(StatusCode::BAD_REQUEST, text)));
    };
    check_subprotocols(headers)?;
    Ok(switch(key))
}

/// Checks the subprotocols that a client offers (section 4.1): each is a token, and stands there once.
///
/// # Errors
/// The response that refuses the request, with status 400.
pub fn check_subprotocols(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let mut lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let mut offered = HashSet::new();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    // A list may have empty elements (RFC 9110, section 5.6.1).
    let are_valid = names.filter(|name| !name.is_empty()).all(|name| is_token(name) && offered.insert(name));
    if are_valid && !offered.is_empty() {
        return Ok(());
    }
    let text = "the header Sec-WebSocket-Protocol must list tokens, each of them once";
    Err(Box::new(dog::text_response(StatusCode::BAD_REQUEST, text)))
}

/// A token of RFC 9110, section 5.6.2.
fn is_token(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn refuse(status: StatusCode, text: &str, name: HeaderName, value: &'static str) -> Response {
    let mut response = dog::text_response(status, text);
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

/// Whether one of the header's comma-separated values is `token`. Upper and lower case are equal.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// Whether a body is announced. An empty chunked body counts too.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get_all(CONTENT_LENGTH).iter().any(|length| !is_zero(length))
}

fn is_zero(length: &HeaderValue) -> bool {
    !length.is_empty() && length.as_bytes().iter().all(|digit| *digit == b'0')
}

fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else { return None };
    let decoded = KEY.decode(key.as_bytes()).ok()?;
    (decoded.len() == 16).then_some(key.as_bytes())
}

fn switch(key: &[u8]) -> Response {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(KEY_SUFFIX);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(value) = HeaderValue::from_str(&BASE64_STANDARD.encode(hash.finalize())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::http;

    fn proper() -> http::request::Builder {
        http::Request::get("/ws")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
    }

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_example_of_the_standard() {
        let request = proper().header("sec-websocket-key", KEY).body(Body::empty()).unwrap();
        let response = accept(&request).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn everything_that_the_standard_allows_is_accepted() {
        let get = || http::Request::get("/ws").header("sec-websocket-version", "13").header("sec-websocket-key", KEY);
        let proper = || http::Request::get("/ws").header("sec-websocket-version", "13");
        let proper = || proper().header("connection", "Upgrade").header("upgrade", "websocket");
        let cases = [
            // The key of RFC 6455, section 4.1, and other ways in which the last digit can end.
            proper().header("sec-websocket-key", "AQIDBAUGBwgJCgsMDQ4PEC=="),
            proper().header("sec-websocket-key", "AQIDBAUGBwgJCgsMDQ4PEA=="),
            proper().header("sec-websocket-key", "AQIDBAUGBwgJCgsMDQ4PEP=="),
            proper().header("sec-websocket-key", KEY).header("content-length", "0"),
            proper().header("sec-websocket-key", KEY).header("content-length", "00"),
            get().header("connection", "keep-alive,\tUPGRADE ,x").header("upgrade", "WEBSOCKET"),
            get().header("connection", "keep-alive").header("connection", "upgrade").header("upgrade", "websocket"),
            get().header("connection", ", upgrade,").header("upgrade", "h2c , websocket"),
            get().header("connection", "upgrade").header("upgrade", "h2c").header("upgrade", "websocket"),
            proper().header("sec-websocket-key", KEY).header("sec-websocket-protocol", "v1.chat,\tV1.chat , ,x"),
            proper()
                .header("sec-websocket-key", KEY)
                .header("sec-websocket-protocol", "a")
                .header("sec-websocket-protocol", "b!#$%&'*+-.^_`|~"),
        ];
        for (at, request) in cases.into_iter().enumerate() {
            let answer = accept(&request.body(Body::empty()).unwrap());
            assert!(answer.is_ok(), "case {at}: {answer:?}");
        }
    }

    #[test]
    fn a_request_that_is_not_a_handshake_is_refused_with_the_reason() {
        let get = || http::Request::get("/ws");
        let offers = |names: &str| proper().header("sec-websocket-key", KEY).header("sec-websocket-protocol", names);
        let cases = [
            (proper().method("POST").header("sec-websocket-key", KEY), 405, "allow"),
            (get(), 426, "upgrade"),
            (get().header("upgrade", "websocket").header("sec-websocket-key", KEY), 400, "content-type"),
            (
                get()
                    .header("upgrade", "websocket")
                    .header("connection", "upgrade")
                    .header("sec-websocket-version", "8"),
                426,
                "sec-websocket-version",
            ),
            (proper(), 400, "content-type"),
            (proper().header("sec-websocket-key", "c2hvcnQ="), 400, "content-type"),
            (proper().header("sec-websocket-key", "no base64"), 400, "content-type"),
            (proper().header("sec-websocket-key", KEY).header("sec-websocket-key", KEY), 400, "content-type"),
            (proper().header("sec-websocket-key", KEY).header("transfer-encoding", "chunked"), 400, "content-type"),
            (proper().header("sec-websocket-key", KEY).header("content-length", "5"), 400, "content-type"),
            (proper().header("sec-websocket-key", KEY).header("sec-websocket-version", "13"), 400, "content-type"),
            (proper().header("sec-websocket-key", KEY).header("sec-websocket-version", "8"), 400, "content-type"),
            (proper().version(http::Version::HTTP_10).header("sec-websocket-key", KEY), 426, "upgrade"),
            // Keys without padding, with too much of it, in another alphabet, in two parts.
            (proper().header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"), 400, "content-type"),
            (proper().header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==="), 400, "content-type"),
            (proper().header("sec-websocket-key", "-_-_IHNhbXBsZSBub25jZQ=="), 400, "content-type"),
            (proper().header("sec-websocket-key", "dGhlIHNhbXBsZSBu, b25jZQ=="), 400, "content-type"),
            // Subprotocols: none, one that is no token, one that is there twice.
            (offers(""), 400, "content-type"),
            (offers(","), 400, "content-type"),
            (offers("a b"), 400, "content-type"),
            (offers("a, b/c"), 400, "content-type"),
            (offers("\"a\""), 400, "content-type"),
            (offers("a, b, a"), 400, "content-type"),
            (offers("a").header("sec-websocket-protocol", "a"), 400, "content-type"),
        ];
        for (at, (request, status, header)) in cases.into_iter().enumerate() {
            let response = accept(&request.body(Body::empty()).unwrap()).unwrap_err();
            assert_eq!(response.status(), status, "case {at}");
            assert!(response.headers().contains_key(header), "case {at}");
        }
    }
}
