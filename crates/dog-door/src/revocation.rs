//! Tokens and clients that are revoked before their tokens end: [`Revocation`]. `list` is where they are kept, `copy` is what
//! a node knows of them.

mod copy;
#[cfg(feature = "revocation-list")]
mod in_group;
#[cfg(feature = "revocation-list")]
mod list;
mod protocol;
mod signal;
#[cfg(feature = "revocation-list")]
mod stored;

use dog::{ClientId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::DoorError;

pub use copy::Revocations;
#[cfg(feature = "revocation-list")]
pub use in_group::RevokeIn;
#[cfg(feature = "revocation-list")]
pub(crate) use in_group::ask;
#[cfg(feature = "revocation-list")]
pub use list::{MaxRevocations, NoReplica, RevocationList, RevocationStore};
pub use protocol::{ListCall, ListReply};
pub(crate) use signal::or;

/// The longest token id, in bytes.
pub const MAX_TOKEN_ID: usize = 256;

/// A token, or all tokens of a client, that count no more.
///
/// `RevocationList::revoke` stores it for a cluster, `RevokeIn::revoke` in one Group. It may be forgotten 10 minutes after `until`: choose the end of the last token
/// that it is about. The 10 minutes are for the [leeway](crate::Verifier::leeway) of those who check tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    subject: Subject,
    until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// The claim `jti`.
    Token(String),
    Client(ClientId),
}

/// What is looked at of a token.
pub(crate) struct Looked<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) issued: Option<Timestamp>,
}

impl Revocation {
    /// The token whose claim `jti` is `id`.
    ///
    /// # Errors
    /// The id is empty or has more than [`MAX_TOKEN_ID`] bytes. A token with a longer one can be revoked by its client only.
    pub fn token(id: impl Into<String>, until: Timestamp) -> Result<Self, DoorError> {
        let id = id.into();
        if id.is_empty() || id.len() > MAX_TOKEN_ID {
            return Err(DoorError::new(format!(
                "a token id has 1 to {MAX_TOKEN_ID} bytes, and this one has {}",
                id.len()
            )));
        }
        Ok(Self { subject: Subject::Token(id), until })
    }

    /// All tokens of `client` that were issued up to the second in which the revocation is stored. A token that does not say when
    /// it was issued (the claim `iat`) counts as an earlier one. Who logs in again a second later comes in.
    pub fn client(client: &ClientId, until: Timestamp) -> Self {
        Self { subject: Subject::Client(client.clone()), until }
    }

    /// Whether it is about this token of this client, if it was stored at `at`.
    pub(crate) fn concerns(&self, client: &ClientId, token: &Looked<'_>, at: Timestamp) -> bool {
        match &self.subject {
            Subject::Token(id) => token.id == Some(id),
            Subject::Client(revoked) => revoked == client && is_issued_by(token, at),
        }
    }
}

/// `iat` has whole seconds, rounded down.
pub(crate) fn is_issued_by(token: &Looked<'_>, at: Timestamp) -> bool {
    token.issued.is_none_or(|issued| issued <= at)
}
