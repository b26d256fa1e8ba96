//! Writing: what may wait for a socket, and when the kernel is offered it. Only what the kernel has refused counts against
//! a socket.

use bytes::Bytes;
use dog::internal::SocketErrorKind;
use dog::{CloseCode, SocketId};

use super::outbox::{Flushed, KEEPING, Pace};
use super::record::Phase;
use super::table::{Connections, place};
use crate::config::{Config, SlowConsumer};

/// Asked before something is written in the middle of a turn: sends what has been said to others first, lest what a client
/// does because of what it reads overtake it. Whether anything may be written at all.
pub(super) type Gate = Box<dyn Fn() -> bool>;

/// So many sockets are written to before it is asked again whether anything may be written: each write is a system call, so
/// that a look at a clock for so many is free.
pub(super) const LOOKS_AGAIN_AFTER: usize = 16;

/// What may be queued for sockets in one turn, counted once for each of them, before it is written: so that a turn does not
/// become long, nor what waits large.
const WRITE_AT: usize = 2 * 1024 * 1024;

impl Connections {
    /// Queues one frame for an open socket, unless too much waits there although the kernel was offered all of it. A message
    /// larger than the bound reaches a socket that keeps up.
    pub(super) fn queue(&mut self, config: &Config, socket: SocketId, frame: &Bytes) -> bool {
        self.leave_run(socket);
        let Some(connection) = self.get(socket).filter(|connection| connection.phase == Phase::Open) else {
            return false;
        };
        let (waiting, lane, blocked) = (connection.outbox.weight(), connection.lane, connection.outbox.blocked);
        let frame = self.packing.frame(frame, lane);
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
        } else {
            self.counters.slow_consumers.one();
            self.fail(socket, SocketErrorKind::TooSlow, CloseCode::TRY_AGAIN, "too slow");
        }
        false
    }

    /// Whether so much more may wait. One that lags has twice the room: what was under way when its senders were held back.
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

    /// Has the kernel take what it will of what waits. Whether there is room then.
    fn makes_room(&mut self, socket: SocketId, length: usize) -> bool {
        if !(self.gate)() {
            return false;
        }
        self.arena.begin_flush();
        self.write_to(place(socket));
        self.has_room(socket, length)
    }

    /// So many bytes were queued for so many sockets.
    pub(super) fn note_queued(&mut self, length: usize, sockets: usize) {
        self.queued += length * sockets;
        self.is_full |= self.queued > WRITE_AT;
    }

    /// The same for those of a run, for each of which so much waits now, and nothing else.
    pub(super) fn note_run(&mut self, length: usize, weight: usize, sockets: usize) {
        self.note_queued(length, sockets);
        self.is_full |= weight > self.max_outbox / 4;
    }

    /// Whether what is queued should be written before more is made of it.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// The kernel takes bytes again.
    pub(crate) fn writable(&mut self, socket: SocketId) {
        let Some(connection) = self.get(socket) else { return };
        connection.outbox.blocked = false;
        if connection.outbox.bytes > 0 {
            self.touch(socket);
        }
    }

    /// Whether the next sockets may be written to, so many of them, [`LOOKS_AGAIN_AFTER`] at most. Once not, nothing is
    /// written any more before the next flush.
    pub(super) fn may_write(&mut self, sockets: usize) -> bool {
        if self.unlooked < sockets {
            self.unlooked = if (self.gate)() { LOOKS_AGAIN_AFTER } else { 0 };
        }
        let may = self.unlooked >= sockets;
        self.unlooked = self.unlooked.saturating_sub(sockets);
        may
    }

    /// Writes what waits, once for each socket that has been given something since the last time. Whoever calls has just
    /// asked whether that may be; where it may not be any more on the way, what is left waits. Whether all was offered.
    pub(crate) fn flush(&mut self) -> bool {
        (self.queued, self.is_full, self.unlooked) = (0, false, LOOKS_AGAIN_AFTER);
        self.flush_runs();
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
        self.packing.forget();
        // Its memory is used again.
        self.dirty = dirty;
        self.may_write(1)
    }

    /// Offers the kernel what waits for one connection.
    fn write_to(&mut self, place: usize) {
        let Some(connection) = self.slab.get_mut(place) else { return };
        // A client that does not have its answer yet has some time too.
        let Some(stream) = &mut connection.stream else { return self.judge_pace(place) };
        let waited = connection.outbox.bytes;
        let flushed = self.arena.flush(&mut connection.outbox, stream);
        if matches!(flushed, Ok(Flushed::All)) && connection.phase == Phase::Finishing {
            stream.finish();
        }
        // What the kernel takes at once says nothing of the client; that it takes more again, that the client does.
        if connection.outbox.bytes < waited && (connection.outbox.is_backed_up() || connection.phase != Phase::Open) {
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
            }
            Err(_) => {
                if let Some(socket) = self.at(place) {
                    self.lose(socket);
                }
            }
        }
    }
}
