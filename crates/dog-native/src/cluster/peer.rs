//! Requests, and the sockets that some of them become, that are passed on to another node: HTTP over a TCP connection of
//! their own, once both sides have shown that they know the cluster's secret.
//!
//! The address on which nodes listen for each other is none that clients come to, and what stands in a header here has
//! been put there by a node: whatever a client has sent by that name is taken away before.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use dog::http::{HeaderName, HeaderValue, StatusCode, header};
use dog::internal::Kind;
use dog::{Body, Error, ReplicaId, Request, Response};
use dog_engine::address::{NodeId, ReplicaAddress};
use dog_engine::host::Fetched;
use dog_engine::wire;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Joined;
use super::letter::{Head, arrived};
use super::lifeline;
use crate::front::{hand_over, http, opening_of, take_upgrade};
use crate::newcomers::Newcomers;
use crate::passing::Passage;
use crate::repeats::seldom;
use crate::streams::until_the_end;
use crate::worker::Worker;

/// To whom a request is passed on, in it.
pub(super) const HEAD: HeaderName = HeaderName::from_static("dog-head");
/// What a response is, in it.
const ANSWER: HeaderName = HeaderName::from_static("dog-answer");
const REFUSED: HeaderValue = HeaderValue::from_static("refused");
const FAILED: HeaderValue = HeaderValue::from_static("failed");

/// How long two nodes may take to know each other.
pub(super) const ACQUAINTANCE: Duration = Duration::from_secs(3);
/// Connections at a time that may be of anyone, on all workers: their descriptors are those that clients need too.
const UNKNOWN: usize = 256;
/// How long each of them has to prove what it is when there are too many: many times what a node takes.
const GRACE: Duration = Duration::from_millis(500);
/// How long another node may give no sign of its life on a connection: a network that loses all says nothing of it.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// Bodies up to this length are read before they are passed on, so that a request that is refused can go elsewhere.
const KEPT: usize = 1 << 20;
/// Nodes that may pass a request on, one after the other: more are lost.
const MOST_HOPS: u8 = 3;
/// The longest error or refusal.
const LONGEST_WORD: usize = 64 * 1024;

fn unreachable(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Unreachable, format!("the node of the object cannot be reached: {what}"))
}

/// Passes a request on, and gives the answer.
pub(crate) async fn forward(worker: &Worker, to: NodeId, head: &Head, request: Request) -> Result<Fetched, Error> {
    let Some(abroad) = &worker.abroad else { return Err(unreachable("this server is no node")) };
    if head.hops > MOST_HOPS {
        return Err(unreachable("nobody knows where it lives"));
    }
    let (mut parts, body) = request.into_parts();
    let (sent, kept) = keep(body).await?;
    let mut lasts = abroad.destinations.lasts(&abroad.joined, to);
    let stream = timeout(ACQUAINTANCE, connect(&abroad.joined, to)).await.map_err(unreachable)??;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
    tokio::task::spawn_local(async move {
        // Whatever ends it, whoever waits for the response or the socket hears of.
        let _ = connection.with_upgrades().await;
    });
    let untouched = parts.clone();
    let written = HeaderValue::try_from(BASE64_STANDARD.encode(wire::encode(head)?)).map_err(unreachable)?;
    parts.headers.insert(HEAD, written);
    if !parts.headers.contains_key(header::HOST) {
        parts.headers.insert(header::HOST, HeaderValue::from_static("dog"));
    }
    let mut response = tokio::select! {
        response = sender.send_request(Request::from_parts(parts, sent)) => response.map_err(unreachable)?,
        () = lasts.ends() => return Err(unreachable("it was given up")),
    };
    let answer = response.headers_mut().remove(ANSWER);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let passage = Passage::new(hyper::upgrade::on(&mut response), worker.leaving(), lasts);
        response.extensions_mut().insert(passage);
    }
    let response = response.map(Body::stream);
    match answer {
        Some(answer) if answer == REFUSED => {
            let refusal = wire::decode(&response.into_body().bytes(LONGEST_WORD).await?)?;
            let kept = kept.ok_or_else(|| unreachable("it refused the request, whose body is too long to be kept"))?;
            Ok(Fetched::Refused { request: Request::from_parts(untouched, kept.into()), refusal })
        }
        Some(answer) if answer == FAILED => Err(wire::decode(&response.into_body().bytes(LONGEST_WORD).await?)?),
        Some(_) | None => Ok(Fetched::Response(response)),
    }
}

/// The body to be sent, and what it is if it is short.
async fn keep(body: Body) -> Result<(Body, Option<Bytes>), Error> {
    let short = http_body::Body::size_hint(&body).upper().is_some_and(|length| length <= KEPT as u64);
    if short {
        let bytes = body.bytes(KEPT).await?;
        return Ok((bytes.clone().into(), Some(bytes)));
    }
    Ok((body, None))
}

pub(super) async fn connect(joined: &Joined, to: NodeId) -> Result<TcpStream, Error> {
    let address = joined.ports.directory.address(to).ok_or_else(|| unreachable("it has ended"))?;
    let mut stream = TcpStream::connect(address).await.map_err(unreachable)?;
    tune(&stream);
    let mut challenge = [0; 32];
    stream.read_exact(&mut challenge).await.map_err(unreachable)?;
    let nonce = random()?;
    let proof = prove(&joined.ports.secret, b"connects", to, &challenge, &nonce);
    stream.write_all(&[nonce, proof].concat()).await.map_err(unreachable)?;
    let mut theirs = [0; 32];
    stream.read_exact(&mut theirs).await.map_err(|_| unreachable("it does not know this node"))?;
    if same(&theirs, &prove(&joined.ports.secret, b"accepts", to, &challenge, &nonce)) {
        Ok(stream)
    } else {
        Err(unreachable("somebody else answers at its address"))
    }
}

/// Small frames go out when they are written; and a connection on which nothing waits ends when nothing is heard of the
/// other node. One on which something waits may do so because its reader is busy: see `lifeline`. Where that cannot be had,
/// things take longer, and that is all.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let alive = TcpKeepalive::new().with_time(SILENCE * 2 / 3).with_interval(SILENCE / 15).with_retries(5);
    let _ = SockRef::from(stream).set_tcp_keepalive(&alive);
}

async fn accept_one(joined: &Joined, stream: &mut TcpStream) -> Result<(), Error> {
    let challenge = random()?;
    stream.write_all(&challenge).await.map_err(unreachable)?;
    let (mut nonce, mut proof) = ([0; 32], [0; 32]);
    stream.read_exact(&mut nonce).await.map_err(unreachable)?;
    stream.read_exact(&mut proof).await.map_err(unreachable)?;
    let me = joined.node();
    if me == NodeId::default() || !same(&proof, &prove(&joined.ports.secret, b"connects", me, &challenge, &nonce)) {
        return Err(unreachable("it does not know the secret, or wants another node"));
    }
    let proof = prove(&joined.ports.secret, b"accepts", me, &challenge, &nonce);
    stream.write_all(&proof).await.map_err(unreachable)
}

fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(unreachable)?;
    Ok(bytes)
}

/// HMAC-SHA256 (RFC 2104) over who does what: nobody can say it without the secret, nor say it again.
fn prove(secret: &[u8; 32], act: &[u8], node: NodeId, challenge: &[u8; 32], nonce: &[u8; 32]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(secret).for_each(|(byte, secret)| *byte ^= secret);
        block
    };
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    for part in [b"dog node ", act, &[0], &node.as_u64().to_be_bytes(), challenge, nonce] {
        inner.update(part);
    }
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

/// In the same time whatever they are.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

/// Accepts other nodes' connections on one worker for as long as that runs.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    let mut newcomers = Newcomers::new(UNKNOWN.div_ceil(worker.shared.post.workers()), GRACE);
    loop {
        newcomers.room().await;
        match listener.accept().await {
            Ok((stream, address)) => {
                let task = tokio::task::spawn_local(greet(Rc::clone(&worker), stream, address));
                newcomers.add(address.ip(), task.abort_handle());
            }
            Err(error) => {
                seldom!(
                    error,
                    "a connection of another node could not be accepted",
                    "a connection of another node could not be accepted: {error}"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Finds out whether it is a node that has come, and serves it.
async fn greet(worker: Rc<Worker>, mut stream: TcpStream, address: SocketAddr) {
    let Some(abroad) = &worker.abroad else { return };
    tune(&stream);
    match timeout(ACQUAINTANCE, accept_one(&abroad.joined, &mut stream)).await {
        // In a task of its own: it is no newcomer any more.
        Ok(Ok(())) => drop(tokio::task::spawn_local(serve(Rc::clone(&worker), stream))),
        Ok(Err(error)) => {
            let kind = "a connection to the address of this node refused";
            seldom!(warn, kind, %address, "a connection to the address of this node was refused: {error}");
        }
        Err(_) => {
            let kind = "a connection to the address of this node that says nothing";
            seldom!(warn, kind, %address, "a connection to the address of this node said nothing");
        }
    }
}

async fn serve(worker: Rc<Worker>, stream: TcpStream) {
    let mut http = http(&worker.shared.config);
    http.max_buf_size(worker.shared.config.max_header + 8 * 1024);
    let answer = |request: hyper::Request<hyper::body::Incoming>| {
        let worker = Rc::clone(&worker);
        async move { Ok::<_, std::convert::Infallible>(answer(&worker, request).await) }
    };
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades().await {
        tracing::debug!("a connection of another node ended: {error}");
    }
}

async fn answer(worker: &Rc<Worker>, mut request: hyper::Request<hyper::body::Incoming>) -> Response {
    if let Some(response) = lifeline::take(&mut request) {
        return response;
    }
    let busy = worker.busy();
    let (request, upgrade) = take_upgrade(request);
    let mut response = match fetch(worker, request).await {
        Ok(Fetched::Response(mut response)) => {
            response.headers_mut().remove(ANSWER);
            until_the_end(response, worker.leaving())
        }
        Ok(Fetched::Refused { refusal, .. }) => word(REFUSED, wire::encode(&refusal)),
        Err(error) => word(FAILED, wire::encode(&error)),
    };
    drop(busy);
    if let Some((upgraded, opening)) = upgrade.zip(opening_of(&mut response)) {
        let shared = Arc::clone(&worker.shared);
        tokio::task::spawn_local(async move {
            if let Ok(upgraded) = upgraded.await {
                hand_over(upgraded, opening, &shared, None);
            }
        });
    }
    response
}

fn word(answer: HeaderValue, bytes: Result<Bytes, Error>) -> Response {
    let mut response = Response::new(bytes.unwrap_or_default().into());
    response.headers_mut().insert(ANSWER, answer);
    response
}

async fn fetch(worker: &Rc<Worker>, mut request: Request) -> Result<Fetched, Error> {
    let written = request.headers_mut().remove(HEAD).ok_or_else(|| unreachable("the request is for nobody"))?;
    let written = BASE64_STANDARD.decode(written.as_bytes()).map_err(unreachable)?;
    let Head { group, replica, hops } = wire::decode(&written)?;
    if worker.is_stopping() {
        return Err(unreachable("it ends"));
    }
    let known = group.address(&worker.shared.class_names);
    let group = known.ok_or_else(|| unreachable(format!("App::Groups names no {}", group.class)))?;
    match replica {
        Some((replica, ticket)) => {
            let to = ReplicaAddress { group, replica: ReplicaId::from_bytes(replica) };
            let ticket = arrived(ticket, worker.shared.now());
            worker.fetch_replica_after(to, ticket, request, hops).await
        }
        None => worker.fetch_group_after(group, request, hops).await.map(Fetched::Response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_node_one_act_and_one_conversation() {
        let (secret, challenge, nonce, node) = ([1; 32], [2; 32], [3; 32], NodeId::from_raw(4));
        let proof = prove(&secret, b"connects", node, &challenge, &nonce);
        assert!(same(&proof, &prove(&secret, b"connects", node, &challenge, &nonce)));
        for other in [
            prove(&[0; 32], b"connects", node, &challenge, &nonce),
            prove(&secret, b"accepts", node, &challenge, &nonce),
            prove(&secret, b"connects", NodeId::from_raw(5), &challenge, &nonce),
            prove(&secret, b"connects", node, &nonce, &challenge),
        ] {
            assert!(!same(&proof, &other));
        }
    }
}
