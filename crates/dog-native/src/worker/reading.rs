//! Bytes that come in, and what they mean to a socket.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use dog::internal::SocketErrorKind;
use dog::{Close, CloseCode, SocketId};
use dog_engine::host::{End, Readiness, ReplicaObject};

use super::Worker;
use crate::connection::Phase;
use crate::websocket::{CloseFrame, Event, Limits, ProtocolError, pong_frame};

/// How often a socket may fill the scratch buffer before it is the others' turn.
const SHARE: usize = 4;

/// How many bytes a socket's messages may have had inflated, of what was read at once, before it is the others' turn: as
/// they come, they may be a thousandth of that.
const INFLATED: usize = 256 * 1024;

/// What comes of decoding once more.
enum Next {
    Decoded(Result<(usize, Option<Event>), ProtocolError>),
    /// Whatever a client says after the end is not for anyone.
    Over,
    Gone,
}

/// Whether to go on reading a socket.
#[derive(PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

impl Worker {
    /// Reads sockets in their turn, each once at most, until the turn has lasted so many slices.
    pub(super) fn read_some(self: &Rc<Self>, sockets: &RefCell<VecDeque<SocketId>>, slices: u32) {
        let mut left = sockets.borrow().len();
        while left > 0 && !self.is_behind() {
            left -= 1;
            let Some(socket) = sockets.borrow_mut().pop_front() else { return };
            if let Some(connection) = self.connections.borrow_mut().get(socket) {
                connection.awaits_turn = false;
            }
            self.pump(socket);
            if left > 0 && self.has_lasted(slices) {
                return;
            }
        }
    }

    /// The socket is to be read in a later turn, after those that have waited for longer.
    pub(super) fn read_again(&self, socket: SocketId) {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get(socket) else { return };
        if !connection.awaits_turn && !connection.held_back {
            connection.awaits_turn = true;
            self.again.borrow_mut().push_back(socket);
            self.queued();
        }
    }

    /// The socket's handler has ended, and with it those of the messages that were read ahead.
    pub(super) fn resumes(self: &Rc<Self>, socket: SocketId) {
        if let Some(connection) = self.connections.borrow_mut().get(socket) {
            connection.has_caught_up();
            if connection.awaits_turn || connection.held_back {
                return;
            }
        }
        self.pump(socket);
    }

    /// Reads what a socket has, as long as its handler keeps up and its share lasts.
    fn pump(self: &Rc<Self>, socket: SocketId) {
        self.forget_full();
        if self.holds_back(socket) || self.decode_unread(socket) == Go::Stop {
            return;
        }
        // Taken out while it is used: a handler may make this worker read nothing, but the compiler cannot know.
        let mut scratch = std::mem::take(&mut *self.scratch.borrow_mut());
        for _ in 0..SHARE {
            if self.read_once(socket, &mut scratch) == Go::Stop {
                self.scratch.replace(scratch);
                return;
            }
            if self.has_lasted(2) {
                break;
            }
        }
        self.scratch.replace(scratch);
        self.read_again(socket);
    }

    /// What was read before comes first.
    fn decode_unread(self: &Rc<Self>, socket: SocketId) -> Go {
        let unread = match self.connections.borrow_mut().get(socket) {
            Some(connection) if connection.has_read_ahead() => return Go::Stop,
            Some(connection) => connection.unread.take(),
            None => return Go::Stop,
        };
        unread.map_or(Go::On, |mut unread| self.decode(socket, &mut unread))
    }

    fn read_once(self: &Rc<Self>, socket: SocketId, scratch: &mut [u8]) -> Go {
        let read = {
            let mut connections = self.connections.borrow_mut();
            match connections.get(socket) {
                Some(connection) if connection.readable && !connection.has_read_ahead() => {}
                _ => return Go::Stop,
            }
            connections.read(socket, scratch)
        };
        match read {
            Ok(0) => {
                self.connections.borrow_mut().lose(socket);
                Go::Stop
            }
            Ok(length) => {
                // Less than there was room for: the kernel has no more, and will tell when it has.
                let more = self.note_read(socket, length < scratch.len());
                match self.decode(socket, &mut scratch[..length]) {
                    Go::On if more => Go::On,
                    _ => Go::Stop,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Go::On,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(connection) = self.connections.borrow_mut().get(socket) {
                    connection.readable = false;
                }
                Go::Stop
            }
            Err(_) => {
                self.connections.borrow_mut().lose(socket);
                Go::Stop
            }
        }
    }

    /// Whether there is more to read.
    fn note_read(&self, socket: SocketId, drained: bool) -> bool {
        let mut connections = self.connections.borrow_mut();
        let seconds = connections.seconds;
        let Some(connection) = connections.get(socket) else { return false };
        connection.heard(seconds);
        // Once the client has hung up there is more to come, the end, and no event to tell of it.
        connection.readable = !drained || connection.hung_up;
        connection.readable
    }

    /// Decodes and handles all that `input` holds, or what the handler keeps up with.
    fn decode(self: &Rc<Self>, socket: SocketId, input: &mut [u8]) -> Go {
        let (mut at, mut inflated) = (0, 0);
        while at < input.len() {
            let go = match self.decode_next(socket, &mut input[at..], &mut inflated) {
                Next::Decoded(Ok((used, event))) => {
                    at += used;
                    event.map_or(Go::On, |event| self.happen(socket, event))
                }
                Next::Decoded(Err(error)) => {
                    self.refuse(socket, &error);
                    Go::On
                }
                Next::Over => return Go::On,
                Next::Gone => return Go::Stop,
            };
            let goes_on = go == Go::On && !self.makes_room_for(socket);
            let had_its_share = goes_on && at < input.len() && (inflated > INFLATED || self.has_lasted(2));
            if had_its_share {
                self.read_again(socket);
            }
            if !goes_on || had_its_share {
                let mut connections = self.connections.borrow_mut();
                if let Some(connection) = connections.get(socket).filter(|_| at < input.len()) {
                    connection.unread = Some(input[at..].into());
                }
                return Go::Stop;
            }
        }
        Go::On
    }

    /// Decodes up to one event, and adds to `inflated` by how much that was more than what came.
    fn decode_next(&self, socket: SocketId, input: &mut [u8], inflated: &mut usize) -> Next {
        let limits = Limits { message: self.shared.config.max_message };
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get(socket) else { return Next::Gone };
        if connection.phase == Phase::Finishing {
            return Next::Over;
        }
        if !connection.lane.deflates() {
            return Next::Decoded(connection.decoder.decode(input, &limits));
        }
        let decoded = connection.decoder.decode_deflated(input, &limits, &mut self.inflater.borrow_mut());
        if let Ok((used, Some(Event::Message(message)))) = &decoded {
            *inflated += message.len().saturating_sub(*used);
        }
        Next::Decoded(decoded)
    }

    fn happen(self: &Rc<Self>, socket: SocketId, event: Event) -> Go {
        match event {
            Event::Message(message) => {
                let length = message.len();
                let Some(replica) = self.replica_of(socket, length) else { return Go::On };
                self.counters.messages_received.one();
                match replica.message(socket, message) {
                    Readiness::Ready => Go::On,
                    Readiness::Busy => self.reads_ahead(socket, length),
                }
            }
            Event::Ping(payload) => {
                self.answer_ping(socket, &payload);
                Go::On
            }
            Event::Pong(_) => Go::On,
            Event::Close(close) => {
                self.hear_close(socket, close);
                Go::On
            }
        }
    }

    /// Whose handler a message of so many bytes is for.
    fn replica_of(&self, socket: SocketId, length: usize) -> Option<Rc<dyn ReplicaObject>> {
        let mut connections = self.connections.borrow_mut();
        let moment = connections.moment;
        let connection = connections.get(socket).filter(|connection| connection.phase == Phase::Open)?;
        connection.feeds(length, moment);
        connection.replica.clone()
    }

    /// The handler is busy. What comes meanwhile is read up to a bound, so that a ping is answered and a goodbye heard.
    fn reads_ahead(&self, socket: SocketId, length: usize) -> Go {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get(socket) else { return Go::Stop };
        connection.reads_ahead(length);
        if !connection.has_read_ahead() {
            return Go::On;
        }
        self.counters.reads_paused.one();
        // It has gone already, perhaps.
        if connection.hung_up {
            connections.lose(socket);
        }
        Go::Stop
    }

    /// Lets go out what is queued if it is much. Whether the socket is not to be read any further, since those for whom its
    /// client sends have to take that first.
    fn makes_room_for(&self, socket: SocketId) -> bool {
        if self.is_full() {
            self.write_out();
        } else if !self.has_met_full() {
            return false;
        }
        self.holds_back(socket)
    }

    /// Pongs count against the outbox too: a client that only pings and never reads must not fill the memory.
    fn answer_ping(&self, socket: SocketId, payload: &[u8]) {
        let mut connections = self.connections.borrow_mut();
        let most = self.shared.config.max_outbox;
        connections.leave_run(socket);
        if connections.get(socket).is_some_and(|connection| connection.waiting() < most) {
            connections.push(socket, pong_frame(payload));
        }
    }

    fn hear_close(&self, socket: SocketId, close: Option<CloseFrame>) {
        let (code, reason) = close
            .map_or((CloseCode::NO_STATUS, String::new()), |close| (CloseCode::from_raw(close.code), close.reason));
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get(socket) else { return };
        if connection.phase == Phase::Open {
            if let Some(replica) = connection.replica.take() {
                connections.ended.push_back((socket, replica, End::Close(Close::new(code, reason))));
            }
            connections.close_and_finish(socket, code, "");
        } else {
            connections.finish(socket);
        }
    }

    fn refuse(&self, socket: SocketId, error: &ProtocolError) {
        let code = CloseCode::from_raw(error.close_code());
        let kind = if code == CloseCode::TOO_BIG { SocketErrorKind::TooBig } else { SocketErrorKind::Protocol };
        let mut connections = self.connections.borrow_mut();
        connections.fail(socket, kind, code, &error.to_string());
        // Where a close was under way, the client's is not to be waited for any more.
        connections.finish(socket);
    }
}
