//! What is known of one connection.

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

/// How many bytes of messages are read ahead while a handler is busy, besides the message that passes this. So what a
/// client sends besides messages is heard meanwhile, its goodbye among it.
const READ_AHEAD: usize = 64 * 1024;

/// What a message that was read ahead counts for besides its bytes.
const KEEPING: usize = 64;

/// What is read ahead is counted in these, in bytes: so that the count is short.
const UNIT: usize = 16;

/// A client sends much when it has sent more than so many bytes, counted as above, in the present moment, with half of what
/// it had sent a moment before, a quarter of the one before that, and so on. That is about 8 KiB or 100 short messages per
/// second.
const MUCH: usize = 4 * 1024;

/// One connection. At rest it is this record and nothing else.
pub(crate) struct Connection {
    /// Tells this connection from earlier ones at its place in the slab.
    pub(super) generation: u32,
    /// `None` until the client has the response to its handshake.
    pub(super) stream: Option<Stream>,
    /// Whose socket it is; nobody's once it is only being closed.
    pub(crate) replica: Option<Rc<dyn ReplicaObject>>,
    pub(crate) decoder: Decoder,
    /// What was read and not decoded yet, because a handler was busy.
    pub(crate) unread: Option<Box<[u8]>>,
    pub(super) outbox: Outbox,
    /// The fan-out of this turn that it is in.
    pub(super) fan_out: FanOutIndex,
    pub(super) attachment: Option<Box<Bytes>>,
    pub(crate) phase: Phase,
    /// Known when the connection has come; what is sent before that waits as it is, and is packed then.
    pub(crate) lane: Lane,
    /// Whether there may be something to read: the kernel tells only of changes.
    pub(crate) readable: bool,
    /// Whether the client sends nothing more.
    pub(crate) hung_up: bool,
    /// Whether it is in a queue of sockets to be read.
    pub(crate) awaits_turn: bool,
    /// Whether it is not read because others cannot take yet what its client sends.
    pub(crate) held_back: bool,
    pub(super) pinged: bool,
    /// In seconds of the worker's life: when there was last a sign of the client, or when the phase began.
    pub(super) since: u32,
    /// Nothing while no handler of this socket waits. Else one more than what was read ahead meanwhile, in units of sixteen
    /// bytes: see [`Connection::reads_ahead`].
    ahead: u16,
    /// What the client has sent up to `fed_at`, in units of 64 bytes: see [`Connection::sends_much`].
    fed: u8,
    fed_at: u8,
    /// Counts for the client's address as long as the connection lives.
    #[allow(dead_code, reason = "it is there to be dropped")]
    pub(super) permit: Option<Arc<AddressPermit>>,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages go both ways.
    Open,
    /// We have sent a close and wait for the client's.
    Closing,
    /// Both have, or the client has broken the rules: what is queued goes out, then we hang up and wait for the
    /// client to do so, lest the kernel cut off what it has not read yet.
    Finishing,
}

impl Connection {
    /// One that is to come.
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

    /// What waits to be written, as it counts against its bound.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.weight()
    }

    /// Something was heard of the client.
    pub(crate) fn heard(&mut self, seconds: u32) {
        if self.phase == Phase::Open {
            self.lives(seconds);
        }
    }

    /// A sign of the client's life: the time until it is given up begins again.
    pub(super) fn lives(&mut self, seconds: u32) {
        self.since = seconds;
        self.pinged = false;
    }

    /// Whether it is this side that does not read, so that the client's silence says nothing.
    pub(super) fn is_not_read(&self) -> bool {
        self.held_back || self.awaits_turn || self.has_read_ahead()
    }

    /// Whether its handler is busy and all has been read that may be read meanwhile.
    pub(crate) fn has_read_ahead(&self) -> bool {
        usize::from(self.ahead) * UNIT > READ_AHEAD
    }

    /// A message of so many bytes has come, and the handler is busy, with it or with one before it.
    pub(crate) fn reads_ahead(&mut self, bytes: usize) {
        let is_busy = self.ahead > 0;
        let units = if is_busy { u16::try_from((bytes + KEEPING) / UNIT).unwrap_or(u16::MAX) } else { 1 };
        self.ahead = self.ahead.saturating_add(units);
    }

    /// A message of so many bytes has come at `moment`.
    pub(crate) fn feeds(&mut self, bytes: usize, moment: u8) {
        let units = u8::try_from(bytes / KEEPING + 1).unwrap_or(u8::MAX);
        (self.fed, self.fed_at) = (self.fed_lately(moment).saturating_add(units), moment);
    }

    /// Whether the client sends so much that it has to wait for those who cannot take it yet. Others do not wait for them.
    pub(crate) fn sends_much(&self, moment: u8) -> bool {
        usize::from(self.fed_lately(moment)) * KEEPING > MUCH
    }

    fn fed_lately(&self, moment: u8) -> u8 {
        self.fed.checked_shr(u32::from(moment.wrapping_sub(self.fed_at))).unwrap_or(0)
    }

    /// All that came has been handled.
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
            // Some ten short messages per second.
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
        // Sixteen of them are mio's, for checks that a release does not make.
        assert!(size_of::<Connection>() <= 136, "{} bytes", size_of::<Connection>());
    }
}
