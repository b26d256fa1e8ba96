//! A client of the cluster under test.

use std::fmt;
use std::rc::Rc;

use dog::{ClientId, Close, CloseCode, Message, ReplicaId, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::world::{ClientKey, ClientState, World};

/// One client's WebSocket, at the client's end: a value that sends when told to, and keeps what it has received.
///
/// What it does takes effect when the [`Cluster`](crate::Cluster) runs next, and what it has received is what has come
/// by then. One that has ended sends nothing any more, as in a browser.
pub struct ClientSocket {
    world: Rc<World>,
    key: ClientKey,
    replica: ReplicaId,
    client: ClientId,
}

impl ClientSocket {
    /// Sends a message: text from `&str` and `String`, binary from `Vec<u8>` and `Bytes`.
    pub fn send(&self, message: impl Into<Message>) {
        self.world.client_sends(self.key, message.into());
    }

    /// Sends a value as JSON.
    ///
    /// # Panics
    /// When it cannot be written as JSON.
    #[track_caller]
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) {
        match Message::json(value) {
            Ok(message) => self.send(message),
            Err(error) => panic!("{error}"),
        }
    }

    /// Closes with [`CloseCode::NORMAL`], after what was sent before.
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

    /// Reads nothing more: what is sent waits at the server, and when that is too much
    /// ([`Builder::max_outbox`](crate::Builder::max_outbox)) the server ends the socket with 1013.
    pub fn stop_reading(&self) {
        self.world.set_reads(self.key, false);
    }

    /// Reads again, and first what has waited.
    pub fn read_on(&self) {
        self.world.set_reads(self.key, true);
    }

    /// The oldest message that has come and was not taken yet.
    #[must_use]
    pub fn next(&self) -> Option<Message> {
        let mut sockets = self.world.sockets.borrow_mut();
        let received = &mut sockets.client_mut(self.key).received;
        if received.is_empty() { None } else { Some(received.remove(0)) }
    }

    /// All that has come and was not taken yet, the oldest first.
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
        let mut texts = Vec::new();
        for message in self.received() {
            let Some(text) = message.as_text() else {
                panic!("a binary message of {} bytes has come, and text was expected", message.len())
            };
            texts.push(text.to_owned());
        }
        texts
    }

    /// The same, read as JSON.
    ///
    /// # Panics
    /// When a message has come that is no `T`.
    #[must_use]
    #[track_caller]
    pub fn received_json<T: DeserializeOwned>(&self) -> Vec<T> {
        let mut values = Vec::new();
        for message in self.received() {
            match message.to_json() {
                Ok(value) => values.push(value),
                Err(error) => panic!("{message:?} is no {}: {error}", std::any::type_name::<T>()),
            }
        }
        values
    }

    /// Whether it is open, as far as the client knows.
    pub fn is_open(&self) -> bool {
        self.state() == ClientState::Open
    }

    /// How it was closed, by either side, or `None` while it is open: the code and the reason that a client is told,
    /// [`CloseCode::ABNORMAL`] when it just broke.
    pub fn closed(&self) -> Option<Close> {
        match self.state() {
            ClientState::Closed(close) => Some(close),
            ClientState::Gone => Some(Close::new(CloseCode::ABNORMAL, "")),
            ClientState::Asking | ClientState::Open | ClientState::Answered => None,
        }
    }

    /// The Replica that holds it, or held it.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Whom the App has identified it as.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    fn state(&self) -> ClientState {
        self.world.sockets.borrow().client(self.key).state.clone()
    }
}

impl fmt::Debug for ClientSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientSocket({:?} on {:?}, {:?})", self.client, self.replica, self.state())
    }
}

/// A request that is on its way: from [`Cluster::begin`](crate::Cluster::begin). Dropped, it stays on its way.
#[derive(Clone)]
pub struct Pending {
    world: Rc<World>,
    key: ClientKey,
    path: String,
}

impl Pending {
    pub(super) fn new(world: Rc<World>, key: ClientKey, path: String) -> Self {
        Self { world, key, path }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The answer, the first time that this is asked after it has come: a socket, or a response that opened none.
    pub fn answer(&self) -> Option<Result<ClientSocket, Box<Response>>> {
        let mut sockets = self.world.sockets.borrow_mut();
        let end = sockets.client_mut(self.key);
        let response = end.response.take()?;
        let (Some((address, _)), Some(client)) = (end.socket, end.identified.clone()) else {
            return Some(Err(Box::new(response)));
        };
        let (world, key) = (Rc::clone(&self.world), self.key);
        Some(Ok(ClientSocket { world, key, replica: address.replica, client }))
    }

    /// The client goes without waiting for the answer; a socket that it would have got ends at once.
    pub fn vanish(&self) {
        self.world.client_vanishes(self.key, 0);
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pending({})", self.path)
    }
}
