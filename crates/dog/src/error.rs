//! What can go wrong: [`Error`] from what this library offers, [`Failure`] from what a user's handler returns.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::SocketId;

/// What the verbs and conversions of this library fail with.
///
/// Opaque: ask it with the `is_*` methods, which stay when variants are added.
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
    /// Whose end it is about, if it is about that of a socket.
    socket: Option<SocketId>,
}

/// Why, for this crate and the hosts.
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
    /// The App's own value, key or attachment is too large: unlike [`Kind::TooLarge`], no client's request is.
    ValueTooLarge,
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

    /// The socket has closed.
    #[doc(hidden)]
    pub fn of_socket(socket: SocketId) -> Self {
        let message = format!("socket {} has closed: nothing can be sent to it any more", socket.raw());
        Self { socket: Some(socket), ..Self::new(Kind::Closed, message) }
    }

    /// Which socket's end it is about.
    #[doc(hidden)]
    pub fn socket(&self) -> Option<SocketId> {
        self.socket
    }

    #[doc(hidden)]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The client identifier was empty or longer than 256 bytes.
    pub fn is_invalid_client(&self) -> bool {
        self.kind == Kind::InvalidClient
    }

    /// A [`GroupId`](crate::GroupId) or [`ReplicaId`](crate::ReplicaId) was not 64 hexadecimal digits.
    pub fn is_invalid_id(&self) -> bool {
        self.kind == Kind::InvalidId
    }

    /// A value could not be written, or bytes could not be read as the type that was asked for.
    pub fn is_encoding(&self) -> bool {
        self.kind == Kind::Encoding
    }

    /// Something was over a stated size: an attachment over 16 KiB, for instance, or the body of a request.
    pub fn is_too_large(&self) -> bool {
        matches!(self.kind, Kind::TooLarge | Kind::ValueTooLarge)
    }

    /// No Replica has a seat to give. Try again later.
    pub fn is_no_room(&self) -> bool {
        self.kind == Kind::NoRoom
    }

    /// The seat that was promised has expired or was used. Identify again.
    pub fn is_no_ticket(&self) -> bool {
        self.kind == Kind::NoTicket
    }

    /// The socket is not there any more, or this life of the object is over: nothing that it does has an effect.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// No answer came by the deadline. What was asked may have been done all the same.
    pub fn is_deadline(&self) -> bool {
        self.kind == Kind::Deadline
    }

    /// The object that was called could not be reached, or its activation ended before it answered.
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// The other side's handler failed or panicked. The cause stands in that object's log, not here.
    pub fn is_handler(&self) -> bool {
        self.kind == Kind::Handler
    }

    /// The Group's type is missing in [`App::Groups`](crate::App::Groups).
    pub fn is_unknown_group(&self) -> bool {
        self.kind == Kind::UnknownGroup
    }

    /// The storage failed: a full disk, a damaged file. See [`Storage::put`](crate::Storage::put) for what became of a
    /// write.
    pub fn is_storage(&self) -> bool {
        self.kind == Kind::Storage
    }

    /// Other handlers of the same object changed what a transaction had read, again and again.
    pub fn is_conflict(&self) -> bool {
        self.kind == Kind::Conflict
    }

    /// The HTTP status that tells an outside client of this error. It begins with 4 only where the error is about what
    /// the client sent: an identifier or an id that is none (400), or a body that is too large (413). No room, no
    /// storage, a conflict or an object that cannot be reached is 503, a missed deadline 504, everything else 500.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            Kind::InvalidClient | Kind::InvalidId => StatusCode::BAD_REQUEST,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::NoRoom | Kind::NoTicket | Kind::Closed | Kind::Unreachable | Kind::Storage | Kind::Conflict => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Kind::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Kind::Encoding | Kind::Handler | Kind::UnknownGroup | Kind::ValueTooLarge => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// What an outside client may read of it: what is wrong with its request, and of anything else only what to do.
    #[doc(hidden)]
    pub fn public_text(&self) -> &str {
        match self.status() {
            status if status.is_client_error() => &self.message,
            StatusCode::SERVICE_UNAVAILABLE => "not available now: try again later",
            StatusCode::GATEWAY_TIMEOUT => "no answer in time: try again later",
            _ => "internal error",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
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

/// As it travels between objects: without its cause, which is for the log of where it happened.
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

/// What a user's handler fails with: any error, turned into one by `?`.
///
/// It is logged with all its causes on the server and shows the client nothing of the inside: a failed `receive` or
/// `fetch` answers 500 (or the [`Error::status`] of this library's own errors, and says what is wrong only where that is
/// the client's request), a failed socket handler closes that socket with 1011.
///
/// ```
/// fn parse(input: &str) -> dog::Result<u32> {
///     Ok(input.parse::<u32>()?)
/// }
/// assert!(parse("a").unwrap_err().to_string().contains("invalid digit"));
/// ```
// No `std::error::Error` for it: the conversion from every error would then collide with the one from itself.
pub struct Failure {
    cause: Box<dyn StdError + Send + Sync>,
}

/// What handlers return: anything that fails, fails with a [`Failure`].
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure that is nothing but a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { cause: text.into().into() }
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

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self { cause: Box::new(cause) }
    }
}

impl fmt::Display for Failure {
    /// The error and, after colons, all that caused it.
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
mod tests {
    use super::*;

    #[test]
    fn an_error_travels_without_its_cause() {
        let error = Error::caused(Kind::NoRoom, "full", std::io::Error::other("secret"));
        let bytes = crate::codec::encode(&error).unwrap();
        let travelled: Error = crate::codec::decode(&bytes).unwrap();
        assert!(travelled.is_no_room() && travelled.to_string() == "full" && travelled.source().is_none());
    }

    #[test]
    fn a_client_reads_of_its_own_request_and_of_nothing_else() {
        const ALL: [Kind; 14] = [
            Kind::InvalidClient,
            Kind::InvalidId,
            Kind::Encoding,
            Kind::TooLarge,
            Kind::NoRoom,
            Kind::NoTicket,
            Kind::Closed,
            Kind::Deadline,
            Kind::Unreachable,
            Kind::Handler,
            Kind::UnknownGroup,
            Kind::Storage,
            Kind::Conflict,
            Kind::ValueTooLarge,
        ];
        for kind in ALL {
            let error = Error::new(kind, "the secret");
            let about_the_request = matches!(kind, Kind::InvalidClient | Kind::InvalidId | Kind::TooLarge);
            assert_eq!(error.status().is_client_error(), about_the_request, "{kind:?}");
            assert_eq!(error.public_text().contains("secret"), about_the_request, "{kind:?}");
        }
        let own = crate::socket::encode_attachment(&"x".repeat(crate::MAX_ATTACHMENT)).unwrap_err();
        assert!(own.is_too_large() && own.status() == StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn a_failure_tells_the_whole_chain() {
        let inner = std::io::Error::other("disk on fire");
        let failure = Failure::from(Error::caused(Kind::Unreachable, "the Replica did not answer", inner));
        assert_eq!(failure.to_string(), "the Replica did not answer: disk on fire");
        assert!(failure.downcast_ref::<Error>().is_some_and(Error::is_unreachable));
    }
}
