//! What Replicas tell of themselves, to each other and to their clients: [`Report`], and the kinds of errors.

use dog::ClientId;
use serde::{Deserialize, Serialize};

use super::protocol::Attached;

/// What siblings ask each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// What have you seen?
    Report,
    /// What have you seen, once the sockets of this client have ended? At once where it has none.
    Ended(ClientId),
    /// Fail, if this client has a socket with you.
    Fail(ClientId),
    /// Panic, if this client has a socket with you.
    Panic(ClientId),
    /// Never answer, if this client has a socket with you.
    Hang(ClientId),
    /// Say this back.
    Echo(Attached),
}

/// What they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Report`] and [`Ask::Ended`].
    Report(Report),
    /// To [`Ask::Echo`].
    Echo(Attached),
    /// To the others, from those that are not meant.
    Spared,
}

/// What a Replica has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Open sockets and requests in flight, this one too if it is one.
    pub seats: u32,
    /// The most there have been at any time.
    pub most: u32,
    /// How often the Replica was activated, so that a rest shows.
    pub activations: u32,
    /// Whose sockets are open.
    pub open: Vec<ClientId>,
    /// What befell its sockets, in order.
    pub entries: Vec<Entry>,
}

impl Report {
    /// What befell the sockets of `client`, in order.
    pub fn of(&self, client: &ClientId) -> Vec<Event> {
        self.entries.iter().filter(|entry| &entry.client == client).map(|entry| entry.event.clone()).collect()
    }
}

/// One line of a Replica's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose socket.
    pub client: ClientId,
    /// What befell it.
    pub event: Event,
}

/// What can befall a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// `on_open` has begun.
    Opening,
    /// `on_open` has ended well.
    Opened,
    /// `on_message` has begun: the first characters of the message.
    Message(String),
    /// `on_message` has ended well.
    Handled,
    /// `on_close` or `on_error` was called.
    End(End),
}

/// How a socket ended, as its Replica heard of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Which error, if it was `on_error`.
    pub error: Option<Cause>,
    /// The close code.
    pub code: u16,
    /// The close reason.
    pub reason: String,
    /// Whether the socket was still among the open ones, or took a message: never.
    pub lingers: bool,
}

/// Which of [`dog::SocketError`]'s kinds.
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
            (error.is_silent(), Self::Silent),
            (error.is_handler(), Self::Handler),
        ];
        kinds.into_iter().find_map(|(is, kind)| is.then_some(kind)).unwrap_or(Self::Unknown)
    }
}

/// Which of [`dog::Error`]'s kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// None of these.
    Other,
}

impl From<&dog::Error> for Why {
    fn from(error: &dog::Error) -> Self {
        let kinds = [
            (error.is_too_large(), Self::TooLarge),
            (error.is_encoding(), Self::Encoding),
            (error.is_closed(), Self::Closed),
            (error.is_deadline(), Self::Deadline),
            (error.is_unreachable(), Self::Unreachable),
            (error.is_handler(), Self::Handler),
            (error.is_storage(), Self::Storage),
            (error.is_conflict(), Self::Conflict),
        ];
        kinds.into_iter().find_map(|(is, kind)| is.then_some(kind)).unwrap_or(Self::Other)
    }
}
