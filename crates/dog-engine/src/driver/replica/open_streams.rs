//! The open event streams of a Replica: [`EventStreams`].

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use dog::internal::Streams;
use dog::{Epoch, SocketId};

use crate::address::SeatId;
use crate::event_stream::StreamQueue;
use crate::socket_map::SocketMap;

/// In the number of every event stream, and of no other socket.
const STREAM: u64 = 1 << 63;

/// Where an App has left out event streams, what follows from this is not in its program.
pub(super) fn is_stream(socket: SocketId) -> bool {
    Streams::ON && socket.raw() & STREAM != 0
}

/// The open event streams of one Replica. They are few or none in most Replicas.
pub(super) struct EventStreams {
    epoch: Epoch,
    open: SocketMap<OpenStream>,
    by_seat: HashMap<SeatId, SocketId>,
    opened: u32,
    /// Whether a task keeps the streams alive.
    is_kept_alive: bool,
}

pub(super) struct OpenStream {
    queue: Arc<StreamQueue>,
    seat: SeatId,
    attachment: Option<Bytes>,
    /// Made when it is first asked for.
    token: Option<[u8; 16]>,
}

impl OpenStream {
    pub(super) fn new(queue: Arc<StreamQueue>, seat: SeatId, attachment: Option<Bytes>) -> Self {
        Self { queue, seat, attachment, token: None }
    }

    pub(super) fn queue(&self) -> &Arc<StreamQueue> {
        &self.queue
    }

    pub(super) fn attachment(&self) -> Option<Bytes> {
        self.attachment.clone()
    }

    pub(super) fn set_attachment(&mut self, attachment: Bytes) {
        self.attachment = Some(attachment);
    }

    pub(super) fn token(&self) -> Option<[u8; 16]> {
        self.token
    }

    pub(super) fn token_or(&mut self, make: impl FnOnce() -> [u8; 16]) -> [u8; 16] {
        *self.token.get_or_insert_with(make)
    }
}

impl EventStreams {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, open: SocketMap::default(), by_seat: HashMap::new(), opened: 0, is_kept_alive: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn get(&self, socket: &SocketId) -> Option<&OpenStream> {
        self.open.get(socket)
    }

    pub(super) fn get_mut(&mut self, socket: &SocketId) -> Option<&mut OpenStream> {
        self.open.get_mut(socket)
    }

    pub(super) fn of_seat(&self, seat: SeatId) -> Option<SocketId> {
        self.by_seat.get(&seat).copied()
    }

    /// A task keeps the streams alive from now on. Returns whether one did so before.
    pub(super) fn begin_keeping_alive(&mut self) -> bool {
        std::mem::replace(&mut self.is_kept_alive, true)
    }

    pub(super) fn insert(&mut self, stream: OpenStream) -> SocketId {
        self.opened = self.opened.wrapping_add(1);
        // With the life, so that no two lives of a Replica use the same number soon after one another.
        let life = (self.epoch.as_u64() & u64::from(u32::MAX >> 1)) << 32;
        let socket = SocketId::from_raw(STREAM | life | u64::from(self.opened));
        self.by_seat.insert(stream.seat, socket);
        self.open.insert(socket, stream);
        socket
    }

    /// Returns whether the stream was here.
    pub(super) fn remove(&mut self, socket: SocketId) -> bool {
        let Some(stream) = self.open.remove(&socket) else { return false };
        self.by_seat.remove(&stream.seat);
        true
    }

    /// Returns whether there are streams.
    pub(super) fn keep_alive(&mut self) -> bool {
        self.in_order().for_each(|(_, stream)| stream.queue.keep_alive());
        self.is_kept_alive = !self.open.is_empty();
        self.is_kept_alive
    }

    /// All streams, the oldest first, so that a simulated run is the same each time.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (SocketId, &OpenStream)> {
        let mut streams: Vec<_> = self.open.iter().map(|(socket, stream)| (*socket, stream)).collect();
        streams.sort_unstable_by_key(|(socket, _)| *socket);
        streams.into_iter()
    }
}
