//! The way into the room: a session in a signed cookie, or, for demos and tests, the name in the address.

use dog::http::{HeaderValue, StatusCode, header};
use dog::{
    App, Body, ClientId, Dog, Env, Error, Failure, Request, Response, Result, Timestamp, json_response, query_param,
};
use dog_door::{Gate, NoClaims, Origins, Sessions};
use serde_json::{Value, json};

/// The longest name, in bytes: that of a [`ClientId`].
const MAX_NAME: usize = 256;

/// Who may enter, and under which name. The [`Env`] must hold one.
pub enum Door {
    /// Everybody is who the address says: `?u=ann` makes you ann. Only for demos and tests.
    Open,
    /// A name comes from a session, which `POST /login` begins.
    Login(Box<Login>),
}

/// The sessions, and who has one.
pub struct Login {
    sessions: Sessions,
    gate: Gate,
}

impl Door {
    /// The warning of a server whose door is open.
    pub const OPEN: &str = "open: everybody can enter under every name with ?u=NAME";

    /// Only who has logged in enters, and only from pages of this server.
    #[must_use]
    pub fn login(sessions: Sessions) -> Self {
        let gate = sessions.gate();
        Self::Login(Box::new(Login { sessions, gate }))
    }

    /// # Errors
    /// The program has put none into the `Env`.
    pub(crate) fn of(env: &Env) -> Result<&Self> {
        env.get().ok_or_else(|| Failure::new("the Env has no Door: nobody can enter"))
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// The client of a request that wants to enter, or the answer to who may not. A page cannot read the status of a handshake, so a
    /// WebSocket opens and closes at once: with 4401 without a session, with 4403 for a page of another server.
    pub(crate) async fn client<A: App>(&self, request: &Request, dog: &Dog<A>) -> Result<Result<ClientId, Response>> {
        match self {
            Self::Open => Ok(Ok(client_of_address(request)?)),
            Self::Login(login) => match login.gate.admit(request, dog.now()).await {
                Ok(admitted) => Ok(Ok(admitted.client().clone())),
                Err(denied) => Ok(Err(denied.refuse(request, dog))),
            },
        }
    }

    /// Says to the page whether it has to log in, and who it is.
    pub(crate) async fn session(&self, request: &Request, now: Timestamp) -> Result<Response> {
        let session = match self {
            Self::Open => json!({ "open": true }),
            Self::Login(login) => {
                let admitted = login.gate.admit(request, now).await.ok();
                json!({ "open": false, "name": admitted.as_ref().map(|admitted| admitted.client().as_str()) })
            }
        };
        let mut response = json_response::<Value>(StatusCode::OK, &session)?;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

impl Login {
    /// Begins a session for the name in the body. A real program checks a password here.
    pub(crate) async fn log_in(&self, request: Request, now: Timestamp) -> Result<Response> {
        Origins::same().check(&request)?;
        // A longer name is an error that answers 413.
        let body = request.into_body().bytes(MAX_NAME).await?;
        let Ok(name) = std::str::from_utf8(&body) else {
            return Err(Failure::status(StatusCode::BAD_REQUEST, "send the name in UTF-8"));
        };
        let cookie = self.sessions.cookie(&ClientId::new(name)?, &NoClaims {}, now)?;
        Ok(with_cookie(cookie))
    }

    /// Makes the browser forget its session.
    pub(crate) fn log_out(&self, request: &Request) -> Result<Response> {
        Origins::same().check(request)?;
        Ok(with_cookie(self.sessions.end()))
    }
}

fn with_cookie(cookie: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn client_of_address(request: &Request) -> Result<ClientId, Error> {
    match query_param(request, "u") {
        Some(name) => ClientId::new(name),
        // `curl` needs no name to send something to the room.
        None if request.uri().path() != "/ws" => ClientId::new("HTTP"),
        // The empty name is refused with 400.
        None => ClientId::new(""),
    }
}
