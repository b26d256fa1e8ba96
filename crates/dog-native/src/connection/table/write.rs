//! Writing: how much may be queued for a socket, and when it is offered to the kernel. Only what the kernel has refused
//! counts against a socket.

use std::future::ready;

use bytes::Bytes;
use dog::internal::{LocalFuture, SocketErrorKind};
use dog::{CloseCode, SocketId};
use dog_engine::address::GroupAddress;
use futures_util::FutureExt;

use super::super::outbox::{Flushed, KEEPING, Pace};
use super::super::record::Phase;
use super::super::stream::Stream;
use super::{Connections, WRITES_PER_CHECK, place};
use crate::config::{Config, SlowConsumer};

/// How many bytes may be queued in one turn, counted per socket, before they are written: 2 MiB. This bounds the length
/// of the turn and of the queues.
const WRITE_AT: usize = 2 * 1024 * 1024;

impl Connections {
    /// Queues one frame for an open socket, unless too much is queued for it although the kernel was offered all of
    /// it. A socket that keeps up gets even a message that is larger than the limit. Returns whether the frame was
    /// queued.
    pub(super) fn queue(&mut self, config: &Config, socket: SocketId, frame: &Bytes) -> bool {
        self.leave_fan_out(socket);
        let Some(connection) = self.get(socket).filter(|connection| connection.phase == Phase::Open) else {
            return false;
        };
        let (waiting, lane, blocked) = (connection.outbox.weight(), connection.lane, connection.outbox.blocked);
        let frame = self.compressor.frame(frame, lane);
        let (length, weight) = (frame.len(), waiting + frame.len() + KEEPING);
        if weight <= self.max_outbox / 2 || self.has_room(socket, length) || self.makes_room(socket, length) {
            self.note_queued(length, 1);
            self.is_full |= !blocked && weight > self.max_outbox / 4;
            self.push(socket, frame);
            return true;
        }
        if self.get(socket).is_none_or(|connection| connection.phase != Phase::Open) {
            return false;
        }
        if config.slow_consumer == SlowConsumer::DropNewest {
            self.counters.deliveries_dropped.one();
            self.dropped.push(socket);
        } else {
            self.counters.slow_consumers.one();
            self.fail(socket, SocketErrorKind::TooSlow, CloseCode::TRY_AGAIN, "too slow");
        }
        false
    }

    /// Returns whether `length` more bytes may be queued. A socket that lags has twice the room, for messages that were
    /// already on their way when their senders were held back.
    fn has_room(&mut self, socket: SocketId, length: usize) -> bool {
        let most = self.max_outbox;
        self.get(socket).is_some_and(|connection| {
            let waiting = connection.outbox.weight();
            let (free, most) = match connection.outbox.pace {
                Pace::KeepsUp => (most / 2, most),
                Pace::Lags => (most / 2, most * 2),
                Pace::Slow => (0, most),
            };
            waiting <= free || waiting + length + KEEPING <= most
        })
    }

    /// Offers the queue to the kernel. Returns whether there is room afterwards.
    fn makes_room(&mut self, socket: SocketId, length: usize) -> bool {
        if !(self.gate)() {
            return false;
        }
        self.arena.begin_flush();
        self.write_to(place(socket));
        self.has_room(socket, length)
    }

    /// Notes that `length` bytes were queued for this many sockets.
    pub(super) fn note_queued(&mut self, length: usize, sockets: usize) {
        self.queued += length * sockets;
        self.is_full |= self.queued > WRITE_AT;
    }

    /// Does the same for the members of a fan-out. `weight` is what is queued for each of them in total.
    pub(super) fn note_fan_out(&mut self, length: usize, weight: usize, sockets: usize) {
        self.note_queued(length, sockets);
        self.is_full |= weight > self.max_outbox / 4;
    }

    /// Returns whether the queued frames should be written before more are queued.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Notes that the kernel takes bytes again.
    pub(crate) fn writable(&mut self, socket: SocketId) {
        let Some(connection) = self.get(socket) else { return };
        let waits = connection.outbox.waits();
        connection.outbox.blocked = false;
        if waits {
            self.touch(socket);
        }
    }

    /// Returns whether the next `sockets` may be written to; at most [`WRITES_PER_CHECK`]. After it has returned
    /// `false`, nothing is written before the next flush.
    pub(super) fn may_write(&mut self, sockets: usize) -> bool {
        if self.writes_left < sockets {
            self.writes_left = if (self.gate)() { WRITES_PER_CHECK } else { 0 };
        }
        let may = self.writes_left >= sockets;
        self.writes_left = self.writes_left.saturating_sub(sockets);
        may
    }

    /// Writes once to each socket that has frames queued. The caller has just checked that writing is allowed. If it
    /// stops being allowed on the way, the remaining frames stay queued. Returns whether everything was offered to the
    /// kernel.
    pub(crate) fn flush(&mut self) -> bool {
        (self.queued, self.is_full, self.writes_left) = (0, false, WRITES_PER_CHECK);
        self.flush_fan_outs();
        let mut dirty = std::mem::take(&mut self.dirty);
        self.arena.begin_flush();
        for place in dirty.drain(..) {
            let place = place as usize;
            let Some(connection) = self.slab.get_mut(place) else { continue };
            connection.outbox.dirty = false;
            if !connection.outbox.blocked && self.may_write(1) {
                self.write_to(place);
            }
        }
        self.counters.bytes_sent.add(self.arena.take_written());
        self.compressor.forget();
        // Put back to keep its memory.
        self.dirty = dirty;
        self.may_write(1)
    }

    /// Offers the queue of one connection to the kernel.
    fn write_to(&mut self, place: usize) {
        let Some(connection) = self.slab.get_mut(place) else { return };
        // The client does not have the response to its handshake yet.
        let Some(stream) = &mut connection.stream else { return self.judge_pace(place) };
        let (waited, finishes) = (connection.outbox.bytes, connection.phase == Phase::Finishing);
        let (flushed, progressed) = if stream.is_tls() {
            self.sessions.flush(place, (&mut self.arena, &mut connection.outbox), stream, finishes)
        } else {
            let flushed = self.arena.flush(&mut connection.outbox, stream);
            (flushed, connection.outbox.bytes < waited)
        };
        if matches!(flushed, Ok(Flushed::All)) && finishes {
            stream.finish();
        }
        // What the kernel takes at once says nothing about the client. If it takes bytes after a refusal, the client is
        // reading.
        if progressed && (connection.outbox.is_backed_up() || connection.phase != Phase::Open) {
            connection.lives(self.seconds);
            self.has_progressed(place);
        }
        match flushed {
            Ok(flushed) => {
                let Some(connection) = self.slab.get_mut(place) else { return };
                connection.outbox.is_refused(flushed == Flushed::Blocked, self.moment);
                if connection.outbox.blocked || connection.outbox.pace != Pace::KeepsUp {
                    self.judge_pace(place);
                }
                if !self.awaited.is_empty() {
                    self.tell_drained(place);
                }
            }
            Err(_) => {
                if let Some(socket) = self.at(place) {
                    self.lose(socket);
                }
            }
        }
    }

    /// Lets frames that are encrypted, in full or in part, count as written, because the client gets them in any case.
    pub(super) fn count_encrypted_as_written(&mut self, socket: SocketId) {
        let Some(connection) = self.slab.get_mut(place(socket)) else { return };
        if connection.stream.as_ref().is_some_and(Stream::is_tls) {
            let encrypted = self.sessions.take_encrypted(place(socket));
            self.arena.advance(&mut connection.outbox, encrypted);
        }
    }

    /// Returns whether any socket lags.
    #[inline]
    pub(crate) fn any_lags(&self) -> bool {
        self.lagging.any()
    }

    /// Returns whether any socket of the Group lags.
    pub(crate) fn lags(&self, group: GroupAddress) -> bool {
        self.lagging.any_of(group)
    }

    /// Returns whether [`take_lag_news`](Self::take_lag_news) would return anything.
    pub(crate) fn has_lag_news(&self) -> bool {
        self.lagging.has_news()
    }

    /// Returns the Groups in which the first socket has begun to lag (`true`) or the last has stopped (`false`), in
    /// order.
    pub(crate) fn take_lag_news(&mut self) -> Vec<(GroupAddress, bool)> {
        self.lagging.take_news()
    }

    /// Notes that the kernel has taken some of what it had refused.
    pub(super) fn has_progressed(&mut self, place: usize) {
        let Some(socket) = self.at(place) else { return };
        self.lagging.progressed(socket);
    }

    /// Notes that an event stream of the Group lags. It is no connection, and its number is none of theirs.
    pub(crate) fn stream_lags(&mut self, number: SocketId, group: GroupAddress) {
        self.lagging.begin(number, group);
    }

    /// Checks an event stream that lags. Returns whether its client is slow. Then the stream lags no more.
    pub(crate) fn check_stream(&mut self, number: SocketId, progressed: bool) -> bool {
        if progressed {
            self.lagging.progressed(number);
        }
        let is_slow = self.lagging.check(number);
        if is_slow {
            self.lagging.end(number);
        }
        is_slow
    }

    /// An event stream has caught up.
    pub(crate) fn stream_lags_no_more(&mut self, number: SocketId) {
        self.lagging.end(number);
    }

    /// Updates the pace of a connection after the kernel was offered its queue and did not take all of it.
    pub(super) fn judge_pace(&mut self, place: usize) {
        let Some(socket) = self.at(place) else { return };
        let Some(connection) = self.slab.get_mut(place) else { return };
        let waits = connection.outbox.weight();
        match connection.outbox.pace {
            Pace::KeepsUp if self.can_lag && waits > self.max_outbox / 2 && connection.phase == Phase::Open => {
                if !connection.outbox.is_burst(self.moment) {
                    connection.outbox.pace = Pace::Slow;
                    return;
                }
                let Some(replica) = &connection.replica else { return };
                connection.outbox.pace = Pace::Lags;
                self.lagging.begin(socket, replica.address().group);
            }
            Pace::Lags | Pace::Slow if waits <= self.max_outbox / 4 => {
                connection.outbox.pace = Pace::KeepsUp;
                self.lagging.end(socket);
            }
            _ => {}
        }
    }

    /// Stops treating the socket as lagging, because its client is slow or it is no longer open.
    pub(super) fn lags_no_more(&mut self, socket: SocketId) {
        if self.any_lags() {
            self.lagging.end(socket);
        }
        if let Some(connection) = self.get(socket) {
            connection.outbox.pace = Pace::Slow;
        }
    }

    /// Checks all sockets that lag. Closes those whose clients are slow and for which too much is queued.
    pub(crate) fn check_lagging(&mut self, config: &Config) {
        for socket in self.lagging.sockets() {
            let Some(connection) = self.get(socket) else { continue };
            let waits = connection.outbox.weight();
            // The socket is written to again at the end of the turn, even if the kernel has reported nothing.
            connection.outbox.blocked = false;
            self.touch(socket);
            if !self.lagging.check(socket) {
                continue;
            }
            self.lags_no_more(socket);
            if waits > config.max_outbox && config.slow_consumer == SlowConsumer::Close {
                self.counters.slow_consumers.one();
                self.fail(socket, SocketErrorKind::TooSlow, CloseCode::TRY_AGAIN, "too slow");
            }
        }
    }

    /// Returns the sockets that have not taken the last message and stay open.
    pub(crate) fn take_dropped(&mut self) -> Vec<SocketId> {
        std::mem::take(&mut self.dropped)
    }

    /// Returns whether so little is queued for a socket that it counts as one that keeps up even with a message of this many bytes
    /// more.
    pub(crate) fn takes(&mut self, socket: SocketId, bytes: usize) -> bool {
        self.leave_fan_out(socket);
        let most = self.max_outbox / 4;
        let waiting = self.get(socket).map_or(0, |connection| connection.outbox.weight());
        waiting == 0 || waiting + bytes + KEEPING <= most
    }

    /// Completes when nothing is queued for a socket, or it is not open any more.
    pub(crate) fn drained(&mut self, socket: SocketId) -> LocalFuture<()> {
        self.leave_fan_out(socket);
        if self.get(socket).is_none_or(|connection| connection.phase != Phase::Open || !connection.outbox.waits()) {
            return Box::pin(ready(()));
        }
        Box::pin(self.awaited.wait(socket).map(drop))
    }

    /// Tells those who wait for a connection that its queue was written.
    #[cold]
    pub(super) fn tell_drained(&mut self, at: usize) {
        if let Some(socket) = self.at(at)
            && self.slab.get(place(socket)).is_some_and(|connection| !connection.outbox.waits())
        {
            self.awaited.end(socket);
        }
    }
}
