//! What a signature is checked with: [`TokenKey`].

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Map, Value};

use crate::error::DoorError;
use crate::provider;

/// The shortest secret, in bytes (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// A key with which the signature of a token is checked, and the one algorithm that it is for. The algorithm is that of the key
/// and never what the token says: a token that names another one is refused, `none` included. So nobody can sign with a public
/// key as if it were a secret.
#[derive(Clone)]
pub struct TokenKey {
    decoding: DecodingKey,
    algorithm: Algorithm,
    id: Option<String>,
}

impl TokenKey {
    /// A secret that this program shares with those who issue tokens: HS256.
    ///
    /// # Errors
    /// The secret has less than 32 bytes: it could be guessed.
    pub fn hs256(secret: &[u8]) -> Result<Self, DoorError> {
        if secret.len() < MIN_SECRET {
            let length = secret.len();
            let text =
                format!("the secret has {length} bytes: give {MIN_SECRET} random ones, as `openssl rand` makes them");
            return Err(DoorError::new(text));
        }
        Ok(Self::new(DecodingKey::from_secret(secret), Algorithm::HS256))
    }

    /// Names the key. A token that names another one (`kid`) is not checked with this key.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    pub(crate) fn new(decoding: DecodingKey, algorithm: Algorithm) -> Self {
        provider::install();
        Self { decoding, algorithm, id: None }
    }

    /// Whether a token with this header may be checked with this key.
    pub(crate) fn fits(&self, header: &Header) -> bool {
        let is_named = match (&self.id, &header.kid) {
            (Some(id), Some(named)) => id == named,
            _ => true,
        };
        is_named && header.alg == self.algorithm
    }

    /// Whether the key has the id that the header names.
    #[cfg(feature = "public-keys")]
    pub(crate) fn is_named_by(&self, header: &Header) -> bool {
        self.id.is_some() && self.id == header.kid
    }

    /// The claims, if the signature is right. Nothing else is checked.
    pub(crate) fn open(&self, token: &str) -> Result<Map<String, Value>, String> {
        let mut signature_only = Validation::new(self.algorithm);
        // The rest is checked by `Verifier`, with the time of the host.
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        jsonwebtoken::decode(token, &self.decoding, &signature_only)
            .map(|token| token.claims)
            .map_err(|error| error.to_string())
    }
}

impl fmt::Debug for TokenKey {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenKey").field("algorithm", &self.algorithm).field("id", &self.id).finish()
    }
}
