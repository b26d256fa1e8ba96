//! Tokens and clients that are revoked before the token ends, on the clock of the test kit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::cell::Cell;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dog::http::Method;
use dog::{
    App, Body, ClientId, Context, Dog, Env, Group, GroupContext, Limit, Message, Replica, Request, Response, Result,
    Socket, Timestamp,
};
use dog_door::{
    Expiry, FORBIDDEN, Gate, ListCall, ListReply, MaxRevocations, Renewed, Revocation, RevocationList, RevocationStore,
    Revocations, RevokeIn, TokenKey, TokenSource, Verifier,
};
use dog_testing::{ClientSocket, Cluster, websocket};
use futures_util::FutureExt;
use futures_util::future::Either;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

const SECRET: &[u8] = b"thirty-two bytes, or some more..";
const SECOND: Duration = Duration::from_secs(1);
/// The most that the lists of these tests keep: more than one page.
const MOST: u64 = 1500;
const HOUR: Duration = Duration::from_secs(3600);

/// `/ws` follows the list "all", `/asked` asks the list of its Group. `POST` revokes in one of them.
struct Chat;

impl App for Chat {
    type Groups = (Lobby, Follower, RevocationList);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let lobby = dog.group::<Lobby>("lobby");
        if request.method() == Method::POST {
            let path = request.uri().path().to_owned();
            let revocation = revocation(path.rsplit('/').next().unwrap(), dog.now() + HOUR);
            let missing = match path.starts_with("/group/") {
                true => lobby.revoke(&revocation).await?,
                false => RevocationList::revoke(&dog.group("all"), &revocation).await.map(|()| 0)?,
            };
            return Ok(dog::text_response(dog::http::StatusCode::OK, missing.to_string()));
        }
        let is_asked = request.uri().path() == "/asked";
        let gate = dog.env().get::<[Gate; 2]>().unwrap();
        let admitted = gate[usize::from(is_asked)].admit(&request, dog.now()).await?;
        if is_asked {
            lobby.check_revoked(&admitted).await?;
        }
        Ok(lobby.identify(admitted.client()).await?.fetch_as(request, &admitted).await?)
    }
}

/// A name with a colon is a token's, every other one a client's.
fn revocation(name: &str, until: Timestamp) -> Revocation {
    match name.contains(':') {
        true => Revocation::token(name, until).unwrap(),
        false => Revocation::client(&ClientId::new(name).unwrap(), until),
    }
}

/// It keeps its own revocations beside an entry of its own.
struct Lobby(RevocationStore);

impl Group for Lobby {
    type Replica = Room;
    type Call = ListCall;
    type Reply = ListReply;
    const NAME: &'static str = "lobby";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        cx.storage().put("head", &"its own").await?;
        Ok(Self(RevocationStore::new(cx)))
    }

    fn limit(&self) -> Limit {
        Limit::new(2)
    }

    async fn on_call(&self, _: &GroupContext, call: ListCall) -> Result<ListReply> {
        self.0.on_call(call).await
    }
}

/// In the `Env` if no task keeps a Replica in memory.
struct Hibernates;

/// In the `Env`: what the node hears in the moment in which the next socket opens.
#[derive(Clone, Default)]
struct News(Arc<Mutex<Option<ListReply>>>);

/// Takes one answer of a list.
fn hear(known: &Revocations, answer: ListReply) {
    let answer = Cell::new(Some(answer));
    let call = |_| {
        let answer = answer.take();
        async { answer.map_or_else(|| Either::Left(pending()), |answer| Either::Right(ready(Ok(answer)))).await }
    };
    assert!(known.follow(call, |_| pending()).now_or_never().is_none());
}

/// Asks the list "all" what a node that follows it would ask.
fn ask(cluster: &Cluster, known: &Revocations) -> ListReply {
    let answer = Cell::new(None);
    let call = |call| {
        answer.set(Some(cluster.call::<RevocationList>("all", &call).unwrap()));
        pending()
    };
    assert!(known.follow(call, |_| pending()).now_or_never().is_none());
    answer.take().unwrap()
}

struct Room(Expiry);

impl Replica for Room {
    type Group = Lobby;
    type Gossip = Revocation;
    type Answer = usize;

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let expiry = Expiry::new().revocations(cx.env().get::<Revocations>().unwrap().clone());
        if cx.env().get::<Hibernates>().is_none() {
            expiry.resume(cx)?;
        }
        Ok(Self(expiry))
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        let news = cx.env().get::<News>().and_then(|news| news.0.lock().unwrap().take());
        if let Some(news) = news {
            hear(cx.env().get::<Revocations>().unwrap(), news);
        }
        match cx.env().get::<Hibernates>() {
            Some(Hibernates) => Ok(()),
            None => Ok(self.0.watch(cx, socket)?),
        }
    }

    /// The text is a token.
    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let gate = &cx.env().get::<[Gate; 2]>().unwrap()[1];
        let admitted = gate.check(message.as_text().unwrap(), cx.now()).await?;
        assert!(matches!(self.0.renew(socket, &admitted)?, Renewed::Until(_)));
        Ok(socket.send("renewed")?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, revocation: Revocation) -> Result<usize> {
        Ok(self.0.close_revoked(cx, &revocation)?)
    }
}

/// What a task of the process is on a real host: it follows the list.
struct Follower;

impl Group for Follower {
    type Replica = NoRoom;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "follower";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        let (known, context) = (cx.env().get::<Revocations>().unwrap().clone(), cx.clone());
        cx.spawn(async move {
            let call = |call| {
                let list = context.dog().group::<RevocationList>("all");
                async move { list.call(&call).await }
            };
            known.follow(call, |time| context.sleep(time)).await;
        })?;
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    async fn on_call(&self, _: &GroupContext, (): ()) -> Result {
        Ok(())
    }
}

struct NoRoom;

impl Replica for NoRoom {
    type Group = Follower;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }
}

/// Nobody follows the list yet.
fn unfollowed() -> Cluster {
    start(|env| env)
}

fn start(set: impl FnOnce(Env) -> Env) -> Cluster {
    start_with(&Revocations::new(), set)
}

fn start_with(known: &Revocations, set: impl FnOnce(Env) -> Env) -> Cluster {
    let gate = || {
        let verifier = Verifier::new(TokenKey::hs256(SECRET).unwrap());
        Gate::new(verifier, [TokenSource::Query("token".into())])
    };
    let gates: [Gate; 2] = [gate().revocations(known.clone()), gate()];
    Cluster::builder(Chat).env(set(Env::new().with(known.clone()).with(gates).with(MaxRevocations(1500)))).start()
}

fn followed() -> Cluster {
    let cluster = unfollowed();
    follow(&cluster);
    cluster
}

fn follow(cluster: &Cluster) {
    cluster.call::<Follower>("one", &()).unwrap();
    cluster.run();
}

/// A token of this client, issued now, that lasts an hour.
fn token(cluster: &Cluster, client: &str, id: &str) -> String {
    token_of(cluster, client, id, HOUR)
}

/// The same that lasts so long.
fn token_of(cluster: &Cluster, client: &str, id: &str, lasts: Duration) -> String {
    let now = cluster.now().as_millis() / 1000;
    let claims = json!({ "sub": client, "jti": id, "iat": now, "exp": now + lasts.as_secs() });
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

/// Opens a socket. `Err` is the status of the refusal.
fn open(cluster: &Cluster, path: &str, token: &str) -> Result<ClientSocket, u16> {
    let opened = cluster.open(websocket(&format!("{path}?token={token}")));
    opened.map_err(|refusal| refusal.status().as_u16())
}

fn refused(cluster: &Cluster, path: &str, token: &str) -> Option<u16> {
    open(cluster, path, token).err()
}

/// Revokes `name` and returns the status of the response.
fn revoke(cluster: &Cluster, path: &str, name: &str) -> u16 {
    let request = dog::http::Request::post(format!("{path}/{name}")).body(Body::empty()).unwrap();
    cluster.fetch(request).status().as_u16()
}

fn is_closed(socket: &ClientSocket) -> bool {
    socket.closed().is_some_and(|close| {
        assert_eq!((close.code(), close.reason()), (FORBIDDEN, "the token was revoked: log in again"));
        true
    })
}

#[test]
fn a_client_that_is_revoked_loses_every_socket_and_comes_back_with_a_new_login_only() {
    let cluster = followed();
    let old = token(&cluster, "ann", "a:1");
    let ann: Vec<_> = (0..3).map(|_| open(&cluster, "/ws", &old).unwrap()).collect();
    let bob = open(&cluster, "/ws", &token(&cluster, "bob", "b:1")).unwrap();
    assert_eq!(cluster.replicas::<Lobby>("lobby").len(), 2, "they are on two Replicas");
    assert_eq!(revoke(&cluster, "/all", "ann"), 200);
    cluster.advance(SECOND);
    assert!(ann.iter().all(is_closed) && bob.is_open());
    assert_eq!(refused(&cluster, "/ws", &old), Some(403));
    cluster.advance(SECOND);
    let new = token(&cluster, "ann", "a:2");
    let again = open(&cluster, "/ws", &new).unwrap();

    // The list is durable, and a client is revoked as often as it has to be.
    cluster.restart_group::<RevocationList>("all");
    cluster.advance(SECOND);
    assert_eq!(refused(&cluster, "/ws", &old), Some(403));
    assert_eq!(revoke(&cluster, "/all", "ann"), 200);
    cluster.advance(SECOND);
    assert!(is_closed(&again) && bob.is_open());
    assert_eq!(refused(&cluster, "/ws", &new), Some(403));
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn no_socket_is_forgotten_if_the_news_come_in_the_moment_in_which_one_opens_that_ends_earlier() {
    let (known, news) = (Revocations::new(), News::default());
    let cluster = start_with(&known, |env| env.with(news.clone()));
    hear(&known, ask(&cluster, &known));
    let ann = open(&cluster, "/ws", &token(&cluster, "ann", "a:1")).unwrap();
    assert_eq!(revoke(&cluster, "/all", "ann"), 200);
    *news.0.lock().unwrap() = Some(ask(&cluster, &known));
    let bob = open(&cluster, "/ws", &token_of(&cluster, "bob", "b:1", HOUR / 2)).unwrap();
    assert_eq!(ann.replica(), bob.replica());
    assert!(is_closed(&ann) && bob.is_open());
}

#[test]
fn a_token_that_is_revoked_closes_its_sockets_and_those_that_it_has_renewed() {
    let cluster = followed();
    let tokens = ["a:1", "a:2", "a:3"].map(|id| token(&cluster, "ann", id));
    let [first, second] = [0, 1].map(|at| open(&cluster, "/ws", &tokens[at]).unwrap());
    cluster.advance(SECOND);
    // Renewed with the third, which ends later.
    let renewal = token(&cluster, "ann", "a:3");
    second.send(renewal.as_str());
    cluster.run();
    assert_eq!(second.received(), [Message::text("renewed")]);
    assert_eq!(revoke(&cluster, "/all", "a:1"), 200);
    cluster.advance(SECOND);
    assert!(is_closed(&first) && second.is_open());
    assert_eq!(tokens.each_ref().map(|token| refused(&cluster, "/ws", token)), [Some(403), None, None]);
    assert_eq!(revoke(&cluster, "/all", "a:3"), 200);
    cluster.advance(SECOND);
    assert!(is_closed(&second));
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn who_does_not_know_what_was_revoked_admits_nobody() {
    let cluster = unfollowed();
    let ann = token(&cluster, "ann", "a:1");
    assert_eq!(refused(&cluster, "/ws", &ann), Some(503), "the list was never read");
    follow(&cluster);
    let socket = open(&cluster, "/ws", &ann).unwrap();
    cluster.cut_off_group::<RevocationList>("all");
    cluster.advance(25 * SECOND);
    assert_eq!(refused(&cluster, "/ws", &ann), None, "what was known is relied on for 30 s");
    cluster.advance(10 * SECOND);
    assert_eq!(refused(&cluster, "/ws", &ann), Some(503));
    assert!(socket.is_open());
    cluster.heal();
    cluster.advance(5 * SECOND);
    assert_eq!(refused(&cluster, "/ws", &ann), None);
    assert_eq!(revoke(&cluster, "/all", "ann"), 200);
    cluster.advance(SECOND);
    assert!(is_closed(&socket));
}

#[test]
fn an_entry_makes_room_when_it_is_over_and_not_before() {
    let cluster = followed();
    let call = |at: u64, until: Timestamp| {
        let revocation = Revocation::token(format!("t:{at}"), until).unwrap();
        cluster.call::<RevocationList>("all", &revocation.call()).unwrap().revoked()
    };
    let soon = cluster.now() + HOUR;
    for at in 0..MOST {
        call(at, soon).unwrap();
    }
    assert!(call(MOST, soon).is_err(), "the list is full");
    call(0, soon).unwrap();
    cluster.advance(2 * SECOND);
    let last = token(&cluster, "ann", &format!("t:{}", MOST - 1));
    assert_eq!(refused(&cluster, "/ws", &last), Some(403), "nothing was forgotten");
    let ann = token(&cluster, "ann", "t:none");
    assert_eq!(refused(&cluster, "/ws", &ann), None);
    // Entries outlive their time by 10 minutes.
    cluster.advance(HOUR + 9 * 60 * SECOND);
    assert!(call(MOST, cluster.now() + HOUR).is_err());
    cluster.advance(60 * SECOND);
    call(MOST, cluster.now() + HOUR).unwrap();
    cluster.restart_group::<RevocationList>("all");
    cluster.advance(2 * SECOND);
    let new = token(&cluster, "ann", &format!("t:{MOST}"));
    assert_eq!(refused(&cluster, "/ws", &new), Some(403), "after a restart too");
}

#[test]
fn a_group_with_a_list_of_its_own_closes_by_gossip_also_who_hibernates() {
    let cluster = start(|env| env.with(Hibernates));
    let ann = token(&cluster, "ann", "a:1");
    let [first, second] = [(); 2].map(|()| open(&cluster, "/asked", &ann).unwrap());
    let bob = open(&cluster, "/asked", &token(&cluster, "bob", "b:1")).unwrap();
    assert!(cluster.evict_replica(bob.replica()) && cluster.evict_replica(first.replica()));
    assert_eq!(revoke(&cluster, "/group", "ann"), 200);
    cluster.run();
    assert!(is_closed(&first) && is_closed(&second) && bob.is_open());
    assert_eq!(refused(&cluster, "/asked", &ann), Some(403));
    assert_eq!(revoke(&cluster, "/group", "b:1"), 200);
    cluster.run();
    assert!(is_closed(&bob));
    cluster.restart_group::<Lobby>("lobby");
    assert_eq!(refused(&cluster, "/asked", &ann), Some(403));
    cluster.cut_off_group::<Lobby>("lobby");
    cluster.begin(websocket(&format!("/asked?token={ann}")));
    assert_eq!(cluster.failures(), [""; 0]);
}
