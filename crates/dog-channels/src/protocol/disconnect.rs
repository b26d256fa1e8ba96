//! Why a connection ends: [`Disconnect`].

use std::borrow::Cow;

/// Why the server ends a connection: the code and the reason of the close. The code says whether the client comes back.
///
/// ```
/// use dog_channels::protocol::Disconnect;
///
/// assert!(Disconnect::SHUTDOWN.comes_back());
/// assert!(!Disconnect::INVALID_TOKEN.comes_back());
/// let banned = Disconnect::new(4500, "banned").expect("4000 to 4999 are for applications");
/// assert!(!banned.comes_back());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    code: u16,
    reason: Cow<'static, str>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)*) => {
        impl Disconnect {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, reason: Cow::Borrowed($reason) };)*

            /// All codes of the protocol that a server of this crate may send.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

codes! {
    /// 3000: the connection was closed.
    CONNECTION_CLOSED = 3000, "connection closed";
    /// 3001: the server stops.
    SHUTDOWN = 3001, "shutdown";
    /// 3004: the server has failed.
    SERVER_ERROR = 3004, "internal server error";
    /// 3005: the token of the connection has expired, and the client has not brought another one.
    EXPIRED = 3005, "connection expired";
    /// 3006: the token of a subscription has expired, and the client has not brought another one.
    SUBSCRIPTION_EXPIRED = 3006, "subscription expired";
    /// 3008: the client does not read fast enough.
    SLOW = 3008, "slow";
    /// 3010: the client has missed publications. It comes back and recovers them.
    INSUFFICIENT_STATE = 3010, "insufficient state";
    /// 3011: the server wants the client to come back.
    FORCE_RECONNECT = 3011, "force reconnect";
    /// 3012: the client has not answered a ping.
    NO_PONG = 3012, "no pong";
    /// 3013: the client sends too much.
    TOO_MANY_REQUESTS = 3013, "too many requests";
    /// 3500: the token is not valid.
    INVALID_TOKEN = 3500, "invalid token";
    /// 3501: the client does not speak the protocol.
    BAD_REQUEST = 3501, "bad request";
    /// 3502: the client has not said in time who it is.
    STALE = 3502, "stale";
    /// 3503: the server has ended the connection.
    FORCE_NO_RECONNECT = 3503, "force disconnect";
    /// 3504: the user has too many connections.
    CONNECTION_LIMIT = 3504, "connection limit";
    /// 3505: the connection has too many channels.
    CHANNEL_LIMIT = 3505, "channel limit";
    /// 3506: a payload is not JSON, and the client speaks JSON.
    INAPPROPRIATE_PROTOCOL = 3506, "inappropriate protocol";
    /// 3507: the client may not connect.
    PERMISSION_DENIED = 3507, "permission denied";
    /// 3508: the server does not take messages.
    NOT_AVAILABLE = 3508, "not available";
    /// 3509: the client has made too many errors.
    TOO_MANY_ERRORS = 3509, "too many errors";
}

impl Disconnect {
    /// A disconnect of the application: 4000 to 4499, after which the client comes back, or 4500 to 4999, after which it does not.
    /// `None`: the code is another one. At most 123 bytes of the reason are sent.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Option<Self> {
        (4000..5000).contains(&code).then(|| Self { code, reason: reason.into() })
    }

    /// The code of the close.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// What it says to people.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the client comes back by itself.
    pub const fn comes_back(&self) -> bool {
        Self::is_temporary(self.code)
    }

    /// Whether a client comes back after this code.
    pub(crate) const fn is_temporary(code: u16) -> bool {
        !matches!(code, 3500..=3999 | 4500..=4999)
    }
}
