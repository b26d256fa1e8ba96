//! Sessions of a program that logs its users in itself, in signed cookies: [`Sessions`].

use std::fmt;
use std::time::Duration;

use dog::http::HeaderValue;
use dog::{ClientId, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::DoorError;
use crate::gate::Gate;
use crate::key::TokenKey;
use crate::source::TokenSource;
use crate::verifier::Verifier;

/// For how long a session lasts, unless you say something else.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest cookie that every browser keeps, with its name and attributes.
const MAX_COOKIE: usize = 4096;
/// The claims that this type writes itself.
const WRITTEN: [&str; 4] = ["sub", "aud", "iat", "exp"];

/// Sessions in signed cookies. After a login, [`cookie`](Self::cookie) says in a token (HS256) who the user is, and the gate that
/// [`gate`](Self::gate) makes admits who sends it back. The server stores nothing.
///
/// The cookie has `HttpOnly`, so no script of a page reads it, and `SameSite=Lax`, so other sites cannot post with it. It has
/// `Secure` and the prefix `__Host-`, unless you say [`insecure`](Self::insecure): then only this host, and only over HTTPS, can
/// set it. The cookie is signed and not encrypted: its user can read it.
///
/// To end a session early, [revoke](crate::Revocation::client) its client.
///
/// ```
/// use dog::http::{StatusCode, header};
/// use dog::{ClientId, Response, Timestamp};
/// use dog_door::{NoClaims, Sessions};
///
/// fn log_in(sessions: &Sessions, user: &ClientId, now: Timestamp) -> dog::Result<Response> {
///     let mut response = dog::text_response(StatusCode::OK, "welcome");
///     response.headers_mut().insert(header::SET_COOKIE, sessions.cookie(user, &NoClaims {}, now)?);
///     Ok(response)
/// }
/// # let sessions = Sessions::new(&[7; 32])?;
/// # assert_eq!(log_in(&sessions, &ClientId::new("ann")?, Timestamp::default()).unwrap().status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    signing: EncodingKey,
    verifying: TokenKey,
    name: String,
    lifetime: Duration,
    is_secure: bool,
}

impl Sessions {
    /// Sessions that are signed with this secret. All servers need the same one. A new secret ends all sessions.
    ///
    /// # Errors
    /// The secret has less than 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, DoorError> {
        let verifying = TokenKey::hs256(secret)?;
        let signing = EncodingKey::from_secret(secret);
        Ok(Self { signing, verifying, name: "session".to_owned(), lifetime: LIFETIME, is_secure: true })
    }

    /// The name of the cookie, `session` by default. The prefix `__Host-` comes before it, unless the cookie is
    /// [insecure](Self::insecure). A session counts only under its name.
    ///
    /// # Errors
    /// The name is empty or has other characters than letters, digits, `-` and `_`.
    pub fn name(mut self, name: &str) -> Result<Self, DoorError> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(DoorError::new(format!("{name:?} is no name for a cookie: use letters, digits, - and _")));
        }
        name.clone_into(&mut self.name);
        Ok(self)
    }

    /// How long a session lasts, 7 days by default. Log in again, or set a new cookie before it ends.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Lets the cookie travel over plain HTTP. For development only: everybody on the way can read and use it.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.is_secure = false;
        self
    }

    /// The name under which the browser has the cookie.
    pub fn cookie_name(&self) -> String {
        format!("{}{}", if self.is_secure { "__Host-" } else { "" }, self.name)
    }

    /// The value of `Set-Cookie` that makes the browser `client`, from `now` until the session ends. Your own `claims` are in it:
    /// a struct or a map, or [`NoClaims`](crate::NoClaims).
    ///
    /// # Errors
    /// - The client is anonymous: it would be another one at its next visit.
    /// - The claims are no struct or map, cannot be written as JSON, or have one of `sub`, `aud`, `iat` and `exp`.
    /// - The cookie would have more than 4,096 bytes, which browsers do not keep.
    pub fn cookie<C: Serialize>(
        &self,
        client: &ClientId,
        claims: &C,
        now: Timestamp,
    ) -> Result<HeaderValue, DoorError> {
        let token = self.token(client, claims, now)?;
        let cookie = self.set_cookie(&token, self.lifetime.as_secs());
        if cookie.len() > MAX_COOKIE {
            let length = cookie.len();
            return Err(DoorError::new(format!(
                "the cookie has {length} bytes, {MAX_COOKIE} at most: use fewer claims"
            )));
        }
        Ok(header_value(&cookie))
    }

    /// The token that is in the cookie, alone. For sessions of another [name](Self::name), whose tokens clients send in messages:
    /// no script can read a cookie, and a socket that is open is [renewed](crate::Expiry::renew) by a message. The gates of two
    /// names take no token of each other.
    ///
    /// # Errors
    /// As [`cookie`](Self::cookie), but for the length.
    pub fn token<C: Serialize>(&self, client: &ClientId, claims: &C, now: Timestamp) -> Result<String, DoorError> {
        self.sign(&self.claims(client, claims, now)?)
    }

    /// How long a session lasts.
    pub fn lasts(&self) -> Duration {
        self.lifetime
    }

    /// The value of `Set-Cookie` that makes the browser forget the session. Who has copied the cookie can use it until it ends,
    /// or until the client is [revoked](crate::Revocation::client).
    pub fn end(&self) -> HeaderValue {
        header_value(&self.set_cookie("", 0))
    }

    /// A gate that admits who has a session, from pages of this server.
    pub fn gate<C: DeserializeOwned>(&self) -> Gate<C> {
        let verifier = Verifier::new(self.verifying.clone()).audience(self.cookie_name());
        Gate::new(verifier, [TokenSource::Cookie(self.cookie_name())])
    }

    fn claims<C: Serialize>(
        &self,
        client: &ClientId,
        claims: &C,
        now: Timestamp,
    ) -> Result<Map<String, Value>, DoorError> {
        if client.is_anonymous() {
            return Err(DoorError::new("an anonymous client has no session: name it first"));
        }
        let mut claims = match serde_json::to_value(claims) {
            Ok(Value::Object(claims)) => claims,
            Ok(_) => return Err(DoorError::new("the claims are no struct or map")),
            Err(error) => return Err(DoorError::new(format!("the claims cannot be written as JSON: {error}"))),
        };
        if let Some(name) = WRITTEN.iter().find(|name| claims.contains_key(**name)) {
            return Err(DoorError::new(format!("the claim {name:?} is written by Sessions: use another name")));
        }
        let seconds = |time: Timestamp| Value::from(time.as_millis() / 1000);
        // The audience is the cookie: another cookie, or another use of the secret, has another one.
        let values = [client.as_str().into(), self.cookie_name().into(), seconds(now), seconds(now + self.lifetime)];
        claims.extend(WRITTEN.map(str::to_owned).into_iter().zip(values));
        Ok(claims)
    }

    fn sign(&self, claims: &Map<String, Value>) -> Result<String, DoorError> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing)
            .map_err(|error| DoorError::new(format!("the session cannot be signed: {error}")))
    }

    fn set_cookie(&self, value: &str, max_age: u64) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}", self.cookie_name())
    }
}

fn header_value(cookie: &str) -> HeaderValue {
    HeaderValue::from_str(cookie).expect("the name was checked, and a token has letters, digits, `-`, `_` and dots")
}

impl fmt::Debug for Sessions {
    /// Without the secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, lifetime, is_secure, .. } = self;
        let mut debug = formatter.debug_struct("Sessions");
        debug.field("name", name).field("lifetime", lifetime).field("is_secure", is_secure).finish()
    }
}
