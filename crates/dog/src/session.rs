//! What an event stream is called in requests of its client: [`Session`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};
use crate::features::Streams;
use crate::id::ReplicaId;

/// Longest message that [`GroupHandle::deliver`](crate::GroupHandle::deliver) takes, in bytes.
pub const MAX_DELIVERED: usize = 64 * 1024;

/// The digits of a replica, a socket and a token.
const DIGITS: usize = 64 + 16 + 32;

/// One event stream, and a number that nobody can guess: who has it may speak for the client of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The Replica.
    pub replica: [u8; 32],
    /// The number of its socket.
    pub socket: u64,
    /// Random, and known only to the Replica and those whom it told.
    pub token: [u8; 16],
    /// It takes no bytes.
    pub streams: Streams,
}

impl Session {
    /// The error about a session that does not exist, for whatever reason.
    pub fn not_found() -> Error {
        Error::new(Kind::NotFound, "there is no such session: open a new event stream")
    }
}

impl fmt::Display for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (replica, token) = (ReplicaId::from_bytes(self.replica), u128::from_be_bytes(self.token));
        write!(formatter, "{replica}{:016x}{token:032x}", self.socket)
    }
}

impl fmt::Debug for Session {
    /// Without the token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Session({:?}, socket {})", ReplicaId::from_bytes(self.replica), self.socket)
    }
}

impl FromStr for Session {
    type Err = Error;

    /// # Errors
    /// [`Error::is_not_found`], whatever is wrong with the text.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() != DIGITS || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Self::not_found());
        }
        let ((replica, rest), none) = (text.split_at(64), |_| Self::not_found());
        let (socket, token) = rest.split_at(16);
        let replica = *replica.parse::<ReplicaId>().map_err(|_| Self::not_found())?.as_bytes();
        let socket = u64::from_str_radix(socket, 16).map_err(none)?;
        let token = u128::from_str_radix(token, 16).map_err(none)?.to_be_bytes();
        let streams = Streams::get().ok_or_else(Self::not_found)?;
        Ok(Self { replica, socket, token, streams })
    }
}

#[cfg(test)]
#[cfg(feature = "streams")]
mod tests {
    use super::*;

    fn session() -> Session {
        Session { replica: [7; 32], socket: 5, token: [0xa5; 16], streams: Streams::get().unwrap() }
    }

    #[test]
    fn a_session_is_read_back_and_nothing_else_is_read() {
        let session = Session { socket: 1 << 63 | 5, ..session() };
        let text = session.to_string();
        assert_eq!((text.len(), text.parse::<Session>().unwrap()), (DIGITS, session));
        let changed = [
            String::new(),
            "x".repeat(DIGITS),
            text[1..].to_owned(),
            format!("{text}0"),
            format!("+{}", &text[1..]),
            format!("é{}", &text[2..]),
            format!("{}+{}", &text[..64], &text[65..]),
        ];
        for text in changed {
            assert!(text.parse::<Session>().unwrap_err().is_not_found(), "{text:?}");
        }
    }

    #[test]
    fn a_log_does_not_show_the_token() {
        assert!(!format!("{:?}", session()).contains("a5a5"));
    }
}
