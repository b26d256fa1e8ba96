//! Why a command fails: [`ErrorCode`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::reply::CommandError;

/// Why a command fails. The client stays connected.
///
/// ```
/// use dog_channels::protocol::ErrorCode;
///
/// let own = ErrorCode::new(400, "this room is full").expect("400 to 1999 are for applications");
/// assert_eq!(own.code(), 400);
/// assert!(ErrorCode::new(100, "one of the protocol").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCode {
    code: u32,
    message: Cow<'static, str>,
    is_temporary: bool,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal, $temporary:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self::of_protocol($code, $message, $temporary);)*

            /// All codes of the protocol that a server of this crate may send.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

codes! {
    /// 100: the server has failed. The command may succeed later.
    INTERNAL = 100, "internal server error", true;
    /// 101: the client may not do this, because it is not known.
    UNAUTHORIZED = 101, "unauthorized", false;
    /// 102: there is no such channel.
    UNKNOWN_CHANNEL = 102, "unknown channel", false;
    /// 103: the client may not do this.
    PERMISSION_DENIED = 103, "permission denied", false;
    /// 104: there is no such method.
    METHOD_NOT_FOUND = 104, "method not found", false;
    /// 105: the client is subscribed to this channel.
    ALREADY_SUBSCRIBED = 105, "already subscribed", false;
    /// 106: there would be too many.
    LIMIT_EXCEEDED = 106, "limit exceeded", false;
    /// 107: the command does not make sense.
    BAD_REQUEST = 107, "bad request", false;
    /// 108: the server does not offer this.
    NOT_AVAILABLE = 108, "not available", false;
    /// 109: the token has expired. The client gets another one and comes again.
    TOKEN_EXPIRED = 109, "token expired", false;
    /// 110: the connection or the subscription has expired.
    EXPIRED = 110, "expired", false;
    /// 111: the client does this too often. The command may succeed later.
    TOO_MANY_REQUESTS = 111, "too many requests", true;
    /// 112: the history does not have what follows the position.
    UNRECOVERABLE_POSITION = 112, "unrecoverable position", false;
}

impl ErrorCode {
    const fn of_protocol(code: u32, message: &'static str, is_temporary: bool) -> Self {
        Self { code, message: Cow::Borrowed(message), is_temporary }
    }

    /// An error of the application: 400 to 1999. `None`: the code is another one.
    pub fn new(code: u32, message: impl Into<Cow<'static, str>>) -> Option<Self> {
        (400..2000).contains(&code).then(|| Self { code, message: message.into(), is_temporary: false })
    }

    /// Says that the same command may succeed later.
    #[must_use]
    pub fn temporary(self) -> Self {
        Self { is_temporary: true, ..self }
    }

    /// The number.
    pub const fn code(&self) -> u32 {
        self.code
    }

    /// What it says to people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same command may succeed later.
    pub const fn is_temporary(&self) -> bool {
        self.is_temporary
    }
}

impl From<ErrorCode> for CommandError {
    fn from(error: ErrorCode) -> Self {
        Self { code: error.code, message: error.message.into_owned(), temporary: error.is_temporary }
    }
}
