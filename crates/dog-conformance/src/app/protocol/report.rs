//! What Replicas report about themselves, to each other and to their clients: [`JournalReport`], and the kinds of errors.

use dog::ClientId;
use serde::{Deserialize, Serialize};

use super::attached::Attached;

/// A question of a sibling, or of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// What is in your journal?
    Report,
    /// What is in your journal once all sockets of this client have ended? Answered at once if there are none.
    Ended(ClientId),
    /// Fail, if this client has a socket on you.
    Fail(ClientId),
    /// Panic, if this client has a socket on you.
    Panic(ClientId),
    /// Never answer, if this client has a socket on you.
    Hang(ClientId),
    /// Return this value.
    Echo(Attached),
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Report`] and [`Ask::Ended`].
    Report(JournalReport),
    /// To [`Ask::Echo`].
    Echo(Attached),
    /// To the others, from Replicas without a socket of that client.
    Spared,
}

/// The journal of a Replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalReport {
    /// Open sockets and requests in progress, including the request that asks.
    pub seats: u32,
    /// The largest number of them so far.
    pub most: u32,
    /// How often the Replica was activated: it shows whether the Replica has hibernated.
    pub activations: u32,
    /// The clients of the open sockets.
    pub open: Vec<ClientId>,
    /// The events of its sockets, in order.
    pub entries: Vec<Entry>,
}

impl JournalReport {
    /// The events of the sockets of `client`, in order.
    pub fn of(&self, client: &ClientId) -> Vec<SocketEvent> {
        self.entries.iter().filter(|entry| &entry.client == client).map(|entry| entry.event.clone()).collect()
    }
}

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The client of the socket.
    pub client: ClientId,
    /// The event.
    pub event: SocketEvent,
}

/// An event of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketEvent {
    /// `on_open` has begun.
    Opening,
    /// `on_open` has returned `Ok`.
    Opened,
    /// `on_message` has begun: the first characters of the message.
    Message(String),
    /// `on_message` has returned `Ok`.
    Handled,
    /// `on_close` or `on_error` was called.
    End(SocketEnd),
}

/// How a socket ended, as its Replica was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketEnd {
    /// The kind of the error, if it was `on_error`.
    pub error: Option<Cause>,
    /// The close code.
    pub code: u16,
    /// The close reason.
    pub reason: String,
    /// Whether the socket was still listed as open, or accepted a message. It must not.
    pub lingers: bool,
}

/// The kind of a [`dog::SocketError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// `is_lost`
    Lost,
    /// `is_protocol`
    Protocol,
    /// `is_too_big`
    TooBig,
    /// `is_too_slow`
    TooSlow,
    /// `is_too_fast`
    TooFast,
    /// `is_silent`
    Silent,
    /// `is_handler`
    Handler,
    /// None of these.
    Unknown,
}

impl From<&dog::SocketError> for Cause {
    fn from(error: &dog::SocketError) -> Self {
        let kinds = [
            (error.is_lost(), Self::Lost),
            (error.is_protocol(), Self::Protocol),
            (error.is_too_big(), Self::TooBig),
            (error.is_too_slow(), Self::TooSlow),
            (error.is_too_fast(), Self::TooFast),
            (error.is_silent(), Self::Silent),
            (error.is_handler(), Self::Handler),
        ];
        kinds.into_iter().find_map(|(is, kind)| is.then_some(kind)).unwrap_or(Self::Unknown)
    }
}

/// The kind of a [`dog::Error`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// `is_too_large`
    TooLarge,
    /// `is_encoding`
    Encoding,
    /// `is_closed`
    Closed,
    /// `is_deadline`
    Deadline,
    /// `is_unreachable`
    Unreachable,
    /// `is_handler`
    Handler,
    /// `is_storage`
    Storage,
    /// `is_conflict`
    Conflict,
    /// `is_assigned`
    Assigned,
    /// `is_invalid_client`
    InvalidClient,
    /// `is_too_many`
    TooMany,
    /// `is_invalid_name`
    InvalidName,
    /// `is_invalid_topic`
    InvalidTopic,
    /// `is_no_log`, and the text says what to do
    NoLog,
    /// `is_no_presence`
    NoPresence,
    /// `unrecovered`
    Unrecovered(String),
    /// None of these.
    Other,
}

impl From<&dog::Error> for Why {
    fn from(error: &dog::Error) -> Self {
        if let Some(reason) = error.unrecovered() {
            return Self::Unrecovered(reason.to_string());
        }
        let kinds = [
            (error.is_no_log() && error.to_string().contains("Group::log"), Self::NoLog),
            (error.is_no_presence(), Self::NoPresence),
            (error.is_too_large(), Self::TooLarge),
            (error.is_encoding(), Self::Encoding),
            (error.is_closed(), Self::Closed),
            (error.is_deadline(), Self::Deadline),
            (error.is_unreachable(), Self::Unreachable),
            (error.is_handler(), Self::Handler),
            (error.is_storage(), Self::Storage),
            (error.is_conflict(), Self::Conflict),
            (error.is_assigned(), Self::Assigned),
            (error.is_invalid_client(), Self::InvalidClient),
            (error.is_too_many(), Self::TooMany),
            (error.is_invalid_name(), Self::InvalidName),
            (error.is_invalid_topic(), Self::InvalidTopic),
        ];
        kinds.into_iter().find_map(|(is, kind)| is.then_some(kind)).unwrap_or(Self::Other)
    }
}
