//! How a socket ends: [`CloseCode`], [`Close`], [`SocketError`].

use std::fmt;

/// The code of a WebSocket close.
///
/// | code | means | a client should |
/// |---|---|---|
/// | 1000, 1001 | normal end | come back when it likes |
/// | 1002, 1003, 1007, 1008, 1009 | the client did what is not allowed | not retry as is |
/// | 1011, 1012, 1013 | the server's trouble: handler failed, restarting, too slow or no room | retry with backoff |
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the page is left, or the server leaves.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: not the WebSocket protocol. Do not retry as is.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a kind of message that is not taken here. Do not retry as is.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the close carried no code. Never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a close. Never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: text that is not UTF-8. Do not retry as is.
    pub const INVALID_TEXT: Self = Self(1007);
    /// 1008: against the rules of this server. Do not retry as is.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message over the size limit. Do not retry as is.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: a handler failed. Retry with backoff.
    pub const HANDLER_FAILED: Self = Self(1011);
    /// 1012: the server restarts. Retry with backoff.
    pub const RESTARTING: Self = Self(1012);
    /// 1013: too slow, or no room. Retry with backoff.
    pub const TRY_AGAIN: Self = Self(1013);

    /// The code with this number, or `None` where the number may not stand in a close frame.
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

    /// The number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Whether a client that was closed with it should come back with growing delays.
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

/// The end of a socket, as [`Replica::on_close`](crate::Replica::on_close) hears of it.
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

    /// Why. [`CloseCode::NO_STATUS`] when the client gave no code, [`CloseCode::ABNORMAL`] when it gave no close.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The text that came with it, often empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// An end that was nobody's wish, as [`Replica::on_error`](crate::Replica::on_error) hears of it.
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

    /// The client broke the protocol, bad UTF-8 included.
    pub fn is_protocol(&self) -> bool {
        self.kind == SocketErrorKind::Protocol
    }

    /// The client sent a message over the size limit.
    pub fn is_too_big(&self) -> bool {
        self.kind == SocketErrorKind::TooBig
    }

    /// The client did not take what was sent to it: more waited than the limit allows.
    pub fn is_too_slow(&self) -> bool {
        self.kind == SocketErrorKind::TooSlow
    }

    /// Nothing was heard of the client, not even an answer to a ping.
    pub fn is_silent(&self) -> bool {
        self.kind == SocketErrorKind::Silent
    }

    /// A handler of this socket returned an error.
    pub fn is_handler(&self) -> bool {
        self.kind == SocketErrorKind::Handler
    }

    /// The close that this end amounts to.
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
            SocketErrorKind::Silent => "the client fell silent",
            SocketErrorKind::Handler => "a handler of the socket failed",
        };
        write!(formatter, "{what} ({})", self.close.code)
    }
}

impl std::error::Error for SocketError {}
