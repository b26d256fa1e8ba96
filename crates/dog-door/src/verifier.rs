//! Whether a token is valid: [`Verifier`].

use std::sync::Arc;
use std::time::Duration;

use dog::Timestamp;
use jsonwebtoken::Header;
use serde::de::DeserializeOwned;

use crate::denied::Denied;
#[cfg(feature = "public-keys")]
use crate::jwks::Jwks;
use crate::key::TokenKey;
use crate::token::{ENDLESS, Registered, Token};

/// The longest token, in bytes. A longer one is refused before anything of it is read.
pub const MAX_TOKEN: usize = 8 * 1024;

/// How far the clocks of those who issue tokens and of this host may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// Checks tokens: JSON Web Tokens (RFC 7519) with HS256, RS256, ES256 or EdDSA.
///
/// - **The signature**, with a key whose algorithm is fixed. `alg: none` and a confusion of keys cannot happen.
/// - **The time**: a token must have an end (`exp`), unless you [allow others](Self::allow_endless). It is refused after it, and before its begin (`nbf`), with a
///   [leeway](Self::leeway) of 30 s.
/// - **Issuer and audience**, if you set them: then the token must name them. A token that is made for some audience is refused
///   if you set none (RFC 7519, section 4.1.3).
/// - **The size**: at most [`MAX_TOKEN`] bytes.
///
/// The time comes from the caller, so it is the virtual one in the test kit.
#[derive(Debug)]
pub struct Verifier {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
    may_be_endless: bool,
}

#[derive(Debug)]
enum Keys {
    Fixed(Vec<Arc<TokenKey>>),
    #[cfg(feature = "public-keys")]
    Fetched(Jwks),
}

impl Verifier {
    /// Checks with one key.
    pub fn new(key: TokenKey) -> Self {
        Self::any_of([key])
    }

    /// Checks with the first key that fits the algorithm and the key id of the token. While you replace a secret, give both
    /// keys an [id](TokenKey::with_id), and name it in the tokens (`kid`).
    pub fn any_of(keys: impl IntoIterator<Item = TokenKey>) -> Self {
        Self::with(Keys::Fixed(keys.into_iter().map(Arc::new).collect()))
    }

    /// Checks with the keys of an identity provider, which are fetched when they are needed.
    #[cfg(feature = "public-keys")]
    pub fn fetched(keys: Jwks) -> Self {
        Self::with(Keys::Fetched(keys))
    }

    fn with(keys: Keys) -> Self {
        Self { keys, issuer: None, audience: None, leeway: LEEWAY, may_be_endless: false }
    }

    /// The claim `iss` must be this.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The claim `aud` must be this, or contain it.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How far clocks may differ, 30 s by default: a token is good for so long before its begin and after its end.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Accepts tokens without the claim `exp` too, which never end: see [`Token::is_endless`]. Who has one can come in until the key is
    /// replaced, or the token or its client is revoked, so use it only where tokens that others have issued are like that.
    #[must_use]
    pub fn allow_endless(mut self) -> Self {
        self.may_be_endless = true;
        self
    }

    /// Checks a token at the time `now`.
    ///
    /// It waits only where keys are fetched. Cancel safe: a fetch that is dropped is made again by who needs it next, after the
    /// interval that [`Jwks`](crate::Jwks) keeps.
    ///
    /// # Errors
    /// The refusal: with status 401 if the token is not valid, 503 if the keys cannot be fetched now.
    pub async fn verify<C: DeserializeOwned>(&self, token: &str, now: Timestamp) -> Result<Token<C>, Denied> {
        if token.len() > MAX_TOKEN {
            return Err(Denied::token("the token is too long: 8 KiB at most", format!("{} bytes", token.len())));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| Denied::invalid(error.to_string()))?;
        // What such a header asks for has to be understood, and nothing is (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(Denied::invalid("the header has `crit`"));
        }
        let key = match &self.keys {
            Keys::Fixed(keys) => fitting(keys, &header)?,
            #[cfg(feature = "public-keys")]
            Keys::Fetched(keys) => keys.find(&header, now).await?,
        };
        let claims = key.open(token).map_err(Denied::invalid)?;
        let registered = Registered::read(&claims)?;
        let expires = match registered.expires()? {
            Some(expires) => expires,
            None if self.may_be_endless => ENDLESS,
            None => return Err(Denied::invalid("the token has no end: the claim `exp` is missing")),
        };
        self.check(&registered, expires, now)?;
        registered.token(expires, claims)
    }

    fn check(&self, claims: &Registered, expires: Timestamp, now: Timestamp) -> Result<(), Denied> {
        if claims.not_before()?.is_some_and(|begin| now + self.leeway < begin) {
            return Err(Denied::token(
                "the token is not valid yet: try again later, or get another one",
                "not yet valid",
            ));
        }
        if let Some(issuer) = &self.issuer
            && claims.issuer() != Some(issuer)
        {
            return Err(Denied::invalid(format!("issued by {:?}", claims.issuer())));
        }
        match &self.audience {
            Some(audience) if !claims.is_for(audience) => Err(Denied::invalid("made for another audience")),
            None if claims.has_audience() => Err(Denied::invalid("made for an audience, and none is set here")),
            // Last: who is told that it has expired knows that all the rest is right.
            _ if now >= expires + self.leeway => Err(Denied::expired()),
            _ => Ok(()),
        }
    }
}

fn fitting(keys: &[Arc<TokenKey>], header: &Header) -> Result<Arc<TokenKey>, Denied> {
    keys.iter().find(|key| key.fits(header)).cloned().ok_or_else(|| Denied::unknown_key(header))
}
