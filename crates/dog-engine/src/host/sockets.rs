//! The open WebSockets of Replicas, and guards for their seats.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use dog::internal::{ConnectionId, LocalFuture, Topic};
use dog::{ClientId, Close, CloseCode, Epoch, Format, Message, Request, Response, SocketError, SocketId};

use crate::address::{ReplicaAddress, SeatId};
use crate::event_stream::{Relief, StreamBacklog};
use crate::handshake;
use crate::seats::Audience;

/// The sockets of the Replicas that live on this host.
pub trait SocketHost {
    /// Queues a message for each of `sockets` that is not in `except`. Returns how many sockets accepted it.
    fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize;
    /// The same for all open sockets of a Replica. A host can override it to encode and write once for all of them.
    fn deliver_to_all(&self, message: &Message, audience: &Audience<'_>, except: &[SocketId]) -> usize {
        self.deliver(message, audience.sockets, except)
    }
    /// The sockets that have not taken the last message because too much waits for them, and stay open. There are some only on
    /// hosts that drop messages for slow clients.
    fn take_dropped(&self) -> Vec<SocketId> {
        Vec::new()
    }
    /// Whether a message of this many bytes can be sent to a socket that is sent what it has missed: so little waits for it that
    /// it counts as one that keeps up. If nothing waits, any message can be sent. A host that does not know answers `true`.
    fn takes(&self, socket: SocketId, bytes: usize) -> bool {
        let _ = (socket, bytes);
        true
    }
    /// Completes when nothing waits for a socket, or it has ended. On a host that does not know it completes at once.
    fn drained(&self, socket: SocketId) -> LocalFuture<()> {
        let _ = socket;
        Box::pin(ready(()))
    }
    /// Closes a socket after everything that was delivered to it before.
    fn close(&self, socket: SocketId, code: CloseCode, reason: &str);
    /// The handler of a socket that was [busy](Readiness::Busy) has ended: the host may pass on its next message.
    fn resume(&self, socket: SocketId);
    /// The bytes that are attached to a socket.
    fn attachment(&self, socket: SocketId) -> Option<Bytes>;
    /// Replaces the bytes that are attached to a socket.
    fn set_attachment(&self, socket: SocketId, attachment: Bytes);

    /// The client of a socket has become known. A host where sockets outlive the object's time in memory keeps it.
    fn set_client(&self, socket: SocketId, client: &ClientId) {
        let _ = (socket, client);
    }

    /// The response that accepts the WebSocket that `request` asks for, or the response that refuses it.
    fn shake_hands(&self, request: &Request) -> Result<Response, Box<Response>> {
        handshake::accept(request)
    }
    /// Creates a socket for a client of a Replica before its connection is handed over. Messages that are delivered to it
    /// are queued until then. If the guard is dropped without [`disarm`](SeatGuard::disarm), on any thread, the socket ends
    /// as lost.
    ///
    /// `identity` is what the App has said about the client. The engine remembers it for this life. A host where sockets
    /// outlive the object's time in memory keeps it with the socket, for [`sockets`](Self::sockets).
    fn new_socket(
        &self,
        replica: ReplicaAddress,
        client: &ClientId,
        identity: Option<&Bytes>,
    ) -> (SocketId, Arc<dyn SeatGuard>);
    /// The sockets of a Replica that are open when a life of it begins. There are some only where sockets outlive the
    /// object's time in memory.
    fn sockets(&self, replica: ReplicaAddress) -> Vec<KeptSocket> {
        let _ = replica;
        Vec::new()
    }
    /// Much waits for the client of an event stream of the Replica, and it came in a burst. A host that holds back those who send
    /// to its Group, until the client has caught up or is found to be slow, returns what to call when it has caught up. By
    /// default nobody is held back.
    fn hold_back(&self, replica: ReplicaAddress, stream: StreamBacklog) -> Option<Relief> {
        let _ = (replica, stream);
        None
    }
    /// Stores the topics of a socket with it, for [`sockets`](Self::sockets). Where an object keeps its sockets in memory there
    /// is nothing to do.
    fn set_topics(&self, socket: SocketId, topics: &mut dyn Iterator<Item = &Topic>) {
        let _ = (socket, topics);
    }
    /// Stores the name and the presence value of a socket with it, for [`sockets`](Self::sockets). Where an object keeps its sockets
    /// in memory there is nothing to do.
    fn set_presence(&self, socket: SocketId, connection: ConnectionId, value: &Bytes) {
        let _ = (socket, connection, value);
    }
    /// Stores with a socket in which form it gets publications, for [`sockets`](Self::sockets). Where an object keeps its sockets in
    /// memory there is nothing to do.
    fn set_format(&self, socket: SocketId, format: Format) {
        let _ = (socket, format);
    }
    /// A guard that releases `seat` when it is dropped without [`disarm`](SeatGuard::disarm), on any thread.
    fn seat_guard(&self, replica: ReplicaAddress, epoch: Epoch, seat: SeatId) -> Arc<dyn SeatGuard>;
}

/// A socket that is open when a life of its Replica begins. See [`SocketHost::sockets`].
#[derive(Clone, Debug)]
pub struct KeptSocket {
    /// The socket.
    pub socket: SocketId,
    /// Its client.
    pub client: ClientId,
    /// What the App has said about the client.
    pub identity: Option<Bytes>,
    /// The topics that were last [stored](SocketHost::set_topics) with it.
    pub topics: Vec<Topic>,
    /// The name and the presence value that were last [stored](SocketHost::set_presence) with it.
    pub presence: Option<(ConnectionId, Bytes)>,
    /// The format that was [stored](SocketHost::set_format) with it, or the default one.
    pub format: Format,
}

/// Releases a seat or a socket when it is dropped. See [`SocketHost::seat_guard`] and [`SocketHost::new_socket`].
pub trait SeatGuard: Send + Sync {
    /// Somebody else is responsible from now on: the drop does nothing.
    fn disarm(&self);
}

/// How a socket has ended.
#[derive(Clone, Debug)]
pub enum End {
    /// One side closed it.
    Close(Close),
    /// The connection failed.
    Error(SocketError),
}

/// Whether the host may pass on the next message of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// At once.
    Ready,
    /// After [`SocketHost::resume`]. A message that comes before is queued.
    Busy,
}
