//! Forwards requests to objects on another node, and the sockets that some of them open. Each uses HTTP over a TCP
//! connection of its own.

use std::sync::Arc;

use bytes::Bytes;
use dog::http::request::Parts;
use dog::http::{HeaderValue, StatusCode, header};
use dog::{Body, Error, Request, Response};
use dog_engine::address::NodeId;
use dog_engine::host::Fetched;
use dog_engine::wire;
use hyper_util::rt::TokioIo;

use super::headers::{ANSWER, EVENTS, FAILED, HEAD, REFUSED};
use super::message::RequestHead;
use super::node::Node;
use super::peer_auth::{connect, unreachable};
use super::peer_watch::PeerWatch;
use crate::shutdown_watch::ShutdownWatch;
use crate::tunnel::Tunnel;
use crate::worker::stream_end::ForwardedEvents;

/// Bodies up to this many bytes are read before they are forwarded, so that a refused request can be sent elsewhere.
const BUFFERED: usize = 1 << 20;
/// The most nodes that may forward a request, one after the other. It stops requests that nodes with outdated routes
/// pass around.
const MAX_HOPS: u8 = 3;
/// The longest error or refusal, in bytes.
const LONGEST_ERROR: usize = 64 * 1024;

/// Forwards requests to other nodes.
#[derive(Clone)]
pub(crate) struct Forwarder {
    node: Arc<Node>,
    peers: PeerWatch,
}

impl Forwarder {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { peers: PeerWatch::new(Arc::clone(&node)), node }
    }

    /// Ends everything that is forwarded to a node, because the node has ended.
    pub(crate) fn node_gone(&self, node: NodeId) {
        self.peers.gone(node);
    }

    /// Forwards a request and returns the answer. If the answer opens a socket, its bytes go through a tunnel, which
    /// ends when `shutdown` says so.
    pub(crate) async fn forward(
        &self,
        to: NodeId,
        head: &RequestHead,
        request: Request,
        shutdown: ShutdownWatch,
    ) -> Result<Fetched, Error> {
        if head.hops > MAX_HOPS {
            return Err(unreachable("too many nodes have forwarded the request"));
        }
        let (mut parts, body) = request.into_parts();
        let (sent, buffered) = buffer(body).await?;
        let mut alive = self.peers.watch(to);
        let stream = connect(&self.node, to).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        tokio::task::spawn_local(async move {
            // If it fails, the waiting response or socket gets the error.
            let _ = connection.with_upgrades().await;
        });
        let unchanged = parts.clone();
        add_headers(&mut parts, head)?;
        let mut response = tokio::select! {
            response = sender.send_request(Request::from_parts(parts, sent)) => response.map_err(unreachable)?,
            () = alive.ends() => return Err(unreachable("it was given up")),
        };
        let answer = response.headers_mut().remove(ANSWER);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let other_end = hyper::upgrade::on(&mut response);
            let tunnel = Tunnel::new(other_end, shutdown.open_stream(), alive);
            response.extensions_mut().insert(tunnel);
        }
        let response = response.map(Body::stream);
        fetched(response, answer.as_ref(), || buffered.map(|body| Request::from_parts(unchanged, body.into()))).await
    }
}

fn add_headers(parts: &mut Parts, head: &RequestHead) -> Result<(), Error> {
    let encoded = HeaderValue::try_from(head.to_header()?).map_err(unreachable)?;
    parts.headers.insert(HEAD, encoded);
    if !parts.headers.contains_key(header::HOST) {
        parts.headers.insert(header::HOST, HeaderValue::from_static("dog"));
    }
    Ok(())
}

/// Interprets a response: the answer of the object, a refusal, or an error. `request` returns the original request, if
/// it was kept.
async fn fetched(
    response: Response,
    answer: Option<&HeaderValue>,
    request: impl FnOnce() -> Option<Request>,
) -> Result<Fetched, Error> {
    match answer {
        Some(answer) if answer == REFUSED => {
            let refusal = wire::decode(&response.into_body().bytes(LONGEST_ERROR).await?)?;
            let request =
                request().ok_or_else(|| unreachable("it refused the request, whose body is too long to be kept"))?;
            Ok(Fetched::Refused { request, refusal })
        }
        Some(answer) if answer == FAILED => Err(wire::decode(&response.into_body().bytes(LONGEST_ERROR).await?)?),
        Some(answer) if answer == EVENTS => {
            let mut response = response;
            response.extensions_mut().insert(ForwardedEvents);
            Ok(Fetched::Response(response))
        }
        Some(_) | None => Ok(Fetched::Response(response)),
    }
}

/// Returns the body to be sent, and its bytes if it is short.
async fn buffer(body: Body) -> Result<(Body, Option<Bytes>), Error> {
    let is_short = http_body::Body::size_hint(&body).upper().is_some_and(|length| length <= BUFFERED as u64);
    if is_short {
        let bytes = body.bytes(BUFFERED).await?;
        return Ok((bytes.clone().into(), Some(bytes)));
    }
    Ok((body, None))
}
