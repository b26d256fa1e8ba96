//! The order in which the handlers of a socket run: `on_open`, then messages one at a time, then the end, once.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::rc::Rc;

use bytes::Bytes;
use dog::internal::SocketErrorKind;
use dog::{ClientId, Close, CloseCode, Error, Failure, Message, Replica, Socket, SocketError, SocketId};

use super::life::{Living, spawn, start};
use super::replica::ReplicaDriver;
use crate::address::SeatId;
use crate::host::{End, Host, Occurrence, Readiness};
use crate::repeats::seldom;

/// In the response that opens a socket: what the socket is to begin with.
#[derive(Clone)]
pub(super) struct Attached(pub(super) Bytes);

/// A socket whose handler runs.
pub(super) struct Turn {
    /// Whether the handler has had to wait, so that the host must be told when it has ended.
    waited: bool,
    /// What came meanwhile. Hosts that can stop reading do, so it is mostly empty.
    backlog: VecDeque<Message>,
    /// The socket has ended meanwhile: that is handled last.
    end: Option<End>,
    /// What was attached to a socket that has ended.
    pub(super) attachment: Option<Bytes>,
}

/// What a handler is called for.
enum Event {
    Open,
    Message(Message),
    End(End),
}

/// Who ends a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Its client, or nobody, as the host says. What it has sent before is handled first.
    Host,
    /// The user's code, by a verb. That may run now, so that the last handler must not.
    Verb,
    /// A handler of this socket, which has failed.
    Handler,
}

/// Whether a handler of `socket` has failed only because its client had left meanwhile: nothing to be told of. An error
/// about any other socket is the handler's own affair.
fn came_too_late(failure: &Failure, socket: SocketId) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(failure.cause());
    while let Some(error) = cause {
        if error.downcast_ref::<Error>().is_some_and(|error| error.socket() == Some(socket)) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    pub(super) fn open_socket(&self, seat: SeatId, socket: SocketId) {
        let client = self.seats.borrow_mut().open(seat, socket);
        if let Some(client) = client {
            self.run(socket, client, Event::Open);
        }
    }

    pub(super) fn message_came(&self, socket: SocketId, message: Message) -> Readiness {
        if let Some(auto) = R::AUTO_RESPONSE
            && message.as_text() == Some(auto.request())
        {
            self.host.deliver(&Message::text(auto.response()), &[socket], &[]);
            let busy = self.turns.borrow().contains_key(&socket);
            return if busy { Readiness::Busy } else { Readiness::Ready };
        }
        if let Some(turn) = self.turns.borrow_mut().get_mut(&socket) {
            if turn.end.is_none() {
                turn.backlog.push_back(message);
            }
            return Readiness::Busy;
        }
        let client = self.seats.borrow().client(socket).cloned();
        // A message that crossed the socket's end on its way.
        let Some(client) = client else { return Readiness::Ready };
        self.run(socket, client, Event::Message(message));
        if self.turns.borrow().contains_key(&socket) { Readiness::Busy } else { Readiness::Ready }
    }

    /// The socket is out of fan-out and its seat is free from now on; its last handler runs once those before it have
    /// ended. Only the first end counts.
    pub(super) fn end_socket(&self, socket: SocketId, end: End, by: By) {
        if self.life().has_ended() {
            return;
        }
        let attachment = self.host.attachment(socket);
        let Some(client) = self.seats.borrow_mut().close(socket) else { return };
        self.report();
        if let Some(turn) = self.turns.borrow_mut().get_mut(&socket) {
            turn.end = Some(end);
            turn.attachment = attachment;
            if by != By::Host {
                turn.backlog.clear();
            }
            return;
        }
        #[cfg(feature = "bugs")]
        if crate::bugs::socket_ends_twice() {
            self.run_with(socket, client.clone(), Event::End(end.clone()), attachment.clone(), By::Host);
        }
        self.run_with(socket, client, Event::End(end), attachment, by);
    }

    /// A handler has returned an error: this socket ends, and no other.
    fn handler_failed(&self, socket: SocketId, handler: &'static str, failure: &Failure) {
        if !came_too_late(failure, socket) {
            self.host.occurred(Occurrence::Failed { handler, cause: failure });
            seldom!(self.host, error, "a handler failed", replica = %self.address, ?socket, "a handler failed, so its socket is closed: {failure}");
        }
        self.host.close(socket, CloseCode::HANDLER_FAILED, "");
        let close = Close::new(CloseCode::HANDLER_FAILED, "");
        self.end_socket(socket, End::Error(SocketError::new(SocketErrorKind::Handler, close)), By::Handler);
    }

    fn run(&self, socket: SocketId, client: ClientId, event: Event) {
        self.run_with(socket, client, event, None, By::Host);
    }

    fn run_with(&self, id: SocketId, client: ClientId, event: Event, attachment: Option<Bytes>, by: By) {
        let Some(this) = self.this.upgrade() else { return };
        let turn = Turn { waited: by == By::Verb, backlog: VecDeque::new(), end: None, attachment };
        self.turns.borrow_mut().insert(id, turn);
        let socket = Socket::new(self.port(), id, client);
        let task = Rc::clone(&this);
        let handlers = async move {
            let mut next = Some(event);
            while let Some(event) = next {
                task.handle(&socket, event).await;
                next = task.next_event(id);
            }
        };
        if by == By::Verb {
            return spawn(&this, handlers);
        }
        start(&this, handlers);
        if let Some(turn) = self.turns.borrow_mut().get_mut(&id) {
            turn.waited = true;
        }
    }

    /// What the socket's handler does next. Nothing: then the turn is over.
    fn next_event(&self, socket: SocketId) -> Option<Event> {
        let mut turns = self.turns.borrow_mut();
        let turn = turns.get_mut(&socket)?;
        if let Some(message) = turn.backlog.pop_front() {
            return Some(Event::Message(message));
        }
        if let Some(end) = turn.end.take() {
            return Some(Event::End(end));
        }
        let waited = turn.waited;
        turns.remove(&socket);
        drop(turns);
        if waited {
            self.host.resume(socket);
        }
        None
    }

    async fn handle(&self, socket: &Socket, event: Event) {
        let Ok(replica) = self.awake().await else { return };
        let context = self.context();
        let (outcome, handler) = match event {
            Event::Open => (replica.on_open(&context, socket).await, "on_open"),
            Event::Message(message) => (replica.on_message(&context, socket, message).await, "on_message"),
            Event::End(End::Close(close)) => (replica.on_close(&context, socket, &close).await, "on_close"),
            Event::End(End::Error(error)) => (replica.on_error(&context, socket, &error).await, "on_error"),
        };
        let last = matches!(handler, "on_close" | "on_error");
        match outcome {
            Ok(()) => {}
            Err(failure) if last && came_too_late(&failure, socket.id()) => {}
            Err(failure) if last => {
                self.host.occurred(Occurrence::Failed { handler, cause: &failure });
                seldom!(self.host, error, "the last handler of a socket failed", replica = %self.address, ?socket, "the last handler of a socket failed: {failure}");
            }
            Err(failure) => self.handler_failed(socket.id(), handler, &failure),
        }
    }
}
