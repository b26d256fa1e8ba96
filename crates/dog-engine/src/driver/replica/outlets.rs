//! The sockets of a Replica as one: WebSockets, which the host has, and event streams, which are kept here: [`Outlets`].

use std::cell::RefCell;
use std::future::ready;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{LocalFuture, Logs, Session, SocketErrorKind, StreamFormat, Streams};
use dog::{Body, Close, CloseCode, Epoch, Message, SocketError, SocketId};
use subtle::ConstantTimeEq;

use super::open_streams::{EventStreams, OpenStream, is_stream};
use super::openings::{ON_OPEN_HOLDS, Openings, Waits};
use crate::address::{ReplicaAddress, SeatId};
use crate::event_stream::{self, Encoded, EventStream, Outcome, Push, StreamBacklog, StreamQueue};
use crate::host::{End, Host, Occurrence, ReplicaObject, SeatGuard};
use crate::seats::Audience;

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
    /// The sockets whose `on_open` sends first.
    openings: Rc<RefCell<Openings>>,
    /// The event streams that have not taken the last message, because too much waits for them, and stay open.
    dropped: RefCell<Vec<SocketId>>,
}

impl<H: Host> Outlets<H> {
    pub(super) fn new(host: Rc<H>, address: ReplicaAddress, epoch: Epoch, replica: Weak<dyn ReplicaObject>) -> Self {
        let streams = Rc::new(RefCell::new(EventStreams::new(epoch)));
        Self { host, address, replica, streams, openings: Rc::default(), dropped: RefCell::default() }
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
        let socket = self.streams.borrow_mut().insert(OpenStream::new(queue, seat, attachment));
        self.host.occurred(Occurrence::StreamOpened(socket));
        self.keep_alive();
        (socket, body, handle)
    }

    /// To each of `sockets` that is not in `except`. Returns how many accepted the message.
    pub(super) fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        match self.wait_for_on_open(message, sockets, except) {
            None => self.deliver_now(message, sockets, except),
            Some((waiting, except)) => waiting + self.deliver_now(message, sockets, &except),
        }
    }

    /// The same for all open sockets.
    pub(super) fn deliver_to_all(&self, message: &Message, audience: &Audience<'_>, except: &[SocketId]) -> usize {
        let held = self.wait_for_on_open(message, audience.sockets, except);
        let (waiting, except) = held.as_ref().map_or((0, except), |(waiting, except)| (*waiting, &except[..]));
        let taken = self.host.deliver_to_all(message, audience, except);
        waiting + taken + self.deliver_to_streams(message, audience.sockets, except)
    }

    fn deliver_now(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        // A host passes over sockets that it does not have.
        self.host.deliver(message, sockets, except) + self.deliver_to_streams(message, sockets, except)
    }

    /// From the `on_open` of the socket.
    pub(super) fn deliver_first(&self, message: &Message, socket: SocketId) {
        self.deliver_now(message, &[socket], &[]);
    }

    /// What others send to this socket waits until [`end_opening`](Self::end_opening).
    pub(super) fn begin_opening(&self, socket: SocketId) {
        self.openings.borrow_mut().begin(socket);
    }

    pub(super) fn is_opening(&self, socket: SocketId) -> bool {
        Logs::ON && self.openings.borrow().has(socket)
    }

    /// The `on_open` of a socket has ended: what has waited follows.
    pub(super) fn end_opening(&self, socket: SocketId) {
        if Logs::ON && !self.openings.borrow().is_empty() {
            let waiting = self.openings.borrow_mut().end(socket);
            waiting.iter().for_each(|message| self.deliver_first(message, socket));
        }
    }

    /// Keeps the message for those of `sockets` whose `on_open` runs. Returns for how many, and who does not get it now. `None`: it
    /// waits for nobody.
    fn wait_for_on_open(
        &self,
        message: &Message,
        sockets: &[SocketId],
        except: &[SocketId],
    ) -> Option<(usize, Vec<SocketId>)> {
        if !Logs::ON || self.openings.borrow().is_empty() {
            return None;
        }
        let (mut waiting, mut left_out) = (0, except.to_vec());
        for socket in sockets.iter().filter(|socket| !except.contains(socket)) {
            let Some(waits) = self.openings.borrow_mut().wait(*socket, message) else { continue };
            left_out.push(*socket);
            match waits {
                Waits::First => self.limit_opening(*socket),
                Waits::TooMuch => self.opening().give_up(*socket),
                Waits::Behind | Waits::Never => {}
            }
            waiting += usize::from(matches!(waits, Waits::First | Waits::Behind));
        }
        Some((waiting, left_out))
    }

    fn deliver_to_streams(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        let streams = self.streams.borrow();
        if !Streams::ON || streams.is_empty() {
            return 0;
        }
        self.dropped.borrow_mut().clear();
        let (mut encoded, mut taken, now) = (Encoded::new(message), 0, self.host.now());
        for socket in sockets.iter().filter(|socket| is_stream(**socket) && !except.contains(socket)) {
            let Some(stream) = streams.get(socket) else { continue };
            match stream.queue().push(encoded.of(stream.queue().format()).clone(), now) {
                Push::Taken => taken += 1,
                Push::Lags => {
                    taken += 1;
                    let backlog = StreamBacklog::of(stream.queue());
                    if let Some(relief) = self.host.hold_back(self.address, backlog) {
                        stream.queue().hold_back(relief);
                    }
                }
                Push::TooSlow => self.ends_by_itself(*socket),
                Push::Dropped => self.dropped.borrow_mut().push(*socket),
                Push::Ended => {}
            }
        }
        taken
    }

    fn opening(&self) -> Opening<H> {
        let (host, replica) = (Rc::clone(&self.host), Weak::clone(&self.replica));
        Opening { host, replica, streams: Rc::clone(&self.streams), openings: Rc::clone(&self.openings) }
    }

    /// Nobody waits for ever for the `on_open` of a socket.
    fn limit_opening(&self, socket: SocketId) {
        let opening = self.opening();
        self.host.spawn(Box::pin(async move {
            opening.host.sleep(ON_OPEN_HOLDS).await;
            opening.give_up(socket);
        }));
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
        self.streams.borrow().get(&socket).is_none_or(|stream| stream.queue().takes(bytes))
    }

    /// Completes when the client of a socket has taken everything that waits for it, or the socket has ended.
    pub(super) fn drained(&self, socket: SocketId) -> LocalFuture<()> {
        if !is_stream(socket) {
            return self.host.drained(socket);
        }
        match self.streams.borrow().get(&socket) {
            Some(stream) => stream.queue().drained(),
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
        if Logs::ON {
            self.openings.borrow_mut().give_up(socket);
        }
        close(&*self.host, &self.streams, socket, code, reason);
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
        self.streams.borrow().get(&socket)?.attachment()
    }

    pub(super) fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        if !is_stream(socket) {
            return self.host.set_attachment(socket, attachment);
        }
        if let Some(stream) = self.streams.borrow_mut().get_mut(&socket) {
            stream.set_attachment(attachment);
        }
    }

    /// The session of an open event stream. `None` for other sockets.
    pub(super) fn session(&self, socket: SocketId) -> Option<Session> {
        let feature = Streams::get()?;
        let mut streams = self.streams.borrow_mut();
        let stream = streams.get_mut(&socket)?;
        let token = stream.token_or(|| self.host.secret());
        Some(Session { replica: *self.address.replica.as_bytes(), socket: socket.raw(), token, streams: feature })
    }

    /// The event stream that a session names, if it is open and has given out that token. How long this takes does not depend on
    /// how much of the token is right.
    pub(super) fn named(&self, session: &Session) -> Option<SocketId> {
        let socket = SocketId::from_raw(session.socket);
        let token = self.streams.borrow().get(&socket)?.token()?;
        bool::from(token.ct_eq(&session.token)).then_some(socket)
    }

    /// A seat was released: the event stream that had it, and how it has ended, if it is still open.
    pub(super) fn left(&self, seat: SeatId) -> Option<(SocketId, End)> {
        if !Streams::ON {
            return None;
        }
        let streams = self.streams.borrow();
        let socket = streams.of_seat(seat)?;
        let end = match streams.get(&socket)?.queue().outcome() {
            Some(Outcome::Closed(close)) => End::Close(close),
            Some(Outcome::Lost) | None => {
                End::Error(SocketError::new(SocketErrorKind::Lost, Close::new(CloseCode::ABNORMAL, "")))
            }
        };
        Some((socket, end))
    }

    /// A socket has ended, and its last attachment was read.
    pub(super) fn forget(&self, socket: SocketId) {
        if Logs::ON {
            self.openings.borrow_mut().end(socket);
        }
        if is_stream(socket) && self.streams.borrow_mut().remove(socket) {
            self.host.occurred(Occurrence::StreamEnded(socket));
        }
    }

    /// Breaks the silence of streams for as long as there are any.
    fn keep_alive(&self) {
        if self.streams.borrow_mut().begin_keeping_alive() {
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

fn close<H: Host>(host: &H, streams: &RefCell<EventStreams>, socket: SocketId, code: CloseCode, reason: &str) {
    if !is_stream(socket) {
        return host.close(socket, code, reason);
    }
    if let Some(stream) = streams.borrow().get(&socket) {
        stream.queue().end(Close::new(code, &reason[..reason.floor_char_boundary(LONGEST_REASON)]));
    }
}

/// What is needed to end a socket for whose `on_open` too much waits.
struct Opening<H: Host> {
    host: Rc<H>,
    replica: Weak<dyn ReplicaObject>,
    streams: Rc<RefCell<EventStreams>>,
    openings: Rc<RefCell<Openings>>,
}

impl<H: Host> Opening<H> {
    /// The Replica is told in a later turn, because its code may run now.
    fn give_up(self, socket: SocketId) {
        if !self.openings.borrow_mut().give_up(socket) {
            return;
        }
        let reason = "on_open took too long";
        close(&*self.host, &self.streams, socket, CloseCode::TRY_AGAIN, reason);
        let Self { host, replica, .. } = self;
        host.spawn(Box::pin(async move {
            let close = Close::new(CloseCode::TRY_AGAIN, reason);
            if let Some(replica) = replica.upgrade() {
                replica.closed(socket, End::Error(SocketError::new(SocketErrorKind::Handler, close)));
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
            stream.queue().abandon();
            self.host.occurred(Occurrence::StreamEnded(socket));
        }
    }
}
