//! The sockets of a Replica as one: WebSockets, which the host has, and event streams, which are kept here: [`Outlets`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::ready;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{LocalFuture, Session, SocketErrorKind, StreamFormat, Streams};
use dog::{Body, Close, CloseCode, Epoch, Message, SocketError, SocketId};
use subtle::ConstantTimeEq;

use crate::address::{ReplicaAddress, SeatId};
use crate::event_stream::{self, Encoded, EventStream, Outcome, Push, StreamBacklog, StreamQueue};
use crate::host::{End, Host, Occurrence, ReplicaObject, SeatGuard};
use crate::seats::Audience;
use crate::socket_map::SocketMap;

/// In the number of every event stream, and of no other socket.
const STREAM: u64 = 1 << 63;

/// A stream that was silent for this long gets a comment, at most as long again later. Proxies end connections that are silent
/// for a minute, and some hosts notice only when they send that a client has left.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Longest reason of a close, in bytes, as in a close frame of a WebSocket.
const LONGEST_REASON: usize = 123;

/// Sends to the sockets of one Replica.
pub(super) struct Outlets<H: Host> {
    host: Rc<H>,
    address: ReplicaAddress,
    /// Told of streams that end by themselves.
    replica: Weak<dyn ReplicaObject>,
    streams: Rc<RefCell<EventStreams>>,
    /// The event streams that have not taken the last message, because too much waits for them, and stay open.
    dropped: RefCell<Vec<SocketId>>,
}

/// The open event streams of one Replica. They are few or none in most Replicas.
struct EventStreams {
    epoch: Epoch,
    open: SocketMap<OpenStream>,
    by_seat: HashMap<SeatId, SocketId>,
    opened: u32,
    /// Whether a task keeps the streams alive.
    is_kept_alive: bool,
}

struct OpenStream {
    queue: Arc<StreamQueue>,
    seat: SeatId,
    attachment: Option<Bytes>,
    /// Made when it is first asked for.
    token: Option<[u8; 16]>,
}

/// Where an App has left out event streams, what follows from this is not in its program.
fn is_stream(socket: SocketId) -> bool {
    Streams::ON && socket.raw() & STREAM != 0
}

impl<H: Host> Outlets<H> {
    pub(super) fn new(host: Rc<H>, address: ReplicaAddress, epoch: Epoch, replica: Weak<dyn ReplicaObject>) -> Self {
        let (open, by_seat) = (SocketMap::default(), HashMap::new());
        let streams = EventStreams { epoch, open, by_seat, opened: 0, is_kept_alive: false };
        Self { host, address, replica, streams: Rc::new(RefCell::new(streams)), dropped: RefCell::default() }
    }

    /// Opens an event stream for a client that has this seat. When its body has ended or was dropped, `guard` releases the seat:
    /// see [`left`](Self::left).
    pub(super) fn open(
        &self,
        format: StreamFormat,
        (seat, guard): (SeatId, Arc<dyn SeatGuard>),
        attachment: Option<Bytes>,
    ) -> (SocketId, Body, EventStream) {
        let queue = StreamQueue::new(format, self.host.profile().streams);
        let (body, handle) = (event_stream::body(Arc::clone(&queue), guard), EventStream::of(&queue));
        let socket = self.streams.borrow_mut().insert(OpenStream { queue, seat, attachment, token: None });
        self.host.occurred(Occurrence::StreamOpened(socket));
        self.keep_alive();
        (socket, body, handle)
    }

    /// To each of `sockets` that is not in `except`. Returns how many accepted the message.
    pub(super) fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        // A host passes over sockets that it does not have.
        self.host.deliver(message, sockets, except) + self.deliver_to_streams(message, sockets, except)
    }

    /// The same for all open sockets.
    pub(super) fn deliver_to_all(&self, message: &Message, audience: &Audience<'_>, except: &[SocketId]) -> usize {
        let taken = self.host.deliver_to_all(message, audience, except);
        taken + self.deliver_to_streams(message, audience.sockets, except)
    }

    fn deliver_to_streams(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        let streams = self.streams.borrow();
        if !Streams::ON || streams.open.is_empty() {
            return 0;
        }
        self.dropped.borrow_mut().clear();
        let (mut encoded, mut taken, now) = (Encoded::new(message), 0, self.host.now());
        for socket in sockets.iter().filter(|socket| is_stream(**socket) && !except.contains(socket)) {
            let Some(stream) = streams.open.get(socket) else { continue };
            match stream.queue.push(encoded.of(stream.queue.format()).clone(), now) {
                Push::Taken => taken += 1,
                Push::Lags => {
                    taken += 1;
                    let backlog = StreamBacklog::of(&stream.queue);
                    if let Some(relief) = self.host.hold_back(self.address, backlog) {
                        stream.queue.hold_back(relief);
                    }
                }
                Push::TooSlow => self.ends_by_itself(*socket),
                Push::Dropped => self.dropped.borrow_mut().push(*socket),
                Push::Ended => {}
            }
        }
        taken
    }

    /// The sockets that have not taken the last message, because too much waits for them, and stay open.
    pub(super) fn take_dropped(&self) -> Vec<SocketId> {
        let mut dropped = self.host.take_dropped();
        dropped.append(&mut self.dropped.borrow_mut());
        dropped
    }

    /// Whether a message of this size can be sent to a socket that catches up: its client has taken most of what was sent before.
    pub(super) fn takes(&self, socket: SocketId, bytes: usize) -> bool {
        if !is_stream(socket) {
            return self.host.takes(socket, bytes);
        }
        self.streams.borrow().open.get(&socket).is_none_or(|stream| stream.queue.takes(bytes))
    }

    /// Completes when the client of a socket has taken everything that waits for it, or the socket has ended.
    pub(super) fn drained(&self, socket: SocketId) -> LocalFuture<()> {
        if !is_stream(socket) {
            return self.host.drained(socket);
        }
        match self.streams.borrow().open.get(&socket) {
            Some(stream) => stream.queue.drained(),
            None => Box::pin(ready(())),
        }
    }

    /// Tells the Replica in a later turn, because its code may run now.
    fn ends_by_itself(&self, socket: SocketId) {
        let replica = Weak::clone(&self.replica);
        self.host.spawn(Box::pin(async move {
            let close = Close::new(CloseCode::TRY_AGAIN, "too slow");
            if let Some(replica) = replica.upgrade() {
                replica.closed(socket, End::Error(SocketError::new(SocketErrorKind::TooSlow, close)));
            }
        }));
    }

    /// Closes a socket after everything that was delivered to it before.
    pub(super) fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        if !is_stream(socket) {
            return self.host.close(socket, code, reason);
        }
        if let Some(stream) = self.streams.borrow().open.get(&socket) {
            stream.queue.end(Close::new(code, &reason[..reason.floor_char_boundary(LONGEST_REASON)]));
        }
    }

    /// The handler of a socket that was busy has ended.
    pub(super) fn resume(&self, socket: SocketId) {
        if !is_stream(socket) {
            self.host.resume(socket);
        }
    }

    pub(super) fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        if !is_stream(socket) {
            return self.host.attachment(socket);
        }
        self.streams.borrow().open.get(&socket)?.attachment.clone()
    }

    pub(super) fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        if !is_stream(socket) {
            return self.host.set_attachment(socket, attachment);
        }
        if let Some(stream) = self.streams.borrow_mut().open.get_mut(&socket) {
            stream.attachment = Some(attachment);
        }
    }

    /// The session of an open event stream. `None` for other sockets.
    pub(super) fn session(&self, socket: SocketId) -> Option<Session> {
        let feature = Streams::get()?;
        let mut streams = self.streams.borrow_mut();
        let stream = streams.open.get_mut(&socket)?;
        let token = *stream.token.get_or_insert_with(|| self.host.secret());
        Some(Session { replica: *self.address.replica.as_bytes(), socket: socket.raw(), token, streams: feature })
    }

    /// The event stream that a session names, if it is open and has given out that token. How long this takes does not depend on
    /// how much of the token is right.
    pub(super) fn named(&self, session: &Session) -> Option<SocketId> {
        let socket = SocketId::from_raw(session.socket);
        let token = self.streams.borrow().open.get(&socket)?.token?;
        bool::from(token.ct_eq(&session.token)).then_some(socket)
    }

    /// A seat was released: the event stream that had it, and how it has ended, if it is still open.
    pub(super) fn left(&self, seat: SeatId) -> Option<(SocketId, End)> {
        if !Streams::ON {
            return None;
        }
        let streams = self.streams.borrow();
        let socket = *streams.by_seat.get(&seat)?;
        let end = match streams.open.get(&socket)?.queue.outcome() {
            Some(Outcome::Closed(close)) => End::Close(close),
            Some(Outcome::Lost) | None => {
                End::Error(SocketError::new(SocketErrorKind::Lost, Close::new(CloseCode::ABNORMAL, "")))
            }
        };
        Some((socket, end))
    }

    /// A socket has ended, and its last attachment was read.
    pub(super) fn forget(&self, socket: SocketId) {
        if is_stream(socket) && self.streams.borrow_mut().remove(socket) {
            self.host.occurred(Occurrence::StreamEnded(socket));
        }
    }

    /// Breaks the silence of streams for as long as there are any.
    fn keep_alive(&self) {
        if std::mem::replace(&mut self.streams.borrow_mut().is_kept_alive, true) {
            return;
        }
        let (host, streams) = (Rc::clone(&self.host), Rc::downgrade(&self.streams));
        self.host.spawn(Box::pin(async move {
            loop {
                host.sleep(KEEP_ALIVE).await;
                let Some(streams) = streams.upgrade() else { return };
                if !streams.borrow_mut().keep_alive() {
                    return;
                }
            }
        }));
    }
}

impl<H: Host> Drop for Outlets<H> {
    /// The life is over. Streams that were not closed belong to a life that has crashed.
    fn drop(&mut self) {
        if !Streams::ON {
            return;
        }
        for (socket, stream) in self.streams.borrow().in_order() {
            stream.queue.abandon();
            self.host.occurred(Occurrence::StreamEnded(socket));
        }
    }
}

impl EventStreams {
    fn insert(&mut self, stream: OpenStream) -> SocketId {
        self.opened = self.opened.wrapping_add(1);
        // With the life, so that no two lives of a Replica use the same number soon after one another.
        let life = (self.epoch.as_u64() & u64::from(u32::MAX >> 1)) << 32;
        let socket = SocketId::from_raw(STREAM | life | u64::from(self.opened));
        self.by_seat.insert(stream.seat, socket);
        self.open.insert(socket, stream);
        socket
    }

    /// Returns whether the stream was here.
    fn remove(&mut self, socket: SocketId) -> bool {
        let Some(stream) = self.open.remove(&socket) else { return false };
        self.by_seat.remove(&stream.seat);
        true
    }

    /// Returns whether there are streams.
    fn keep_alive(&mut self) -> bool {
        self.in_order().for_each(|(_, stream)| stream.queue.keep_alive());
        self.is_kept_alive = !self.open.is_empty();
        self.is_kept_alive
    }

    /// All streams, the oldest first, so that a simulated run is the same each time.
    fn in_order(&self) -> impl Iterator<Item = (SocketId, &OpenStream)> {
        let mut streams: Vec<_> = self.open.iter().map(|(socket, stream)| (*socket, stream)).collect();
        streams.sort_unstable_by_key(|(socket, _)| *socket);
        streams.into_iter()
    }
}
