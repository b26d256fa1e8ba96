//! What a token says: [`Token`].

use dog::Timestamp;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::denied::Denied;

/// The end of a token that has none: the year 9999.
pub(crate) const ENDLESS: Timestamp = Timestamp::from_millis(253_402_300_799_000);

/// A token whose signature, time, issuer and audience are right.
///
/// `C` is the type of your own claims, read by serde. [`NoClaims`] reads none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token<C = NoClaims> {
    subject: Option<String>,
    id: Option<String>,
    issued: Option<Timestamp>,
    expires: Timestamp,
    claims: C,
}

/// The type of claims of which none is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoClaims {}

impl<C> Token<C> {
    /// The claim `sub`: whom the token is about.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The claim `jti`: which token it is.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The claim `iat`: when it was made.
    pub fn issued(&self) -> Option<Timestamp> {
        self.issued
    }

    /// The claim `exp`: until when it may be used.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Whether it has no claim `exp`, which a verifier has to [allow](crate::Verifier::allow_endless). Then [`expires`](Self::expires)
    /// is in the year 9999.
    pub fn is_endless(&self) -> bool {
        self.expires == ENDLESS
    }

    /// Your own claims.
    pub fn claims(&self) -> &C {
        &self.claims
    }
}

/// The claims that this crate reads (RFC 7519, section 4.1).
#[derive(Debug, Deserialize)]
pub(crate) struct Registered {
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    sub: Option<String>,
    jti: Option<String>,
    iss: Option<String>,
    aud: Option<Audience>,
}

/// Seconds since 1970, perhaps with a fraction.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Whole(u64),
    Fraction(f64),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
    Other(IgnoredAny),
}

impl NumericDate {
    fn time(self) -> Option<Timestamp> {
        match self {
            Self::Whole(seconds) => Some(Timestamp::from_millis(seconds.saturating_mul(1000))),
            // The conversion is exact enough, and ends at the largest number.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Self::Fraction(seconds) => (seconds >= 0.0).then(|| Timestamp::from_millis((seconds * 1000.0) as u64)),
        }
    }
}

impl Registered {
    /// # Errors
    /// One of them has another type than it must have.
    pub(crate) fn read(claims: &Map<String, Value>) -> Result<Self, Denied> {
        Self::deserialize(claims).map_err(|error| Denied::invalid(format!("a claim of a wrong type: {error}")))
    }

    /// The times, as far as they are there. `Err` names a claim that is no time.
    pub(crate) fn expires(&self) -> Result<Option<Timestamp>, Denied> {
        let Some(end) = self.exp else { return Ok(None) };
        end.time().map(Some).ok_or_else(|| Denied::invalid("the claim `exp` is no time"))
    }

    pub(crate) fn not_before(&self) -> Result<Option<Timestamp>, Denied> {
        let Some(begin) = self.nbf else { return Ok(None) };
        begin.time().map(Some).ok_or_else(|| Denied::invalid("the claim `nbf` is no time"))
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.iss.as_deref()
    }

    pub(crate) fn has_audience(&self) -> bool {
        self.aud.is_some()
    }

    pub(crate) fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            Some(Audience::One(one)) => one == audience,
            Some(Audience::Several(several)) => several.iter().any(|one| one == audience),
            Some(Audience::Other(_)) | None => false,
        }
    }

    /// # Errors
    /// The claims are not a `C`.
    pub(crate) fn token<C: DeserializeOwned>(
        self,
        expires: Timestamp,
        claims: Map<String, Value>,
    ) -> Result<Token<C>, Denied> {
        // One that is no time is none: then the token counts as an old one.
        let issued = self.iat.and_then(NumericDate::time);
        let claims = serde_json::from_value(Value::Object(claims))
            .map_err(|error| Denied::invalid(format!("the claims are not those that the program reads: {error}")))?;
        Ok(Token { subject: self.sub, id: self.jti, issued, expires, claims })
    }
}
