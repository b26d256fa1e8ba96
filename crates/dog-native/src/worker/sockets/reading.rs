//! Reading: from the bytes of a socket to messages for its Replica.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use dog::internal::SocketErrorKind;
use dog::{Close, CloseCode, SocketId};
use dog_engine::host::{End, Readiness, ReplicaObject};

use super::{Sockets, WriteOut};
use crate::connection::{Phase, Received};
use crate::websocket::{CloseFrame, Event, Limits, ProtocolError, pong_frame};

/// How often a socket may fill the scratch buffer before other sockets are read.
const SHARE: usize = 4;

/// How many bytes decompression may add to the messages of one read before other sockets are read. On the wire they may
/// have a thousandth of that.
const INFLATED: usize = 256 * 1024;

/// The result of decoding once.
enum Next {
    Decoded(Result<(usize, Option<Event>), ProtocolError>),
    /// The socket is closed: whatever the client still sends is ignored.
    Over,
    Gone,
}

/// Whether to continue reading a socket.
#[derive(PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

impl Sockets {
    /// Reads the sockets that have new bytes, and then those that used up their share of an earlier turn, each at most
    /// once.
    pub(in crate::worker) fn read(&self, out: &impl WriteOut) {
        for sockets in [&self.fresh, &self.again] {
            if !sockets.borrow().is_empty() {
                self.read_queue(sockets, out);
            }
        }
    }

    fn read_queue(&self, sockets: &RefCell<VecDeque<SocketId>>, out: &impl WriteOut) {
        let mut left = sockets.borrow().len();
        while left > 0 && !self.outbound.is_behind() {
            left -= 1;
            let Some(socket) = sockets.borrow_mut().pop_front() else { return };
            if let Some(connection) = self.connections.borrow_mut().get(socket) {
                connection.awaits_turn = false;
            }
            self.pump(socket, out);
            if left > 0 && self.turn.has_lasted(2) {
                return;
            }
        }
    }

    /// Queues the socket to be read in a later turn, after those that have waited for longer.
    pub(super) fn read_again(&self, socket: SocketId) {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get(socket) else { return };
        if !connection.awaits_turn && !connection.held_back {
            connection.awaits_turn = true;
            self.again.borrow_mut().push_back(socket);
            self.turn.queued();
        }
    }

    /// Reads a socket whose handler has ended, together with the handlers of messages that were read ahead.
    pub(in crate::worker) fn resumes(&self, socket: SocketId, out: &impl WriteOut) {
        if let Some(connection) = self.connections.borrow_mut().get(socket) {
            connection.has_caught_up();
            if connection.awaits_turn || connection.held_back {
                return;
            }
        }
        self.pump(socket, out);
    }

    /// Reads a socket for as long as its handler keeps up and its share lasts.
    fn pump(&self, socket: SocketId, out: &impl WriteOut) {
        // Mail that others have sent to a full worker must not count against this client.
        self.outbound.take_met_full();
        if self.holds_back(socket) || self.decode_unread(socket, out) == Go::Stop {
            return;
        }
        // Taken out, because handlers run while it is used.
        let mut scratch = std::mem::take(&mut *self.scratch.borrow_mut());
        for _ in 0..SHARE {
            if self.read_once(socket, &mut scratch, out) == Go::Stop {
                self.scratch.replace(scratch);
                return;
            }
            if self.turn.has_lasted(2) {
                break;
            }
        }
        self.scratch.replace(scratch);
        self.read_again(socket);
    }

    /// Decodes what was read in an earlier turn.
    fn decode_unread(&self, socket: SocketId, out: &impl WriteOut) -> Go {
        let unread = match self.connections.borrow_mut().get(socket) {
            Some(connection) if connection.has_read_ahead() => return Go::Stop,
            Some(connection) => connection.unread.take(),
            None => return Go::Stop,
        };
        unread.map_or(Go::On, |mut unread| self.decode(socket, &mut unread, out))
    }

    fn read_once(&self, socket: SocketId, scratch: &mut [u8], out: &impl WriteOut) -> Go {
        let read = {
            let mut connections = self.connections.borrow_mut();
            match connections.get(socket) {
                Some(connection) if connection.readable && !connection.has_read_ahead() => {}
                _ => return Go::Stop,
            }
            connections.read(socket, scratch)
        };
        match read {
            Ok(Received::End) => {
                self.connections.borrow_mut().lose(socket);
                Go::Stop
            }
            Ok(Received::Bytes { length, drained }) => {
                let more = self.note_read(socket, drained);
                match self.decode(socket, &mut scratch[..length], out) {
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

    /// Notes that bytes were read. Returns whether there may be more to read.
    fn note_read(&self, socket: SocketId, drained: bool) -> bool {
        let mut connections = self.connections.borrow_mut();
        let seconds = connections.seconds;
        let Some(connection) = connections.get(socket) else { return false };
        connection.heard(seconds);
        // When the client has closed its side, the end of the stream must still be read, and no event reports it.
        connection.readable = !drained || connection.hung_up;
        connection.readable
    }

    /// Decodes and handles `input` for as long as the handler keeps up. The rest is kept for later.
    fn decode(&self, socket: SocketId, input: &mut [u8], out: &impl WriteOut) -> Go {
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
            let goes_on = go == Go::On && !self.makes_room_for(socket, out);
            let had_its_share = goes_on && at < input.len() && (inflated > INFLATED || self.turn.has_lasted(2));
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

    /// Decodes up to one event. Adds to `inflated` how many bytes decompression has added.
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

    fn happen(&self, socket: SocketId, event: Event) -> Go {
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

    /// Returns the Replica that gets a message of `length` bytes, if the socket is open.
    fn replica_of(&self, socket: SocketId, length: usize) -> Option<Rc<dyn ReplicaObject>> {
        let mut connections = self.connections.borrow_mut();
        let moment = connections.moment;
        let connection = connections.get(socket).filter(|connection| connection.phase == Phase::Open)?;
        connection.feeds(length, moment);
        connection.replica.clone()
    }

    /// Notes a message that arrived while the handler is busy. Messages are read ahead up to a limit, so that pings are
    /// answered and a close is noticed.
    fn reads_ahead(&self, socket: SocketId, length: usize) -> Go {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get(socket) else { return Go::Stop };
        connection.reads_ahead(length);
        if !connection.has_read_ahead() {
            return Go::On;
        }
        self.counters.reads_paused.one();
        if connection.hung_up {
            connections.lose(socket);
        }
        Go::Stop
    }

    /// Sends and writes what is queued, if it is much. Returns whether the socket must not be read any further until
    /// the receivers of its messages have taken what is queued for them.
    fn makes_room_for(&self, socket: SocketId, out: &impl WriteOut) -> bool {
        if self.is_full() {
            out.write_out();
        } else if !self.outbound.met_full() {
            return false;
        }
        self.holds_back(socket)
    }

    /// Returns whether a socket must not be read now. If so, it is read again when the reason is gone.
    #[inline]
    fn holds_back(&self, socket: SocketId) -> bool {
        let met_full = self.outbound.take_met_full();
        if !met_full && !self.connections.borrow().any_lags() && !self.backpressure.any_lags_elsewhere() {
            return false;
        }
        self.must_wait(socket, met_full)
    }

    fn must_wait(&self, socket: SocketId, met_full: bool) -> bool {
        let mut connections = self.connections.borrow_mut();
        let Some(replica) = connections.get(socket).and_then(|connection| connection.replica.clone()) else {
            return false;
        };
        let group = replica.address().group;
        let lags = connections.lags(group) || self.backpressure.group_lags_elsewhere(group, self.outbound.workers());
        let moment = connections.moment;
        if let Some(connection) = connections.get(socket) {
            let waits = met_full || (lags && connection.sends_much(moment));
            if !waits {
                return false;
            }
            connection.held_back = true;
            self.backpressure.hold_back(socket);
        }
        true
    }

    /// Queues a pong, unless the outbox is full. Otherwise a client that pings and never reads could use up the memory.
    fn answer_ping(&self, socket: SocketId, payload: &[u8]) {
        let mut connections = self.connections.borrow_mut();
        let most = self.shared.config.max_outbox;
        connections.leave_fan_out(socket);
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
                connections.note_end(socket, replica, End::Close(Close::new(code, reason)));
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
        // If the server has already sent a close frame, it no longer waits for the answer.
        connections.finish(socket);
    }
}
