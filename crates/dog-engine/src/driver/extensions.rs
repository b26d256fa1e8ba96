//! What the engine puts into the extensions of requests and responses on their way between the front and a Replica.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use dog::http::Extensions;
use dog::internal::{Identity, Logs, PeerAddress, StreamFormat, Streams};
use dog::{Format, Request, SocketId};

use crate::address::{ReplicaAddress, SeatId};
use crate::handshake::Deflate;
use crate::host::SeatGuard;
use crate::request::HEAD;

/// Marks a request that has a seat, and the response that opens a socket for it. The type is private, so a request from
/// outside cannot carry one.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatMark(pub(super) SeatId);

/// In a response that opens an event stream: how messages are written to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpensStream(pub(super) StreamFormat, pub(super) Streams);

/// In a response that opens a socket: the first attachment of the socket.
#[derive(Clone)]
pub(super) struct FirstAttachment(pub(super) Bytes);

/// In a response that opens a socket: in which form it gets publications, if not in the default one.
#[derive(Clone, Copy)]
pub(super) struct FirstFormat(pub(super) Format);

/// In a response that opens a socket: what others send waits for the end of its `on_open`.
#[derive(Clone, Copy)]
pub(super) struct OnOpenFirst(pub(super) Logs);

/// In a response that opens a WebSocket: the socket that the connection is to be handed to. If the response is dropped
/// unused, the socket ends.
#[derive(Clone)]
pub struct Upgrade {
    replica: ReplicaAddress,
    socket: SocketId,
    guard: Arc<dyn SeatGuard>,
}

impl Upgrade {
    pub(super) fn new(replica: ReplicaAddress, socket: SocketId, guard: Arc<dyn SeatGuard>) -> Self {
        Self { replica, socket, guard }
    }

    /// The Replica and the socket. From now on the caller is responsible for the socket.
    pub fn accept(self) -> (ReplicaAddress, SocketId) {
        self.guard.disarm();
        (self.replica, self.socket)
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Upgrade({}, {:?})", self.replica, self.socket)
    }
}

/// Removes the user's extensions from a request that goes to an object, and gives it its identity. The address of the client
/// stays. These two are what a host hands on with a request, also to another node. The header in which it may do so is
/// removed, so that no object ever sees one from outside.
pub(super) fn prepare_request(request: &mut Request, identity: Option<Identity>) {
    request.headers_mut().remove(HEAD);
    let extensions = request.extensions_mut();
    let peer = extensions.get::<PeerAddress>().copied();
    extensions.clear();
    if let Some(peer) = peer {
        extensions.insert(peer);
    }
    if let Some(identity) = identity {
        extensions.insert(identity);
    }
}

/// Removes the user's extensions from the response of an object. No extension travels between nodes, in either direction, so
/// none is passed on within one server either: an App that relied on it would break as soon as it had a second node.
pub(super) fn keep_engine_extensions(extensions: &mut Extensions) {
    if extensions.is_empty() {
        return;
    }
    let mut all = std::mem::take(extensions);
    keep::<SeatMark>(&mut all, extensions);
    keep::<FirstAttachment>(&mut all, extensions);
    keep::<FirstFormat>(&mut all, extensions);
    keep::<OnOpenFirst>(&mut all, extensions);
    keep::<OpensStream>(&mut all, extensions);
    keep::<Deflate>(&mut all, extensions);
}

fn keep<T: Clone + Send + Sync + 'static>(from: &mut Extensions, to: &mut Extensions) {
    if let Some(value) = from.remove::<T>() {
        to.insert(value);
    }
}
