//! A client of the cluster under test.

use std::fmt;
use std::rc::Rc;

use dog::{ClientId, Close, CloseCode, IntoMessage, Message, ReplicaId, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::received;
use crate::world::{ClientKey, ClientState, World};

/// A client's end of a WebSocket. It sends when the test says so, and keeps the messages that it has received.
///
/// An action of a client takes effect when the [`Cluster`](crate::Cluster) runs next. A socket that has ended sends
/// nothing any more, as in a browser.
pub struct ClientSocket {
    world: Rc<World>,
    key: ClientKey,
    replica: ReplicaId,
    client: ClientId,
}

impl ClientSocket {
    /// Sends a message: text from `&str` and `String`, binary from `Vec<u8>` and `Bytes`.
    pub fn send(&self, message: impl IntoMessage) {
        self.world.client_sends(self.key, message.into());
    }

    /// Sends a value as JSON.
    ///
    /// # Panics
    /// If the value cannot be serialised.
    #[track_caller]
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) {
        match Message::json(value) {
            Ok(message) => self.send(message),
            Err(error) => panic!("{error}"),
        }
    }

    /// Closes the socket with [`CloseCode::NORMAL`], after all messages that were sent before.
    pub fn close(&self) {
        self.close_with(CloseCode::NORMAL, "");
    }

    /// Closes the socket with a code and a reason, after all messages that were sent before.
    pub fn close_with(&self, code: CloseCode, reason: &str) {
        self.world.client_closes(self.key, Close::new(code, reason));
    }

    /// Breaks the connection without a close. `on_error` follows.
    pub fn vanish(&self) {
        self.world.client_vanishes(self.key, 0);
    }

    /// Stops reading. Messages then wait at the server. If more than
    /// [`Builder::max_outbox`](crate::Builder::max_outbox) bytes wait, the server ends the socket with 1013.
    pub fn stop_reading(&self) {
        self.world.set_reads(self.key, false);
    }

    /// Reads again, beginning with the messages that have waited.
    pub fn read_on(&self) {
        self.world.set_reads(self.key, true);
    }

    /// Takes the oldest message that has arrived.
    #[must_use]
    pub fn next(&self) -> Option<Message> {
        self.world.received(self.key, |received| if received.is_empty() { None } else { Some(received.remove(0)) })
    }

    /// Takes all messages that have arrived, the oldest first.
    #[must_use]
    pub fn received(&self) -> Vec<Message> {
        self.world.received(self.key, std::mem::take)
    }

    /// Takes all messages that have arrived, as text.
    ///
    /// # Panics
    /// If one of them is binary.
    #[must_use]
    #[track_caller]
    pub fn received_texts(&self) -> Vec<String> {
        received::texts(self.received())
    }

    /// Takes all messages that have arrived, deserialised from JSON.
    ///
    /// # Panics
    /// If one of them is not a `T`.
    #[must_use]
    #[track_caller]
    pub fn received_json<T: DeserializeOwned>(&self) -> Vec<T> {
        received::json(self.received())
    }

    /// Whether the socket is open, as far as the client knows.
    pub fn is_open(&self) -> bool {
        self.state() == ClientState::Open
    }

    /// Returns the code and the reason with which either side closed the socket. The code is [`CloseCode::ABNORMAL`] if
    /// the connection broke. `None` while it is open.
    pub fn closed(&self) -> Option<Close> {
        match self.state() {
            ClientState::Closed(close) => Some(close),
            ClientState::Gone => Some(Close::new(CloseCode::ABNORMAL, "")),
            ClientState::Asking | ClientState::Open | ClientState::Answered => None,
        }
    }

    /// Returns the Replica of the socket.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Returns the client id that the App has used.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    fn state(&self) -> ClientState {
        self.world.client_state(self.key)
    }
}

impl fmt::Debug for ClientSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientSocket({:?} on {:?}, {:?})", self.client, self.replica, self.state())
    }
}

/// A request that may not be answered yet, from [`Cluster::begin`](crate::Cluster::begin). Dropping it does not cancel
/// the request.
#[derive(Clone)]
pub struct PendingRequest {
    world: Rc<World>,
    key: ClientKey,
    path: String,
}

impl PendingRequest {
    pub(super) fn new(world: Rc<World>, key: ClientKey, path: String) -> Self {
        Self { world, key, path }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Takes the answer, if it has come: a socket, or a response that opens none.
    pub fn answer(&self) -> Option<Result<ClientSocket, Box<Response>>> {
        let response = self.world.take_response(self.key)?;
        let (Some((address, _)), Some(client)) = (self.world.client_socket(self.key), self.world.identified(self.key))
        else {
            return Some(Err(Box::new(response)));
        };
        let (world, key) = (Rc::clone(&self.world), self.key);
        Some(Ok(ClientSocket { world, key, replica: address.replica, client }))
    }

    /// Lets the client disconnect without waiting for the answer. If the request opens a socket, the socket ends at
    /// once.
    pub fn vanish(&self) {
        self.world.client_vanishes(self.key, 0);
    }
}

impl fmt::Debug for PendingRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PendingRequest({})", self.path)
    }
}
