//! The two error types: [`Error`] from this library, and [`Failure`] from the handlers of users.

mod names;

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::log::Unrecovered;
use crate::numbers::SocketId;

/// The error of this library.
///
/// It is opaque: use the `is_*` methods to find out what happened. Its text says what to do.
///
/// ```
/// let error = dog::ClientId::new("").unwrap_err();
/// assert!(error.is_invalid_client());
/// assert_eq!(error.to_string(), "the client identifier is empty: pass 1 to 256 bytes");
/// ```
pub struct Error {
    kind: Kind,
    message: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    /// The socket whose end this error is about.
    socket: Option<SocketId>,
}

/// The kinds of errors, for this crate and the hosts.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    InvalidClient,
    InvalidId,
    Encoding,
    TooLarge,
    NoRoom,
    NoTicket,
    Closed,
    Deadline,
    Unreachable,
    Handler,
    UnknownGroup,
    Storage,
    Conflict,
    InvalidTopic,
    /// A value, key or attachment of the App is too large. [`Kind::TooLarge`] is about the request of a client.
    ValueTooLarge,
    NotFound,
    /// The user's code has chosen this status, 400 to 599, and the message is for the client. See [`Failure::status`].
    Refused(u16),
    /// A number has reached its limit.
    TooMany,
    /// The client does not offer the WebSocket subprotocol that the App has chosen.
    NotOffered,
    /// The name of an alarm.
    InvalidName,
    /// The client of a socket is known already.
    Assigned,
    /// The text of a position in a log.
    InvalidPosition,
    /// The topic has no log.
    NoLog,
    /// The Group has no presence.
    NoPresence,
    /// The publications after a position cannot be given.
    Unrecovered(Unrecovered),
    /// The client has as many seats as one client may have.
    TooManySeats,
}

impl Error {
    #[doc(hidden)]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None, socket: None }
    }

    #[doc(hidden)]
    pub fn caused(kind: Kind, message: impl Into<String>, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, message: message.into(), cause: Some(cause.into()), socket: None }
    }

    #[doc(hidden)]
    pub fn of_socket(socket: SocketId) -> Self {
        let message = format!("socket {} has closed: nothing can be sent to it any more", socket.raw());
        Self { socket: Some(socket), ..Self::new(Kind::Closed, message) }
    }

    #[doc(hidden)]
    pub fn socket(&self) -> Option<SocketId> {
        self.socket
    }

    #[doc(hidden)]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The client identifier is empty or longer than 256 bytes.
    pub fn is_invalid_client(&self) -> bool {
        self.kind == Kind::InvalidClient
    }

    /// The text of a [`GroupId`](crate::GroupId) or [`ReplicaId`](crate::ReplicaId) is not 64 hexadecimal digits.
    pub fn is_invalid_id(&self) -> bool {
        self.kind == Kind::InvalidId
    }

    /// The name of a [`Topic`](crate::Topic) is empty, is longer than 256 bytes, or contains a control character.
    pub fn is_invalid_topic(&self) -> bool {
        self.kind == Kind::InvalidTopic
    }

    /// A value cannot be serialised, or bytes are not a value of the expected type.
    pub fn is_encoding(&self) -> bool {
        self.kind == Kind::Encoding
    }

    /// The name of an alarm is empty or longer than 256 bytes, or the key of a publication is empty.
    pub fn is_invalid_name(&self) -> bool {
        self.kind == Kind::InvalidName
    }

    /// Something exceeds its size limit: the body of a request, an attachment, a key, a value, the payload of an alarm,
    /// a publication.
    pub fn is_too_large(&self) -> bool {
        matches!(self.kind, Kind::TooLarge | Kind::ValueTooLarge)
    }

    /// There are too many of something already: tasks or alarms of an object, topics of a socket, a Replica or a Group, clients or
    /// whispers that wait for a Group, publications of a Replica that have no position yet, logs of a Group.
    pub fn is_too_many(&self) -> bool {
        self.kind == Kind::TooMany
    }

    /// The client has as many seats in its Group as [`Policy::max_seats_per_client`](crate::Policy::max_seats_per_client) allows.
    pub fn is_too_many_seats(&self) -> bool {
        self.kind == Kind::TooManySeats
    }

    /// No Replica has a free seat, and no other Replica can be created. Try again later.
    pub fn is_no_room(&self) -> bool {
        self.kind == Kind::NoRoom
    }

    /// The reserved seat was used before, or the reservation has expired. Identify again.
    pub fn is_no_ticket(&self) -> bool {
        self.kind == Kind::NoTicket
    }

    /// The socket has closed, or this activation of the object is over. What the call should have done has no effect.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// No answer came by the deadline, or a future did not end within its timeout. What was asked may have been done or not.
    pub fn is_deadline(&self) -> bool {
        self.kind == Kind::Deadline
    }

    /// The object that was called cannot be reached, or its activation ended before it answered.
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// A handler of the other object failed or panicked. The cause is in the log of that object, not here.
    pub fn is_handler(&self) -> bool {
        self.kind == Kind::Handler
    }

    /// The host does not run this Group. It happens only if parts of a deployment run different versions of the App: a
    /// Group that is missing in [`App::Groups`](crate::App::Groups) does not compile.
    pub fn is_unknown_group(&self) -> bool {
        self.kind == Kind::UnknownGroup
    }

    /// The storage failed, for example because the disk is full or a file is damaged. [`Storage::put`](crate::Storage::put)
    /// says what this means for a write.
    pub fn is_storage(&self) -> bool {
        self.kind == Kind::Storage
    }

    /// Other handlers changed what a transaction had read, in each of its runs.
    pub fn is_conflict(&self) -> bool {
        self.kind == Kind::Conflict
    }

    /// There is no such event stream, or not any more: see [`GroupHandle::deliver`](crate::GroupHandle::deliver).
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// The handler of an object has refused with a status of its choice ([`Failure::status`]), which is
    /// [`status`](Self::status). The text of the error is for the client.
    pub fn is_refused(&self) -> bool {
        matches!(self.kind, Kind::Refused(_))
    }

    /// The client does not offer the WebSocket subprotocol that the App has chosen.
    pub fn is_not_offered(&self) -> bool {
        self.kind == Kind::NotOffered
    }

    /// The topic has no log, so nothing can be published to it: [`Group::log`](crate::Group::log) says which topics have one.
    pub fn is_no_log(&self) -> bool {
        self.kind == Kind::NoLog
    }

    /// The Group, or the topic, has no presence: [`Policy::presence`](crate::Policy::presence) and
    /// [`Group::has_presence`](crate::Group::has_presence) say whether it has one.
    pub fn is_no_presence(&self) -> bool {
        self.kind == Kind::NoPresence
    }

    /// The text of a position in a log is not `epoch:offset`.
    pub fn is_invalid_position(&self) -> bool {
        self.kind == Kind::InvalidPosition
    }

    /// Why the publications after a position cannot be given. `None`: the error is about something else.
    pub fn unrecovered(&self) -> Option<Unrecovered> {
        match self.kind {
            Kind::Unrecovered(reason) => Some(reason),
            _ => None,
        }
    }

    /// The client of the socket is known already, so it cannot be [assigned](crate::Socket::assign).
    pub fn is_assigned(&self) -> bool {
        self.kind == Kind::Assigned
    }

    /// The HTTP status for an outside client.
    ///
    /// | errors | status |
    /// |---|---|
    /// | refused by a handler with [`Failure::status`] | that status |
    /// | invalid client identifier, id, topic or position, a subprotocol that is not offered | 400 |
    /// | no such event stream | 404 |
    /// | publications that cannot be given | 410 |
    /// | the request body is too large | 413 |
    /// | the client has too many seats | 429 |
    /// | no room, no ticket, closed, unreachable, storage, conflict, too many | 503 |
    /// | deadline | 504 |
    /// | all others, too large values and attachments of the App included | 500 |
    pub fn status(&self) -> StatusCode {
        match self.kind {
            Kind::InvalidClient | Kind::InvalidId | Kind::InvalidTopic | Kind::NotOffered | Kind::InvalidPosition => {
                StatusCode::BAD_REQUEST
            }
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Unrecovered(_) => StatusCode::GONE,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::TooManySeats => StatusCode::TOO_MANY_REQUESTS,
            Kind::NoRoom
            | Kind::NoTicket
            | Kind::Closed
            | Kind::Unreachable
            | Kind::Storage
            | Kind::Conflict
            | Kind::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Kind::Encoding
            | Kind::Handler
            | Kind::UnknownGroup
            | Kind::ValueTooLarge
            | Kind::InvalidName
            | Kind::NoLog
            | Kind::NoPresence
            | Kind::Assigned => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Refused(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    #[doc(hidden)]
    pub fn public_text(&self) -> &str {
        match self.status() {
            _ if self.is_refused() => &self.message,
            status if status.is_client_error() => &self.message,
            StatusCode::SERVICE_UNAVAILABLE => "not available now: try again later",
            StatusCode::GATEWAY_TIMEOUT => "no answer in time: try again later",
            _ => "internal error",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Refused(_) => write!(formatter, "{}: {}", self.status(), self.message),
            _ => formatter.write_str(&self.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Error");
        debug.field("kind", &self.kind).field("message", &self.message);
        if let Some(cause) = &self.cause {
            debug.field("cause", cause);
        }
        debug.finish()
    }
}

/// The form that travels between objects. The cause stays behind; it is for the log of the object where it happened.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.kind, &self.message).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, message) = <(Kind, String)>::deserialize(deserializer)?;
        Ok(Self::new(kind, message))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// The error of a handler. The operator `?` turns any error into one, and `into` turns a text into one.
///
/// The server logs it with all its causes. The client sees no internals: if `receive` or `fetch` fails, the response is 500,
/// or the [`Error::status`] of an error of this library, or the status of [`Failure::status`]; if a handler of a socket fails,
/// the socket closes with 1011.
///
/// ```
/// fn parse(input: &str) -> dog::Result<u32> {
///     Ok(input.parse::<u32>()?)
/// }
/// assert!(parse("a").unwrap_err().to_string().contains("invalid digit"));
/// ```
// `Failure` does not implement `std::error::Error`, because `From<E>` would then overlap with `From<Failure>`.
pub struct Failure {
    cause: Box<dyn StdError + Send + Sync>,
}

/// The longest text of a refusal, in bytes. It has to fit into what hosts read of an error of another object.
const MAX_REFUSAL: usize = 16 * 1024;

/// The result of handlers: any error becomes a [`Failure`].
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure that consists of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { cause: text.into().into() }
    }

    /// Refuses a request: the client is answered with `status` and `text`. Return it from [`App::fetch`], from `receive` of a
    /// Group or a Replica, or from [`clusterize`](crate::Group::clusterize).
    ///
    /// ```
    /// use dog::http::StatusCode;
    /// use dog::{Failure, Request, Result};
    ///
    /// fn user(request: &Request) -> Result<String> {
    ///     dog::query_param(request, "u").ok_or_else(|| Failure::status(StatusCode::UNAUTHORIZED, "who are you?"))
    /// }
    /// ```
    ///
    /// - An object's refusal is an [`Error`] for the App that has forwarded the request ([`Error::is_refused`]). The App
    ///   refuses with the same status and text if it returns that error with `?`.
    /// - A refusal with 400 to 499 is neither logged nor counted as a failure. One with 500 to 599 is logged.
    /// - The client gets the first 16 KiB of `text`, as plain text. A refusal with 503 comes with `Retry-After`.
    /// - Other statuses are no errors: the client gets 500, and the log says so.
    /// - In a handler that answers no request it is a failure like any other. A socket closes with 1011. For another status,
    ///   or for further headers, return a [`Response`](crate::Response).
    ///
    /// [`App::fetch`]: crate::App::fetch
    pub fn status(status: StatusCode, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if !status.is_client_error() && !status.is_server_error() {
            return Self::new(format!("Failure::status takes 400 to 599 and was given {status}: {text}"));
        }
        text.truncate(text.floor_char_boundary(MAX_REFUSAL));
        Error::new(Kind::Refused(status.as_u16()), text).into()
    }

    /// The error that caused it, if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.cause.downcast_ref()
    }

    /// The error that caused it.
    pub fn cause(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.cause
    }
}

/// From any error, and from a text.
impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self { cause: cause.into() }
    }
}

impl fmt::Display for Failure {
    /// The error, then each of its causes after a colon.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.cause)?;
        let mut next = self.cause.source();
        while let Some(cause) = next {
            write!(formatter, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
