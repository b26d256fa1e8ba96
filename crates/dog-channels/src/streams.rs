//! Streams for clients that cannot open a WebSocket: the checks of their requests, which the App makes before an object is asked.

use dog::http::{Method, StatusCode, header};
use dog::{Body, Request, Response, query_param, text_response};

use crate::protocol::Codec;

/// The parameter of the query in which a client of an event stream says who it is.
pub(crate) const CONNECT: &str = "cf_connect";

/// The most bytes of the first commands of a stream: 12 KiB. They wait with the new connection.
pub const MAX_FIRST: usize = 12 * 1024;

/// How the body of a request is written.
pub(crate) fn body_codec(request: &Request) -> Codec {
    let kind = request.headers().get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"application/octet-stream")) { Codec::Protobuf } else { Codec::Json }
}

/// Reads the body of a request for a stream, and checks it. The request has it again then.
pub(crate) async fn check_body(request: Request) -> dog::Result<Result<Request, Box<Response>>> {
    if request.method() != Method::POST {
        return Ok(Err(Box::new(only("POST"))));
    }
    let codec = body_codec(&request);
    let (head, body) = request.into_parts();
    let first = body.bytes(MAX_FIRST).await?;
    Ok(check(codec, &first).map(|()| Request::from_parts(head, Body::from(first))))
}

/// Checks the query of a request for an event stream.
pub(crate) fn check_query(request: &Request) -> Result<(), Box<Response>> {
    if request.method() != Method::GET {
        return Err(Box::new(only("GET")));
    }
    let first = query_param(request, CONNECT).unwrap_or_default();
    if first.len() > MAX_FIRST {
        let text = "the first command has 12 KiB at most";
        return Err(Box::new(text_response(StatusCode::URI_TOO_LONG, text)));
    }
    check(Codec::Json, first.as_bytes())
}

/// A stream that does not begin with who the client is can never become a connection.
fn check(codec: Codec, first: &[u8]) -> Result<(), Box<Response>> {
    let commands = codec.commands(first).unwrap_or_default();
    if commands.first().is_some_and(|command| command.connect.is_some()) {
        return Ok(());
    }
    Err(Box::new(text_response(StatusCode::BAD_REQUEST, "a stream begins with the command `connect`")))
}

/// The answer to another method than this.
pub(crate) fn only(method: &'static str) -> Response {
    let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, format!("only {method}"));
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(method));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_begins_with_connect() {
        assert!(check(Codec::Json, br#"{"id":1,"connect":{}}"#).is_ok());
        for wrong in [&b""[..], b"{}", b"nonsense", br#"{"id":1,"subscribe":{"channel":"a"}}"#, b"\xff"] {
            assert_eq!(check(Codec::Json, wrong).unwrap_err().status(), 400);
            assert_eq!(check(Codec::Protobuf, wrong).unwrap_err().status(), 400);
        }
    }
}
