//! A client of the cluster under test.

use std::fmt;
use std::rc::Rc;

use dog::{Close, CloseCode, Message, ReplicaId};

use crate::world::{ClientKey, ClientState, World};

/// One client's WebSocket, at the client's end: a value that sends when told to, and keeps what it has received.
///
/// What it does takes effect when the [`Cluster`](crate::Cluster) runs next.
pub struct ClientSocket {
    world: Rc<World>,
    key: ClientKey,
}

impl ClientSocket {
    pub(super) fn new(world: Rc<World>, key: ClientKey) -> Self {
        Self { world, key }
    }

    /// Sends a message.
    pub fn send(&self, message: impl Into<Message>) {
        self.world.client_sends(self.key, message.into());
    }

    /// Closes with [`CloseCode::NORMAL`].
    pub fn close(&self) {
        self.close_with(CloseCode::NORMAL, "");
    }

    /// Closes with a code and a reason.
    pub fn close_with(&self, code: CloseCode, reason: &str) {
        self.world.client_closes(self.key, Close::new(code, reason));
    }

    /// The connection breaks, without a close: `on_error` follows.
    pub fn vanish(&self) {
        self.world.client_vanishes(self.key, 0);
    }

    /// Reads nothing more: what is sent waits at the server, and when too much does the server ends the socket.
    pub fn stop_reading(&self) {
        self.world.set_reads(self.key, false);
    }

    /// Reads again, and first what has waited.
    pub fn read_on(&self) {
        self.world.set_reads(self.key, true);
    }

    /// What has come since this was last called.
    #[must_use]
    pub fn received(&self) -> Vec<Message> {
        std::mem::take(&mut self.world.sockets.borrow_mut().client_mut(self.key).received)
    }

    /// The same, as text.
    ///
    /// # Panics
    /// When a binary message has come.
    #[must_use]
    #[track_caller]
    pub fn received_texts(&self) -> Vec<String> {
        let text = |message: &Message| match message.as_text() {
            Some(text) => text.to_owned(),
            None => panic!("a binary message of {} bytes has come, and text was expected", message.len()),
        };
        self.received().iter().map(text).collect()
    }

    /// Whether it is open, as far as the client knows.
    pub fn is_open(&self) -> bool {
        self.state() == ClientState::Open
    }

    /// How it was closed, by either side, or `None` while it is open.
    pub fn closed(&self) -> Option<Close> {
        match self.state() {
            ClientState::Closed(close) => Some(close),
            ClientState::Gone => Some(Close::new(CloseCode::ABNORMAL, "")),
            ClientState::Asking | ClientState::Open | ClientState::Answered => None,
        }
    }

    /// The Replica that holds it.
    ///
    /// # Panics
    /// Never of a socket that a [`Cluster`](crate::Cluster) gave.
    pub fn replica(&self) -> ReplicaId {
        match self.world.sockets.borrow().client(self.key).socket {
            Some((replica, _)) => replica.replica,
            None => unreachable!("a socket that was opened has a Replica"),
        }
    }

    fn state(&self) -> ClientState {
        self.world.sockets.borrow().client(self.key).state.clone()
    }
}

impl fmt::Debug for ClientSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientSocket({}, {:?})", self.key, self.state())
    }
}
