//! How a request becomes a connection: a WebSocket, or a stream whose client speaks in requests of its own.

use bytes::Bytes;
use dog::http::Method;
use dog::{Body, Context, Replica, Request, Response, offered_subprotocols, query_param};

use crate::protocol::Codec;
use crate::session::ClientSession;
use crate::streams::{CONNECT, body_codec};

/// The subprotocols of the protocol.
const JSON: &str = "centrifuge-json";
const PROTOBUF: &str = "centrifuge-protobuf";

/// Opens the connection that a request asks for. The App has checked the request.
pub(super) async fn enter<R: Replica>(cx: &Context<R>, request: Request) -> dog::Result<Response> {
    if request.method() == Method::POST {
        return stream(cx, request).await;
    }
    match query_param(&request, CONNECT) {
        Some(first) => Ok(cx.event_stream_with(request, &ClientSession::said(Codec::Json, first.into()))?),
        None => websocket(cx, request),
    }
}

/// HTTP streaming: a line or a message with its length for each reply.
async fn stream<R: Replica>(cx: &Context<R>, request: Request) -> dog::Result<Response> {
    let codec = body_codec(&request);
    let (head, body) = request.into_parts();
    // The App has read it before, and it had fewer.
    let first = body.bytes(usize::MAX).await?;
    let accept = cx.accept(Request::from_parts(head, Body::empty())).attachment(&ClientSession::said(codec, first));
    Ok(match codec {
        // Older clients fail at an empty line. The pings keep the connection alive.
        Codec::Json => accept.quiet_line_stream()?,
        Codec::Protobuf => accept.byte_stream()?,
    })
}

fn websocket<R: Replica>(cx: &Context<R>, request: Request) -> dog::Result<Response> {
    let (codec, subprotocol) = codec(&request);
    let accept = cx.accept(request).attachment(&ClientSession::said(codec, Bytes::new()));
    Ok(match subprotocol {
        Some(name) => accept.subprotocol(name).connect()?,
        None => accept.connect()?,
    })
}

/// How the client of a WebSocket writes messages, and the subprotocol that says so.
fn codec(request: &Request) -> (Codec, Option<&'static str>) {
    let offers = |name: &str| offered_subprotocols(request).any(|offered| offered == name);
    let asks = |name| query_param(request, name).is_some_and(|value| value == "protobuf");
    if offers(PROTOBUF) {
        (Codec::Protobuf, Some(PROTOBUF))
    } else if offers(JSON) {
        (Codec::Json, Some(JSON))
    } else if asks("format") || asks("cf_protocol") {
        (Codec::Protobuf, None)
    } else {
        (Codec::Json, None)
    }
}
