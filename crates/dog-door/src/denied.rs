//! Why a client does not come in, and what it should do: [`Denied`], [`ComeBack`], and the close codes.

use std::fmt;

use dog::http::{HeaderValue, StatusCode, header};
use dog::{App, CloseCode, Dog, Failure, Request, Response};
use jsonwebtoken::Header;

/// 4401: the token is missing, not valid or too old. Get another one, then come back.
pub const TOKEN_REFUSED: CloseCode = code(4401);
/// 4403: this page, or this client, is not admitted. Do not come back.
pub const FORBIDDEN: CloseCode = code(4403);

/// What the client of a token that has expired is told.
pub(crate) const EXPIRED: &str = "the token has expired: get another one";

/// What the client of a revoked token is told.
pub(crate) const REVOKED: &str = "the token was revoked: log in again";

const fn code(number: u16) -> CloseCode {
    match CloseCode::new(number) {
        Some(code) => code,
        None => panic!("an application may send 4000 to 4999"),
    }
}

/// What a client that was refused should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComeBack {
    /// Nothing: the same client will be refused again.
    Never,
    /// Get another token, for example from a login page, and come back with it.
    WithAnotherToken,
    /// Come back with the same token, with backoff. Seconds later it may be admitted.
    Later,
}

/// Why a client does not come in. It has the three forms that a client can read:
///
/// | case | HTTP status | close code | [`ComeBack`] |
/// |---|---|---|---|
/// | no token, more than one, not valid, too old | 401 | [4401](TOKEN_REFUSED) | `WithAnotherToken` |
/// | a page of another origin | 403 | [4403](FORBIDDEN) | `Never` |
/// | the token or its client was revoked | 403 | [4403](FORBIDDEN) | `Never` |
/// | the keys cannot be fetched now, or it is not known what was revoked | 503 | 1013 | `Later` |
///
/// In [`App::fetch`], answer with [`refuse`](Self::refuse), which chooses the form that the client can read. A page
/// cannot read the status of a failed handshake: it only sees that the socket did not open. So a proper handshake is accepted
/// and closed with the code. `?` and [`response`](Self::response) refuse with the status, before the upgrade. A socket that is
/// open is closed with [`close_code`](Self::close_code) and [`text`](Self::text).
///
/// The client is told the text. What exactly was wrong is in [`cause`](Self::cause) and in `Display`, for your log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    come_back: ComeBack,
    text: &'static str,
    cause: String,
    is_expired: bool,
}

impl Denied {
    fn new(come_back: ComeBack, text: &'static str, cause: impl Into<String>) -> Self {
        Self { come_back, text, cause: cause.into(), is_expired: false }
    }

    /// The token does not open the gate.
    pub(crate) fn token(text: &'static str, cause: impl Into<String>) -> Self {
        Self::new(ComeBack::WithAnotherToken, text, cause)
    }

    /// The token was valid, and its time is over.
    pub(crate) fn expired() -> Self {
        Self { is_expired: true, ..Self::token(EXPIRED, "expired") }
    }

    /// The token is forged, damaged or made for something else. Who tries it learns no more than that.
    pub(crate) fn invalid(cause: impl Into<String>) -> Self {
        Self::token("the token is not valid: get another one", cause)
    }

    /// No key fits.
    pub(crate) fn unknown_key(header: &Header) -> Self {
        Self::invalid(format!("no key for {:?} with the id {:?}", header.alg, header.kid))
    }

    pub(crate) fn origin(cause: impl Into<String>) -> Self {
        Self::new(ComeBack::Never, "this page may not connect: use a page of this server", cause)
    }

    pub(crate) fn revoked() -> Self {
        Self::new(ComeBack::Never, REVOKED, "the token, or its client, was revoked")
    }

    pub(crate) fn later(cause: impl Into<String>) -> Self {
        Self::new(ComeBack::Later, "the token cannot be checked now: try again later", cause)
    }

    /// What the client should do.
    pub fn come_back(&self) -> ComeBack {
        self.come_back
    }

    /// Whether everything about the token is right except that its time is over: its client should get a new one without asking its
    /// user anything, for example with a refresh token. A token that is not valid may be forged.
    pub fn is_expired(&self) -> bool {
        self.is_expired
    }

    /// The status of a refusal before the upgrade: 401, 403 or 503.
    pub fn status(&self) -> StatusCode {
        match self.come_back {
            ComeBack::WithAnotherToken => StatusCode::UNAUTHORIZED,
            ComeBack::Never => StatusCode::FORBIDDEN,
            ComeBack::Later => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The close code of a refusal after the upgrade: 4401, 4403 or 1013.
    pub fn close_code(&self) -> CloseCode {
        match self.come_back {
            ComeBack::WithAnotherToken => TOKEN_REFUSED,
            ComeBack::Never => FORBIDDEN,
            ComeBack::Later => CloseCode::TRY_AGAIN,
        }
    }

    /// What the client is told. It says what to do and shows nothing of the token or of the server. It fits into the reason of
    /// a close.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// What was wrong, for the log. It may name what the token contains, but never the token.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Refuses a request in the form that its client can read. If it is to open a WebSocket, the connection is accepted and closed
    /// at once with [`close_code`](Self::close_code) and [`text`](Self::text)
    /// ([`Dog::refuse_after_upgrade`]); it activates no object. Any other request gets [`response`](Self::response).
    ///
    /// ```
    /// # use dog::{App, ClientId, Dog, Request, Response, Result};
    /// # use dog_door::Gate;
    /// async fn enter<A: App>(gate: &Gate, request: Request, dog: &Dog<A>) -> Result<Response> {
    ///     let admitted = match gate.admit(&request, dog.now()).await {
    ///         Ok(admitted) => admitted,
    ///         Err(denied) => return Ok(denied.refuse(&request, dog)),
    ///     };
    /// #   let _ = admitted; unreachable!()
    ///     // …
    /// }
    /// ```
    pub fn refuse<A: App>(&self, request: &Request, dog: &Dog<A>) -> Response {
        match dog.refuse_websocket(request) {
            None => dog.refuse_after_upgrade(request, self.close_code(), self.text),
            Some(_) => self.response(),
        }
    }

    /// The response that refuses the request before any upgrade. A 401 has `WWW-Authenticate: Bearer`, a 503 has `Retry-After: 1`.
    pub fn response(&self) -> Response {
        let mut response = dog::text_response(self.status(), self.text);
        let field = match self.come_back {
            ComeBack::WithAnotherToken => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            ComeBack::Later => Some((header::RETRY_AFTER, HeaderValue::from_static("1"))),
            ComeBack::Never => None,
        };
        response.headers_mut().extend(field);
        response
    }
}

impl fmt::Display for Denied {
    /// For the log: with the cause.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.text, self.cause)
    }
}

/// So that `?` in [`App::fetch`] refuses with the status and the text. As with
/// [`Failure::status`], the server does not log a 401 or a 403.
// `Denied` does not implement `std::error::Error`: as one, it would become a failure that answers 500.
impl From<Denied> for Failure {
    fn from(refusal: Denied) -> Self {
        Self::status(refusal.status(), refusal.text)
    }
}
