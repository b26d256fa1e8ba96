//! A client's end of a connection.

use std::collections::VecDeque;

use dog::{ClientId, Close, Message, Response, SocketId};
use dog_engine::address::ReplicaAddress;

use super::clock::Micros;
use super::reply::ReplySender;

/// Identifies a client's connection.
pub type ClientKey = usize;

/// The state of a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Its request is on its way.
    Asking,
    /// It has a socket.
    Open,
    /// It has an answer that opened no socket.
    Answered,
    /// Its socket has ended.
    Closed(Close),
    /// It has disconnected without a close.
    Gone,
}

/// Something on its way to a client.
#[derive(Clone, Debug)]
pub(super) enum Outgoing {
    Message(Message),
    Close(Close),
}

impl Outgoing {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Close(_) => 0,
        }
    }
}

/// A client's end of a connection.
pub(super) struct Client {
    state: ClientState,
    socket: Option<(ReplicaAddress, SocketId)>,
    identified: Option<ClientId>,
    response: Option<Response>,
    received: Vec<Message>,
    reads: bool,
    has_stalled: bool,
    unread: VecDeque<Outgoing>,
    unread_bytes: usize,
    /// The bytes that it has not read, also those on their way.
    waiting: usize,
    /// Those who wait until it has read everything. They are dropped then.
    drained: Vec<ReplySender<()>>,
    last_in: Micros,
    last_out: Micros,
}

impl Client {
    /// Creates a client that has sent a request.
    pub(super) fn new() -> Self {
        Self {
            state: ClientState::Asking,
            socket: None,
            identified: None,
            response: None,
            received: Vec::new(),
            reads: true,
            has_stalled: false,
            unread: VecDeque::new(),
            unread_bytes: 0,
            waiting: 0,
            drained: Vec::new(),
            last_in: 0,
            last_out: 0,
        }
    }

    pub(super) fn state(&self) -> &ClientState {
        &self.state
    }

    pub(super) fn set_state(&mut self, state: ClientState) {
        self.state = state;
    }

    /// Returns its socket, once it is answered.
    pub(super) fn socket(&self) -> Option<(ReplicaAddress, SocketId)> {
        self.socket
    }

    /// Returns its socket while that is open.
    pub(super) fn open_socket(&self) -> Option<SocketId> {
        self.socket.filter(|_| self.state == ClientState::Open).map(|(_, socket)| socket)
    }

    /// Returns the client id that the App has used for it, if it has a socket.
    pub(super) fn identified(&self) -> Option<&ClientId> {
        self.identified.as_ref()
    }

    /// Records that the answer has arrived, with a socket or without one.
    pub(super) fn answer(&mut self, response: Response, socket: Option<(ReplicaAddress, SocketId, Option<ClientId>)>) {
        self.response = Some(response);
        match socket {
            Some((replica, socket, client)) => {
                self.state = ClientState::Open;
                self.socket = Some((replica, socket));
                self.identified = client;
            }
            None => self.state = ClientState::Answered,
        }
    }

    pub(super) fn take_response(&mut self) -> Option<Response> {
        self.response.take()
    }

    pub(super) fn received(&mut self) -> &mut Vec<Message> {
        &mut self.received
    }

    pub(super) fn reads(&self) -> bool {
        self.reads
    }

    /// Whether it has ever stopped reading.
    pub(super) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Stops or starts reading. Returns the items that have waited for it.
    pub(super) fn set_reads(&mut self, reads: bool) -> VecDeque<Outgoing> {
        self.reads = reads;
        self.has_stalled |= !reads;
        if !reads {
            return VecDeque::new();
        }
        self.unread_bytes = 0;
        std::mem::take(&mut self.unread)
    }

    /// Queues an item if the client does not read. The error says whether more than `limit` bytes wait now. Returns the
    /// item if the client reads.
    pub(super) fn queue(&mut self, outgoing: Outgoing, limit: usize) -> Result<Outgoing, bool> {
        if self.reads && self.unread.is_empty() {
            return Ok(outgoing);
        }
        if let Outgoing::Message(message) = &outgoing {
            self.unread_bytes += message.len();
        }
        self.unread.push_back(outgoing);
        Err(self.unread_bytes > limit)
    }

    /// Notes that a message was sent to it.
    pub(super) fn is_sent(&mut self, bytes: usize) {
        self.waiting += bytes;
    }

    /// Notes that it has read a message, or never will.
    pub(super) fn is_done_with(&mut self, bytes: usize) {
        self.waiting -= bytes;
        if self.waiting == 0 {
            self.drained.clear();
        }
    }

    /// The bytes that it has not read.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Drops `waits` when it has read everything.
    pub(super) fn when_drained(&mut self, waits: ReplySender<()>) {
        if self.waiting > 0 {
            self.drained.push(waits);
        }
    }

    /// Returns when an item that would reach the server at `at` arrives: not before items that were sent earlier.
    pub(super) fn in_order_in(&mut self, at: Micros) -> Micros {
        self.last_in = self.last_in.max(at);
        self.last_in
    }

    /// Returns the same for an item on its way to the client.
    pub(super) fn in_order_out(&mut self, at: Micros) -> Micros {
        self.last_out = self.last_out.max(at);
        self.last_out
    }
}
