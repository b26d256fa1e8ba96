//! How a socket ends: [`CloseCode`], [`Close`], [`SocketError`].

use std::fmt;

/// The code of a WebSocket close (RFC 6455, section 7.4).
///
/// | code | meaning | the client should |
/// |---|---|---|
/// | 1000, 1001 | normal end | reconnect when it needs to |
/// | 1002, 1003, 1007, 1008, 1009 | the client did something that is not allowed | not send the same again |
/// | 1011, 1012, 1013 | handler failed; server restarting; client too slow, or no room | reconnect with backoff |
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the connection has done its work.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the browser leaves the page, or the server goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a violation of the WebSocket protocol. Do not send the same again.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a kind of message that this server does not accept. Do not send the same again.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the close frame had no code. Never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a close frame. Never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: a text message that is not UTF-8. Do not send the same again.
    pub const INVALID_TEXT: Self = Self(1007);
    /// 1008: a violation of the rules of this server. Do not send the same again.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message over the size limit. Do not send the same again.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: a handler failed. Reconnect with backoff.
    pub const HANDLER_FAILED: Self = Self(1011);
    /// 1012: the server restarts. Reconnect with backoff.
    pub const RESTARTING: Self = Self(1012);
    /// 1013: the client reads too slowly, or there is no room. Reconnect with backoff.
    pub const TRY_AGAIN: Self = Self(1013);

    /// The code with this number, or `None` if a close frame must not contain the number.
    ///
    /// ```
    /// assert!(dog::CloseCode::new(4000).is_some());
    /// assert!(dog::CloseCode::new(1006).is_none());
    /// ```
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    #[doc(hidden)]
    pub const fn from_raw(code: u16) -> Self {
        Self(code)
    }

    /// The code as a number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Whether a client that gets this code should reconnect with backoff.
    pub const fn should_retry(self) -> bool {
        matches!(self.0, 1001 | 1006 | 1011..=1014)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// The end of a socket, as [`Replica::on_close`](crate::Replica::on_close) gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    code: CloseCode,
    reason: String,
}

impl Close {
    #[doc(hidden)]
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The code. [`CloseCode::NO_STATUS`] if the client sent a close without a code, [`CloseCode::ABNORMAL`] if it sent no
    /// close.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason that came with the code. Often empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// The end of a socket that neither side wanted, as [`Replica::on_error`](crate::Replica::on_error) gets it.
#[derive(Clone, Debug)]
pub struct SocketError {
    kind: SocketErrorKind,
    close: Close,
}

#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketErrorKind {
    Lost,
    Protocol,
    TooBig,
    TooSlow,
    TooFast,
    Silent,
    Handler,
}

impl SocketError {
    #[doc(hidden)]
    pub fn new(kind: SocketErrorKind, close: Close) -> Self {
        Self { kind, close }
    }

    /// The connection broke without a close.
    pub fn is_lost(&self) -> bool {
        self.kind == SocketErrorKind::Lost
    }

    /// The client violated the WebSocket protocol, or sent text that is not UTF-8.
    pub fn is_protocol(&self) -> bool {
        self.kind == SocketErrorKind::Protocol
    }

    /// The client sent a message over the size limit.
    pub fn is_too_big(&self) -> bool {
        self.kind == SocketErrorKind::TooBig
    }

    /// The client read too slowly: more bytes waited for it than the host allows.
    pub fn is_too_slow(&self) -> bool {
        self.kind == SocketErrorKind::TooSlow
    }

    /// The client sent faster than [`Replica::message_rate`](crate::Replica::message_rate) allows.
    pub fn is_too_fast(&self) -> bool {
        self.kind == SocketErrorKind::TooFast
    }

    /// The client sent nothing for too long, not even the answer to a ping.
    pub fn is_silent(&self) -> bool {
        self.kind == SocketErrorKind::Silent
    }

    /// A handler of this socket returned an error, or an `on_open` that [sends first](crate::Accept::on_open_first) has let too much
    /// wait.
    pub fn is_handler(&self) -> bool {
        self.kind == SocketErrorKind::Handler
    }

    /// The close code and reason that correspond to this end.
    pub fn close(&self) -> &Close {
        &self.close
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            SocketErrorKind::Lost => "the connection was lost",
            SocketErrorKind::Protocol => "the client broke the WebSocket protocol",
            SocketErrorKind::TooBig => "the client sent a message over the size limit",
            SocketErrorKind::TooSlow => "the client did not read what was sent to it",
            SocketErrorKind::TooFast => "the client sent faster than it may",
            SocketErrorKind::Silent => "the client fell silent",
            SocketErrorKind::Handler => "a handler of the socket failed",
        };
        write!(formatter, "{what} ({})", self.close.code)
    }
}

impl std::error::Error for SocketError {}
