//! The connections of one worker: [`Connections`]. The modules `deliver` and `write` queue and write messages, and `drained`
//! keeps who waits until a client has taken all of them.

mod deliver;
mod drained;
mod write;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::SocketErrorKind;
use dog::{Close, CloseCode, SocketError, SocketId};
use dog_engine::host::{End, ReplicaObject};
use mio::{Registry, Token};
use slab::Slab;

use self::drained::Awaited;
use super::compression::{Compressor, Lane};
use super::fan_out::FanOuts;
use super::lagging::Lagging;
use super::outbox::Arena;
use super::record::{Connection, Phase};
use super::tls::{Received, Sessions};
use super::transport::Transport;
use crate::addresses::AddressPermit;
use crate::config::{Config, SlowConsumer};
use crate::metrics::counters::Counters;
use crate::websocket::{close_frame, ping_frame};

/// All connections of one worker.
pub(crate) struct Connections {
    slab: Slab<Connection>,
    sessions: Sessions,
    next_generation: u32,
    arena: Arena,
    fan_outs: FanOuts,
    compressor: Compressor,
    lagging: Lagging,
    /// The places of connections that must be written.
    dirty: Vec<u32>,
    /// Bytes queued since the last flush, counted per socket.
    queued: usize,
    /// Whether so much is queued, in total or for one socket, that it should be written now.
    is_full: bool,
    max_outbox: usize,
    /// Whether sockets can lag. They cannot if messages are dropped instead.
    can_lag: bool,
    gate: Gate,
    /// How many sockets may be written to before the gate is called again.
    writes_left: usize,
    registry: Registry,
    counters: Rc<Counters>,
    /// Seconds since the worker started.
    pub(crate) seconds: u32,
    /// A clock with about a quarter of a second per tick, which wraps after about a minute. See [`moment`].
    pub(crate) moment: u8,
    /// The sockets that have not taken the last message, because messages are dropped for slow clients.
    dropped: Vec<SocketId>,
    awaited: Awaited,
    /// Sockets that have ended by themselves. Their Replicas are told at the end of the turn.
    pub(crate) ended: VecDeque<(SocketId, Rc<dyn ReplicaObject>, End)>,
    /// What is attached to those sockets. Their connections may be gone before their Replicas are told.
    last_attachments: HashMap<SocketId, Bytes>,
}

/// Called before something is written in the middle of a turn. It first sends the messages that are queued for other
/// workers, because a client's reaction to what it reads must not overtake them. Returns whether anything may be
/// written.
pub(crate) type Gate = Box<dyn Fn() -> bool>;

/// How many sockets are written to between two calls of the gate. Each write is a system call, so a call per this many
/// writes costs almost nothing.
const WRITES_PER_CHECK: usize = 16;

/// Returns the `moment` of a worker that has run for `uptime`. It is one byte, to keep connections small, and is never
/// zero. It only separates recent events from old ones.
pub(crate) fn moment(uptime: Duration) -> u8 {
    let quarters = uptime.as_secs() * 4 + u64::from(uptime.subsec_millis() / 250);
    u8::try_from(quarters % 255 + 1).unwrap_or(1)
}

/// Returns the place in the slab that an id refers to.
pub(crate) fn place(socket: SocketId) -> usize {
    usize::try_from(socket.raw() & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}

impl Connections {
    pub(crate) fn new(registry: Registry, config: &Config, counters: Rc<Counters>, gate: Gate) -> Self {
        let compression = config.compression.unwrap_or_default();
        Self {
            max_outbox: config.max_outbox,
            can_lag: config.slow_consumer == SlowConsumer::Close,
            gate,
            writes_left: 0,
            lagging: Lagging::default(),
            queued: 0,
            is_full: false,
            slab: Slab::new(),
            sessions: Sessions::default(),
            next_generation: 0,
            arena: Arena::default(),
            fan_outs: FanOuts::default(),
            compressor: Compressor::new(compression, Rc::clone(&counters)),
            dirty: Vec::new(),
            registry,
            counters,
            seconds: 0,
            moment: 1,
            dropped: Vec::new(),
            awaited: Awaited::default(),
            ended: VecDeque::new(),
            last_attachments: HashMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Creates the record of a connection that is attached later. Frames for it are queued until then.
    pub(crate) fn insert(&mut self, replica: Option<Rc<dyn ReplicaObject>>) -> SocketId {
        let entry = self.slab.vacant_entry();
        let place = entry.key();
        let generation = self.next_generation;
        // The highest bit of a socket's number stays free: event streams have it, and are not in this table.
        self.next_generation = self.next_generation.wrapping_add(1) & (u32::MAX >> 1);
        entry.insert(Connection::new(generation, replica, self.seconds));
        SocketId::from_raw(u64::from(generation) << 32 | place as u64)
    }

    /// Attaches the stream of a connection. `unread` is what the client sent after its handshake, `lane` what the
    /// handshake negotiated.
    pub(crate) fn attach(
        &mut self,
        socket: SocketId,
        transport: Transport,
        unread: &[u8],
        lane: Lane,
        permit: Option<Arc<AddressPermit>>,
    ) -> io::Result<()> {
        let seconds = self.seconds;
        if self.get(socket).is_none() {
            // The handshake took so long that the socket was given up.
            return Ok(());
        }
        let Transport { mut stream, session } = transport;
        if let Err(error) = stream.register(&self.registry, Token(place(socket))) {
            self.lose(socket);
            return Err(error);
        }
        let connection = &mut self.slab[place(socket)];
        connection.stream = Some(stream);
        if let Some(session) = session {
            self.sessions.insert(place(socket), session);
        }
        connection.readable = true;
        connection.unread = (!unread.is_empty()).then(|| unread.into());
        connection.permit = permit;
        connection.since = seconds;
        if lane.deflates() {
            connection.lane = lane;
            self.arena.replace(&mut connection.outbox, |frame| self.compressor.frame(frame, lane));
            self.counters.sockets_compressed.one();
        }
        self.counters.sockets_opened.one();
        self.touch(socket);
        Ok(())
    }

    /// Returns the connection, if the id is still valid.
    pub(crate) fn get(&mut self, socket: SocketId) -> Option<&mut Connection> {
        let connection = self.slab.get_mut(place(socket))?;
        (u64::from(connection.generation) == socket.raw() >> 32).then_some(connection)
    }

    /// Returns the id of the connection at a place.
    pub(crate) fn at(&self, place: usize) -> Option<SocketId> {
        let connection = self.slab.get(place)?;
        Some(SocketId::from_raw(u64::from(connection.generation) << 32 | place as u64))
    }

    /// Returns the ids of all connections.
    pub(crate) fn ids(&self) -> Vec<SocketId> {
        self.slab.iter().filter_map(|(place, _)| self.at(place)).collect()
    }

    /// Queues a frame, however much is queued already.
    pub(crate) fn push(&mut self, socket: SocketId, frame: Bytes) {
        self.leave_fan_out(socket);
        let Some(connection) = self.slab.get_mut(place(socket)) else { return };
        self.arena.push(&mut connection.outbox, frame);
        self.touch(socket);
    }

    /// Puts a connection on the list of those to be written.
    fn touch(&mut self, socket: SocketId) {
        let Some(connection) = self.slab.get_mut(place(socket)).filter(|connection| !connection.outbox.dirty) else {
            return;
        };
        connection.outbox.dirty = true;
        self.dirty.extend(u32::try_from(place(socket)));
    }

    /// Sends a close frame after the queued frames, and waits for the client's.
    pub(crate) fn close(&mut self, socket: SocketId, code: CloseCode, reason: &str) {
        self.say_goodbye(socket, code, reason, Phase::Closing);
    }

    /// Sends a close frame after the queued frames, and then ends the connection.
    pub(crate) fn close_and_finish(&mut self, socket: SocketId, code: CloseCode, reason: &str) {
        self.say_goodbye(socket, code, reason, Phase::Finishing);
    }

    fn say_goodbye(&mut self, socket: SocketId, code: CloseCode, reason: &str, phase: Phase) {
        let seconds = self.seconds;
        let Some(connection) = self.get(socket) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        connection.enter(phase, seconds);
        self.lags_no_more(socket);
        // If the code must not be sent, the close frame has none.
        let code = CloseCode::new(code.as_u16()).map(CloseCode::as_u16);
        self.push(socket, close_frame(code, reason));
    }

    /// Ends the connection when the queued frames have been written.
    pub(crate) fn finish(&mut self, socket: SocketId) {
        self.leave_fan_out(socket);
        let seconds = self.seconds;
        let Some(connection) = self.get(socket) else { return };
        connection.enter(Phase::Finishing, seconds);
        self.lags_no_more(socket);
        self.touch(socket);
    }

    /// Ends a socket because of an error. Its Replica is told, and the client gets a close frame.
    pub(crate) fn fail(&mut self, socket: SocketId, kind: SocketErrorKind, code: CloseCode, reason: &str) {
        self.leave_fan_out(socket);
        let Some(connection) = self.get(socket) else { return };
        if connection.phase == Phase::Open {
            let replica = connection.replica.take();
            if kind == SocketErrorKind::TooSlow {
                // Otherwise the close frame would never be written, because it comes after the queued frames.
                self.count_encrypted_as_written(socket);
                let connection = &mut self.slab[place(socket)];
                self.arena.clear_unbegun(&mut connection.outbox);
            }
            let end = End::Error(SocketError::new(kind, Close::new(code, reason)));
            if let Some(replica) = replica {
                self.note_end(socket, replica, end);
            }
            self.close_and_finish(socket, code, reason);
        }
    }

    /// Removes a connection that is broken. If its socket was open, its Replica is told that it was lost.
    pub(crate) fn lose(&mut self, socket: SocketId) {
        if let Some(connection) = self.get(socket)
            && let (Phase::Open, Some(replica)) = (connection.phase, connection.replica.take())
        {
            let close = Close::new(CloseCode::ABNORMAL, "");
            self.note_end(socket, replica, End::Error(SocketError::new(SocketErrorKind::Lost, close)));
        }
        self.remove(socket);
    }

    /// The socket of a connection has ended by itself: its Replica is told at the end of the turn. Until then the Replica finds
    /// what is attached to it.
    pub(crate) fn note_end(&mut self, socket: SocketId, replica: Rc<dyn ReplicaObject>, end: End) {
        if let Some(attachment) = self.attachment(socket) {
            self.last_attachments.insert(socket, attachment);
        }
        self.ended.push_back((socket, replica, end));
    }

    /// Its Replica was told.
    pub(crate) fn forget_end(&mut self, socket: SocketId) {
        self.last_attachments.remove(&socket);
    }

    /// Removes a connection.
    pub(crate) fn remove(&mut self, socket: SocketId) -> Option<Connection> {
        self.get(socket)?;
        self.leave_fan_out(socket);
        self.lags_no_more(socket);
        let mut connection = self.slab.try_remove(place(socket))?;
        self.arena.clear(&mut connection.outbox);
        self.awaited.end(socket);
        if let Some(stream) = &mut connection.stream {
            stream.deregister(&self.registry);
            if stream.is_tls() {
                self.sessions.remove(place(socket));
            }
        }
        Some(connection)
    }

    pub(crate) fn read(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<Received> {
        let place = place(socket);
        let connection = self.slab.get_mut(place).filter(|it| u64::from(it.generation) == socket.raw() >> 32);
        let Some(stream) = connection.and_then(|connection| connection.stream.as_mut()) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let received = if stream.is_tls() {
            self.sessions.read(place, stream, buffer)
        } else {
            stream.read(buffer).map(|length| match length {
                0 => Received::End,
                // If the buffer was not filled, the kernel has no more bytes, and reports when it has.
                _ => Received::Bytes { length, drained: length < buffer.len() },
            })
        };
        if let Ok(Received::Bytes { length, .. }) = &received {
            self.counters.bytes_received.add(*length);
        }
        received
    }

    /// Returns the number of open sockets, the number of sockets that are being closed, and the bytes queued for all of
    /// them.
    pub(crate) fn totals(&self) -> (usize, usize, usize) {
        let mut totals = (0, 0, 0);
        for (_, connection) in &self.slab {
            if connection.phase == Phase::Open {
                totals.0 += 1;
            } else {
                totals.1 += 1;
            }
            totals.2 += connection.outbox.bytes;
        }
        totals
    }

    pub(crate) fn attachment(&mut self, socket: SocketId) -> Option<Bytes> {
        if !self.last_attachments.is_empty()
            && let Some(last) = self.last_attachments.get(&socket)
        {
            return Some(last.clone());
        }
        self.get(socket)?.attachment.as_deref().cloned()
    }

    pub(crate) fn set_attachment(&mut self, socket: SocketId, attachment: Bytes) {
        if let Some(last) = self.last_attachments.get_mut(&socket) {
            last.clone_from(&attachment);
        }
        if let Some(connection) = self.get(socket) {
            connection.attachment = Some(Box::new(attachment));
        } else if self.ended.iter().any(|(ended, ..)| *ended == socket) {
            self.last_attachments.insert(socket, attachment);
        }
    }

    /// Does the work of each second: pings clients that have been silent for `ping_after`, fails those that stay
    /// silent, and drops connections that do not close in time.
    pub(crate) fn tick(&mut self, config: &Config) {
        self.seconds += 1;
        for place in 0..self.slab.capacity() {
            let Some(connection) = self.slab.get_mut(place) else { continue };
            if connection.phase == Phase::Open && connection.is_not_read() {
                connection.lives(self.seconds);
            }
            let passed = u64::from(self.seconds - connection.since);
            // The kernel reports only when there is much room again. So a client that reads slowly is written to once
            // per second.
            let waits = connection.outbox.waits();
            connection.outbox.blocked = false;
            let (phase, pinged, attached) = (connection.phase, connection.pinged, connection.stream.is_some());
            let Some(socket) = self.at(place) else { continue };
            if waits {
                self.touch(socket);
            }
            match phase {
                Phase::Open if !attached && passed < config.handshake_timeout.as_secs().max(1) => {}
                Phase::Open if !attached => self.lose(socket),
                Phase::Open if passed >= config.idle_timeout.as_secs() => {
                    self.fail(socket, SocketErrorKind::Silent, CloseCode::GOING_AWAY, "no answer to a ping");
                }
                Phase::Open if passed >= config.ping_after.as_secs() && !pinged => {
                    self.slab[place].pinged = true;
                    self.push(socket, ping_frame(&[]));
                }
                // While frames are being written, each byte that the client takes restarts the timeout.
                Phase::Closing | Phase::Finishing
                    if passed >= config.close_timeout.as_secs().max(1) + u64::from(waits) =>
                {
                    self.remove(socket);
                }
                _ => {}
            }
        }
    }
}
