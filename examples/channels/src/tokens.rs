//! What the tokens of clients say: [`Tokens`]. They are JSON Web Tokens with HS256, as Centrifugo's are.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::Timestamp;
use dog_channels::Refused;
use dog_channels::protocol::{Disconnect, ErrorCode};
use dog_door::{DoorError, Token, TokenKey, Verifier};
use serde::Deserialize;
use serde_json::Value;

/// The shortest secret that cannot be guessed, in bytes.
const SHORTEST: usize = 32;

/// Checks tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    verifier: Verifier,
}

/// What a token says beside who it is for and when it ends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    /// What others are told.
    pub(crate) info: Option<Value>,
    /// Of a connection: the channels to which it is subscribed.
    pub(crate) channels: Vec<String>,
    /// The same, in another form.
    pub(crate) subs: BTreeMap<String, Value>,
    /// Of a subscription: its channel.
    pub(crate) channel: String,
    /// Of a subscription: its connection. Empty: any of the user.
    pub(crate) client: String,
}

impl Tokens {
    /// For tokens that were signed with this secret. If nothing is protected anyway, it may be short.
    pub(crate) fn new(secret: &str, may_be_short: bool) -> Result<Self, DoorError> {
        let mut key = secret.as_bytes().to_vec();
        if may_be_short && key.len() < SHORTEST {
            // HMAC fills a short key with zeros. So this is the same key.
            key.resize(SHORTEST, 0);
        }
        Ok(Self { verifier: Verifier::new(TokenKey::hs256(&key)?).leeway(Duration::ZERO).allow_endless() })
    }

    /// Reads a token. One that was valid and is too old is told apart, so that its client gets another one.
    pub(crate) async fn read(&self, token: &str, now: Timestamp) -> Result<Token<Claims>, NotValid> {
        self.verifier
            .verify(token, now)
            .await
            .map_err(|denied| if denied.is_expired() { NotValid::Expired } else { NotValid::Invalid })
    }
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotValid {
    Expired,
    Invalid,
}

impl NotValid {
    /// What the client of a connection is told.
    pub(crate) fn of_connection(self) -> Refused {
        match self {
            Self::Expired => ErrorCode::TOKEN_EXPIRED.into(),
            Self::Invalid => Disconnect::INVALID_TOKEN.into(),
        }
    }

    /// What the client of a subscription is told.
    pub(crate) fn of_subscription(self) -> Refused {
        match self {
            Self::Expired => ErrorCode::TOKEN_EXPIRED.into(),
            Self::Invalid => Refused::PERMISSION_DENIED,
        }
    }
}
