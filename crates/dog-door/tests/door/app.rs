//! A room behind a door: tokens with ES256, revocations, and pages of the same origin only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dog::http::{Method, StatusCode};
use dog::{
    App, ClientId, Context, Dog, Env, Failure, Group, GroupContext, Limit, Message, MessageRate, Policy, Replica,
    Request, Response, Result, Socket, To, query_param, text_response,
};
use dog_door::{Expiry, Gate, Revocation, RevocationList, Revocations, TokenKey, TokenSource, Verifier};
use dog_native::Server;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub(crate) const PUBLIC: &str = include_str!("../keys/ec.pub.pem");
const PRIVATE: &str = include_str!("../keys/ec.pem");

/// The path of a WebSocket with this token.
pub(crate) fn path(token: &str) -> String {
    format!("/ws?token={token}")
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What a valid token of this client says.
pub(crate) fn claims(client: &str, id: &str) -> Value {
    json!({ "sub": client, "jti": id, "iss": "us", "aud": "room", "iat": now() - 10, "exp": now() + 3600 })
}

/// A valid token.
pub(crate) fn token(client: &str, id: &str) -> String {
    signed(&claims(client, id))
}

/// A token that the issuer has signed.
pub(crate) fn signed(claims: &Value) -> String {
    verifier();
    let key = EncodingKey::from_ec_pem(PRIVATE.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(TokenKey::es256_pem(PUBLIC).unwrap()).issuer("us").audience("room")
}

/// What one client may do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PerClient {
    pub(crate) rate: Option<MessageRate>,
    pub(crate) seats: Option<u32>,
}

fn per_client(env: &Env) -> PerClient {
    env.get().copied().unwrap_or_default()
}

/// A server that follows its list. It runs when it is started.
pub(crate) fn server(limits: PerClient) -> Server<Door> {
    let known = Revocations::new();
    let sources = [TokenSource::Query("token".into()), TokenSource::Cookie("token".into())];
    let gate: Gate = Gate::new(verifier(), sources).revocations(known.clone());
    let server =
        Server::new(Door).env(Env::new().with(known.clone()).with(gate).with(limits)).workers(2).bind("127.0.0.1:0");
    let handle = server.handle();
    tokio::spawn(async move {
        let list = handle.group::<RevocationList>("all");
        known.follow(|call| list.call(&call), tokio::time::sleep).await;
    });
    server
}

/// `/ws?token=TOKEN&room=NAME`, and `POST /revoke?client=NAME` or `?id=ID`.
pub(crate) struct Door;

impl App for Door {
    type Groups = (Lobby, RevocationList);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if request.method() == Method::POST {
            let until = dog.now() + Duration::from_secs(3600);
            let revocation = match query_param(&request, "client") {
                Some(client) => Revocation::client(&ClientId::new(client)?, until),
                None => Revocation::token(query_param(&request, "id").unwrap_or_default(), until)?,
            };
            RevocationList::revoke(&dog.group("all"), &revocation).await?;
            return Ok(text_response(StatusCode::OK, "revoked"));
        }
        let gate = dog.env().get::<Gate>().ok_or_else(|| Failure::new("no gate"))?;
        let admitted = gate.admit(&request, dog.now()).await?;
        let lobby = dog.group::<Lobby>(&query_param(&request, "room").unwrap_or_default());
        Ok(lobby.identify(admitted.client()).await?.fetch_as(request, &admitted).await?)
    }
}

pub(crate) struct Lobby(PerClient);

impl Group for Lobby {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "lobby";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self(per_client(cx.env())))
    }

    fn policy(&self) -> Policy {
        Policy { max_seats_per_client: self.0.seats, ..Policy::default() }
    }

    fn limit(&self) -> Limit {
        Limit::new(1000)
    }
}

pub(crate) struct Room(Expiry);

impl Replica for Room {
    type Group = Lobby;
    type Gossip = ();
    type Answer = ();

    fn message_rate(cx: &Context<Self>) -> Option<MessageRate> {
        per_client(cx.env()).rate
    }

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let known = cx.env().get::<Revocations>().ok_or_else(|| Failure::new("no copy"))?;
        let expiry = Expiry::new().revocations(known.clone());
        expiry.resume(cx)?;
        Ok(Self(expiry))
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        Ok(self.0.watch(cx, socket)?)
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        Ok(socket.broadcast(message, To::Everyone)?)
    }
}
