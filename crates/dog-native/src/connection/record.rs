//! The state of one connection.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use dog_engine::host::ReplicaObject;

use super::compression::Lane;
use super::fan_out::FanOutIndex;
use super::outbox::Outbox;
use super::stream::Stream;
use crate::addresses::AddressPermit;
use crate::websocket::Decoder;

/// How many bytes of messages are read ahead while a handler is busy. The message that exceeds this is still read.
/// Reading ahead makes control frames take effect in the meantime, for example a close.
const READ_AHEAD: usize = 64 * 1024;

/// What each message counts in addition to its bytes.
const KEEPING: usize = 64;

/// The unit of `Connection::ahead`, in bytes, so that the counter fits two bytes.
const UNIT: usize = 16;

/// A client sends much if its recent bytes, counted with `KEEPING`, exceed this. The bytes of the present moment count
/// fully, those of the moment before by half, those of the one before that by a quarter, and so on. The limit
/// corresponds to about 8 KiB or 100 short messages per second.
const MUCH: usize = 4 * 1024;

/// One connection. An idle connection is this record and nothing else.
pub(crate) struct Connection {
    /// Distinguishes this connection from earlier ones at the same place in the slab.
    pub(super) generation: u32,
    /// `None` until the response to the handshake has been sent to the client.
    pub(super) stream: Option<Stream>,
    /// The Replica that the socket belongs to. `None` once the socket is only being closed.
    pub(crate) replica: Option<Rc<dyn ReplicaObject>>,
    pub(crate) decoder: Decoder,
    /// Bytes that were read but not decoded, because a handler was busy.
    pub(crate) unread: Option<Box<[u8]>>,
    pub(super) outbox: Outbox,
    /// The fan-out of this turn that the connection is in.
    pub(super) fan_out: FanOutIndex,
    pub(super) attachment: Option<Box<Bytes>>,
    pub(crate) phase: Phase,
    /// Known when the connection is attached. Frames that were queued before are compressed then.
    pub(crate) lane: Lane,
    /// Whether there may be something to read. The kernel reports only changes.
    pub(crate) readable: bool,
    /// Whether the client has ended its side of the connection.
    pub(crate) hung_up: bool,
    /// Whether the socket is in a queue of sockets to be read.
    pub(crate) awaits_turn: bool,
    /// Whether the socket is not read because other members cannot yet take what its client sends.
    pub(crate) held_back: bool,
    pub(super) pinged: bool,
    /// When the client last showed that it is alive, or when the phase began, in seconds since the worker started.
    pub(super) since: u32,
    /// Zero while no handler of this socket is running. Otherwise one more than what was read ahead in the meantime, in
    /// units of 16 bytes: see [`Connection::reads_ahead`].
    ahead: u16,
    /// What the client has sent until `fed_at`, in units of 64 bytes: see [`Connection::sends_much`].
    fed: u8,
    fed_at: u8,
    /// The slot that the connection takes in the limit of its client's address. Dropping it frees the slot.
    #[allow(dead_code, reason = "it is there to be dropped")]
    pub(super) permit: Option<Arc<AddressPermit>>,
}

/// The phase of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages are sent in both directions.
    Open,
    /// The server has sent a close frame and waits for the client's.
    Closing,
    /// Both sides have sent a close frame, or the client has broken the protocol. The queued frames are written, then
    /// the server shuts down its side and waits for the client to close. If it closed at once, the kernel could discard
    /// what the client has not read yet.
    Finishing,
}

impl Connection {
    /// Creates the record of a connection that is attached later.
    pub(super) fn new(generation: u32, replica: Option<Rc<dyn ReplicaObject>>, seconds: u32) -> Self {
        Self {
            generation,
            stream: None,
            replica,
            decoder: Decoder::new(),
            unread: None,
            outbox: Outbox::default(),
            fan_out: FanOutIndex::NONE,
            attachment: None,
            phase: Phase::Open,
            lane: Lane::Plain,
            readable: false,
            hung_up: false,
            awaits_turn: false,
            held_back: false,
            pinged: false,
            since: seconds,
            ahead: 0,
            fed: 0,
            fed_at: 0,
            permit: None,
        }
    }

    /// Returns what is queued, as it counts against the limit.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.weight()
    }

    /// Notes that bytes of the client have arrived.
    pub(crate) fn heard(&mut self, seconds: u32) {
        if self.phase == Phase::Open {
            self.lives(seconds);
        }
    }

    /// Notes a sign of life of the client: the idle timeout starts again.
    pub(super) fn lives(&mut self, seconds: u32) {
        self.since = seconds;
        self.pinged = false;
    }

    /// Returns whether the server is not reading the socket, so that the client's silence has no meaning.
    pub(super) fn is_not_read(&self) -> bool {
        self.held_back || self.awaits_turn || self.has_read_ahead()
    }

    /// Returns whether a handler is busy and the limit of reading ahead is reached.
    pub(crate) fn has_read_ahead(&self) -> bool {
        usize::from(self.ahead) * UNIT > READ_AHEAD
    }

    /// Notes that a message of this many bytes has arrived while a handler runs, or that it starts one. Never less than what the
    /// engine counts, which closes a socket that is read on beyond its bound and has a rate of messages.
    pub(crate) fn reads_ahead(&mut self, bytes: usize) {
        let is_busy = self.ahead > 0;
        let units = if is_busy { u16::try_from((bytes + KEEPING).div_ceil(UNIT)).unwrap_or(u16::MAX) } else { 1 };
        self.ahead = self.ahead.saturating_add(units);
    }

    /// Notes that a message of this many bytes has arrived at `moment`.
    pub(crate) fn feeds(&mut self, bytes: usize, moment: u8) {
        let units = u8::try_from(bytes / KEEPING + 1).unwrap_or(u8::MAX);
        (self.fed, self.fed_at) = (self.fed_lately(moment).saturating_add(units), moment);
    }

    /// Returns whether the client sends so much that it must wait for members that cannot keep up. Other clients do not
    /// wait.
    pub(crate) fn sends_much(&self, moment: u8) -> bool {
        usize::from(self.fed_lately(moment)) * KEEPING > MUCH
    }

    fn fed_lately(&self, moment: u8) -> u8 {
        self.fed.checked_shr(u32::from(moment.wrapping_sub(self.fed_at))).unwrap_or(0)
    }

    /// Notes that all messages have been handled.
    pub(crate) fn has_caught_up(&mut self) {
        self.ahead = 0;
    }

    pub(super) fn enter(&mut self, phase: Phase, seconds: u32) {
        self.phase = phase;
        self.since = seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_much_is_known_for_some_moments() {
        let mut connection = Connection::new(0, None, 0);
        for moment in 250..=255 {
            // About ten short messages per second.
            (0..3).for_each(|_| connection.feeds(40, moment));
            assert!(!connection.sends_much(moment));
        }
        (0..200).for_each(|_| connection.feeds(40, 255));
        assert!(connection.sends_much(255) && connection.sends_much(0));
        assert!(!connection.sends_much(3) && !connection.sends_much(100));
        connection.feeds(1_000_000, 100);
        assert!(connection.sends_much(101) && !connection.sends_much(103));
    }

    #[test]
    fn a_connection_at_rest_is_small() {
        // Sixteen bytes of it belong to mio, for checks that it makes only in debug builds.
        assert!(size_of::<Connection>() <= 136, "{} bytes", size_of::<Connection>());
    }
}
