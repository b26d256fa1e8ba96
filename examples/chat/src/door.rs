//! The way into the room: a session in a signed cookie, or, for demos and tests, the name in the address.

use dog::http::{HeaderValue, StatusCode, header};
use dog::{
    App, Body, ClientId, Dog, Env, Error, Failure, Group, Replica, ReplicaHandle, Request, Response, Result, Socket,
    Timestamp, json_response, query_param,
};
use dog_door::{
    Admitted, ComeBack, Denied, Expiry, Gate, NoClaims, Origins, Renewable, Renewed, Revocation, RevokeIn, Sessions,
};
use serde_json::{Value, json};

/// The longest name, in bytes: that of a [`ClientId`].
const MAX_NAME: usize = 256;
/// The tokens that renew open sockets are those of sessions of this name.
const RENEWAL: &str = "renewal";

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
    /// No script of the page can read the session's cookie. So the page is given a token that it sends through its socket, and that
    /// is good for nothing else.
    renewals: Sessions,
    renewal_gate: Gate,
}

/// Who enters.
pub(crate) enum Entering {
    /// Under the name in the address.
    Named(ClientId),
    /// With a session.
    Admitted(Admitted),
}

impl Door {
    /// The warning of a server whose door is open.
    pub const OPEN: &str = "open: everybody can enter under every name with ?u=NAME";

    /// Only who has logged in enters, and only from pages of this server.
    #[must_use]
    pub fn login(sessions: Sessions) -> Self {
        let renewals = sessions.clone().name(RENEWAL).expect("it has letters only");
        let (gate, renewal_gate) = (sessions.gate(), renewals.gate());
        Self::Login(Box::new(Login { sessions, gate, renewals, renewal_gate }))
    }

    /// # Errors
    /// The program has put none into the `Env`.
    pub(crate) fn of(env: &Env) -> Result<&Self> {
        env.get().ok_or_else(|| Failure::new("the Env has no Door: nobody can enter"))
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Who wants to enter with this request, or the answer to who may not. A page cannot read the status of a handshake, so a
    /// WebSocket opens and closes at once: with 4401 without a session, with 4403 for a page of another server and for a session
    /// that was revoked.
    pub(crate) async fn admit<A: App, G: Group>(
        &self,
        request: &Request,
        dog: &Dog<A>,
        room: &impl RevokeIn<G>,
    ) -> Result<Result<Entering, Response>> {
        match self {
            Self::Open => Ok(Ok(Entering::Named(client_of_address(request)?))),
            Self::Login(login) => match login.admit(request, dog.now(), room).await {
                Ok(admitted) => Ok(Ok(Entering::Admitted(admitted))),
                Err(denied) => Ok(Err(denied.refuse(request, dog))),
            },
        }
    }

    /// Says to the page whether it has to log in, and who it is. It renews the session: the page asks when half of its time is over.
    pub(crate) async fn session<G: Group>(
        &self,
        request: &Request,
        now: Timestamp,
        room: &impl RevokeIn<G>,
    ) -> Result<Response> {
        let mut response = match self {
            Self::Open => json_response::<Value>(StatusCode::OK, &json!({ "open": true }))?,
            Self::Login(login) => login.renewed_session(request, now, room).await?,
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// Renews a socket with the token that its page was given. The answer says what is wrong with the token.
    pub(crate) async fn renew<A: Renewable>(
        &self,
        expiry: &Expiry<A>,
        socket: &Socket,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<&'static str>> {
        let Self::Login(login) = self else { return Ok(Some("nobody logs in here")) };
        Ok(match login.renewal_gate.check(token, now).await {
            Ok(admitted) => match expiry.renew(socket, &admitted)? {
                Renewed::Until(_) => None,
                Renewed::OtherClient => Some("the token is one of another user"),
            },
            Err(denied) => Some(denied.text()),
        })
    }

    /// Ends the sessions that a user has now. When this returns, it is durable. Where nobody logs in, there are none.
    pub(crate) async fn revoke<G: Group>(&self, user: &ClientId, now: Timestamp, room: &impl RevokeIn<G>) -> Result {
        let Self::Login(login) = self else { return Ok(()) };
        room.store_revocation(&Revocation::client(user, now + login.sessions.lasts())).await
    }
}

impl Entering {
    pub(crate) fn client(&self) -> &ClientId {
        match self {
            Self::Named(client) => client,
            Self::Admitted(admitted) => admitted.client(),
        }
    }

    /// The Replica learns when the session ends.
    pub(crate) async fn fetch<R: Replica>(&self, room: ReplicaHandle<R>, request: Request) -> Result<Response> {
        Ok(match self {
            Self::Named(_) => room.fetch(request).await?,
            Self::Admitted(admitted) => room.fetch_as(request, admitted).await?,
        })
    }
}

impl Login {
    /// The room knows who was removed. Every handshake asks it, on every host: there is no other node that knows it on Workers.
    async fn admit<G: Group>(
        &self,
        request: &Request,
        now: Timestamp,
        room: &impl RevokeIn<G>,
    ) -> Result<Admitted, Denied> {
        let admitted = self.gate.admit(request, now).await?;
        room.check_revoked(&admitted).await?;
        Ok(admitted)
    }

    /// `now` was before the room is asked: the new session, too, ends with what is revoked later.
    async fn renewed_session<G: Group>(
        &self,
        request: &Request,
        now: Timestamp,
        room: &impl RevokeIn<G>,
    ) -> Result<Response> {
        let admitted = match self.admit(request, now, room).await {
            Ok(admitted) => admitted,
            // It is not known whether there is a session.
            Err(denied) if denied.come_back() == ComeBack::Later => return Ok(denied.response()),
            Err(_) => return Ok(json_response(StatusCode::OK, &json!({ "open": false, "name": null }))?),
        };
        let name = admitted.client();
        let renewal = self.renewals.token(name, &NoClaims {}, now)?;
        let seconds = self.sessions.lasts().as_secs();
        let session = json!({ "open": false, "name": name.as_str(), "seconds": seconds, "renewal": renewal });
        let mut response = json_response::<Value>(StatusCode::OK, &session)?;
        response.headers_mut().insert(header::SET_COOKIE, self.sessions.cookie(name, &NoClaims {}, now)?);
        Ok(response)
    }

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
