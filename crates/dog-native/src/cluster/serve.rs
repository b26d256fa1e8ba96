//! Requests from other nodes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use dog::http::HeaderValue;
use dog::internal::Identity;
use dog::{Error, ReplicaId, Request, Response};
use dog_engine::address::ReplicaAddress;
use dog_engine::host::Fetched;
use dog_engine::wire;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::headers::{ADDED_BYTES, ADDED_HEADERS, ANSWER, EVENTS, FAILED, HEAD, REFUSED};
use super::message::{RequestHead, received_ticket};
use super::peer_auth::{Accepted, authenticate, unreachable};
use super::peer_watch;
use crate::newcomers::Newcomers;
use crate::repeats::seldom;
use crate::upgrade::{Handover, http, take_upgrade};
use crate::worker::Worker;
use crate::worker::stream_end::{end_at_shutdown, is_event_stream};

/// The most unauthenticated connections, over all workers. They use descriptors that clients need too.
const UNAUTHENTICATED: usize = 256;
/// How long each of them is always kept when there are too many: many times what a node needs.
const GRACE: Duration = Duration::from_millis(500);

/// Accepts the connections of other nodes on one worker, for as long as the worker runs.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    let mut newcomers = Newcomers::new(UNAUTHENTICATED.div_ceil(worker.shared().post.workers()), GRACE);
    loop {
        newcomers.room().await;
        match listener.accept().await {
            Ok((stream, address)) => {
                let task = tokio::task::spawn_local(greet(Rc::clone(&worker), stream, address));
                newcomers.add(address.ip(), task.abort_handle());
            }
            Err(error) => {
                let kind = "a connection of another node could not be accepted";
                seldom!(error, kind, "a connection of another node could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves the connection if it comes from a node.
async fn greet(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr) {
    let Some(node) = &worker.shared().node else { return };
    let authenticated = authenticate(node, stream).await;
    if !matches!(authenticated, Some(Ok(_))) {
        worker.counters().nodes_refused.one();
    }
    match authenticated {
        // In a task of its own, because it no longer counts as unauthenticated.
        Some(Ok(Accepted::Plain(stream))) => drop(tokio::task::spawn_local(serve(Rc::clone(&worker), stream))),
        Some(Ok(Accepted::Encrypted(stream))) => drop(tokio::task::spawn_local(serve(Rc::clone(&worker), stream))),
        Some(Err(error)) => {
            let kind = "a connection to the address of this node refused";
            seldom!(warn, kind, %address, "a connection to the address of this node was refused: {error}");
        }
        None => {
            let kind = "a connection to the address of this node that says nothing";
            let hint = if node.tls().is_some() { ", as a node without node_tls does" } else { "" };
            seldom!(warn, kind, %address, "a connection to the address of this node said nothing{hint}");
        }
    }
}

async fn serve(worker: Rc<Worker>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let mut http = http(&worker.shared().config);
    // Leaves room for the headers that the other node adds. By default hyper takes 100.
    http.max_buf_size(worker.shared().config.max_header + ADDED_BYTES).max_headers(100 + ADDED_HEADERS);
    let answer = |request: hyper::Request<hyper::body::Incoming>| {
        let worker = Rc::clone(&worker);
        async move { Ok::<_, std::convert::Infallible>(answer(&worker, request).await) }
    };
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades().await {
        tracing::debug!("a connection of another node ended: {error}");
    }
}

async fn answer(worker: &Rc<Worker>, mut request: hyper::Request<hyper::body::Incoming>) -> Response {
    if let Some(response) = peer_watch::accept(&mut request) {
        return response;
    }
    let busy = worker.shutdown().hold();
    let (request, upgrade) = take_upgrade(request);
    let mut response = match fetch(worker, request).await {
        Ok(Fetched::Response(mut response)) => {
            response.headers_mut().remove(ANSWER);
            if is_event_stream(&response) {
                response.headers_mut().insert(ANSWER, EVENTS);
            }
            end_at_shutdown(response, || worker.shutdown().watch())
        }
        Ok(Fetched::Refused { refusal, .. }) => reply(REFUSED, wire::encode(&refusal)),
        Err(error) => reply(FAILED, wire::encode(&error)),
    };
    drop(busy);
    if let Some(handover) = Handover::of(upgrade, &mut response) {
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move { handover.complete(worker.shared(), worker.index(), None).await });
    }
    response
}

fn reply(answer: HeaderValue, bytes: Result<Bytes, Error>) -> Response {
    let mut response = Response::new(bytes.unwrap_or_default().into());
    response.headers_mut().insert(ANSWER, answer);
    response
}

async fn fetch(worker: &Rc<Worker>, mut request: Request) -> Result<Fetched, Error> {
    let encoded = request.headers_mut().remove(HEAD).ok_or_else(|| unreachable("the request names no object"))?;
    let encoded = BASE64_STANDARD.decode(encoded.as_bytes()).map_err(unreachable)?;
    let RequestHead { group, replica, identity, peer, hops } = wire::decode(&encoded)?;
    if let Some(peer) = peer {
        dog::set_peer_address(&mut request, peer);
    }
    if let Some(identity) = identity {
        request.extensions_mut().insert(Identity(identity));
    }
    if worker.shutdown().is_stopping() {
        return Err(unreachable("it is shutting down"));
    }
    let known = group.address(&worker.shared().class_names);
    let group = known.ok_or_else(|| unreachable(format!("App::Groups does not name {}", group.class)))?;
    match replica {
        Some((replica, ticket)) => {
            let to = ReplicaAddress { group, replica: ReplicaId::from_bytes(replica) };
            let ticket = received_ticket(ticket, worker.shared().now());
            worker.forwarded_to_replica(to, ticket, request, hops).await
        }
        None => worker.forwarded_to_group(group, request, hops).await.map(Fetched::Response),
    }
}
