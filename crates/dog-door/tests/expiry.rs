//! Sockets whose tokens end, on the clock of the test kit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::time::Duration;

use dog::{
    Alarm, App, ClientId, Context, Dog, Env, Failure, Group, GroupContext, Limit, Message, Replica, Request, Response,
    Result, Socket,
};
use dog_door::{EXPIRY_ALARM, Expiry, FORBIDDEN, Gate, NoClaims, Renewable, Renewal, Renewed, Sessions, TOKEN_REFUSED};
use dog_testing::{ClientSocket, Cluster, websocket};
use serde::{Deserialize, Serialize};

/// Sessions last ten minutes, and then there is a minute of grace.
const LIFETIME: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_secs(60);

struct Chat;

impl App for Chat {
    type Groups = (Lobby,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let lobby = dog.group::<Lobby>("lobby");
        if request.uri().path() == "/open" {
            let guest = ClientId::new("guest")?;
            return Ok(lobby.identify(&guest).await?.fetch(request).await?);
        }
        let admitted = gate(dog.env())?.admit(&request, dog.now()).await?;
        Ok(lobby.identify(admitted.client()).await?.fetch_as(request, &admitted).await?)
    }
}

fn gate(env: &Env) -> Result<&Gate> {
    env.get().ok_or_else(|| Failure::new("no gate"))
}

/// Who looks at the clock.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    Task,
    Alarm,
    /// A task, but not before the second life of a Replica.
    SecondLife,
}

struct Lobby;

impl Group for Lobby {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "lobby";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(10)
    }
}

/// The attachment: a count of messages beside the renewal.
#[derive(Default, Serialize, Deserialize)]
struct Attached {
    messages: u32,
    renewal: Renewal,
}

impl Renewable for Attached {
    fn renewal(&mut self) -> &mut Renewal {
        &mut self.renewal
    }
}

struct Room {
    expiry: Expiry<Attached>,
}

fn clock(env: &Env) -> Clock {
    env.get().copied().unwrap_or(Clock::Task)
}

impl Replica for Room {
    type Group = Lobby;
    type Gossip = ();
    type Answer = ();

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let expiry = Expiry::with_attachment().grace(GRACE);
        if clock(cx.env()) != Clock::Alarm {
            expiry.resume(cx)?;
        }
        Ok(Self { expiry })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        match clock(cx.env()) {
            Clock::Task => Ok(self.expiry.watch(cx, socket)?),
            Clock::Alarm => Ok(self.expiry.watch_by_alarm(cx, socket).await?),
            Clock::SecondLife => Ok(()),
        }
    }

    /// The text is a token.
    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        socket.update_attachment(|attached: &mut Attached| attached.messages += 1)?;
        match gate(cx.env())?.check(message.as_text().unwrap_or_default(), cx.now()).await {
            Ok(admitted) => match self.expiry.renew(socket, &admitted)? {
                Renewed::Until(_) => socket.send("renewed")?,
                Renewed::OtherClient => socket.close(FORBIDDEN, "the token is one of another client"),
            },
            Err(refusal) => socket.send(refusal.text())?,
        }
        Ok(())
    }

    async fn on_alarm(&self, cx: &Context<Self>, alarm: Alarm) -> Result {
        assert_eq!(alarm.name(), EXPIRY_ALARM);
        Ok(self.expiry.ring(cx).await?)
    }
}

fn sessions() -> Sessions {
    Sessions::new(&[7; 32]).unwrap().lifetime(LIFETIME)
}

fn start(clock: Clock) -> Cluster {
    let builder = Cluster::builder(Chat).env(Env::new().with::<Gate>(sessions().gate()).with(clock));
    builder.hibernate_after(Duration::from_secs(5)).start()
}

/// A session that begins now, as the browser sends it.
fn cookie(cluster: &Cluster, name: &str) -> String {
    let cookie = sessions().cookie(&ClientId::new(name).unwrap(), &NoClaims {}, cluster.now()).unwrap();
    cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
}

fn token(cluster: &Cluster, name: &str) -> String {
    cookie(cluster, name).split_once('=').unwrap().1.to_owned()
}

fn enter(cluster: &Cluster, name: &str) -> ClientSocket {
    enter_with(cluster, &cookie(cluster, name))
}

fn enter_with(cluster: &Cluster, cookie: &str) -> ClientSocket {
    let mut request = websocket("/ws");
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    cluster.open(request).unwrap()
}

fn tell(cluster: &Cluster, socket: &ClientSocket, text: &str) -> Vec<String> {
    socket.send(text);
    cluster.run();
    socket.received_texts()
}

#[track_caller]
fn has_expired(socket: &ClientSocket) {
    let close = socket.closed().expect("it is closed");
    assert_eq!((close.code(), close.reason()), (TOKEN_REFUSED, "the token has expired: get another one"));
}

#[test]
fn a_socket_closes_when_its_token_and_the_grace_are_over() {
    for clock in [Clock::Task, Clock::Alarm] {
        let cluster = start(clock);
        let ann = enter(&cluster, "ann");
        let guest = cluster.connect("/open");
        cluster.advance(Duration::from_secs(100));
        let bob = enter(&cluster, "bob");
        cluster.advance(Duration::from_secs(559));
        assert!(ann.is_open());
        cluster.advance(Duration::from_secs(2));
        has_expired(&ann);
        assert!(bob.is_open() && guest.is_open());
        cluster.advance(Duration::from_secs(97));
        assert!(bob.is_open());
        cluster.advance(Duration::from_secs(3));
        has_expired(&bob);
        cluster.advance(Duration::from_secs(10_000));
        assert!(guest.is_open(), "a socket without a token is left alone");
        assert_eq!(cluster.failures(), [""; 0]);
    }
}

#[test]
fn a_newer_token_extends_and_an_older_one_changes_nothing() {
    for clock in [Clock::Task, Clock::Alarm] {
        let cluster = start(clock);
        let ann = enter(&cluster, "ann");
        let old = token(&cluster, "ann");
        cluster.advance(Duration::from_secs(300));
        let new = token(&cluster, "ann");
        assert_eq!(tell(&cluster, &ann, &new), ["renewed"]);
        assert_eq!(tell(&cluster, &ann, &old), ["renewed"]);
        cluster.advance(Duration::from_secs(655));
        assert!(ann.is_open(), "the first token has ended");
        cluster.advance(Duration::from_secs(10));
        has_expired(&ann);
        assert_eq!(cluster.failures(), [""; 0]);
    }
}

#[test]
fn a_token_can_be_renewed_in_the_grace_time() {
    let cluster = start(Clock::Task);
    let ann = enter(&cluster, "ann");
    cluster.advance(LIFETIME + Duration::from_secs(50));
    let expired = tell(&cluster, &ann, "a.b.c");
    assert!(expired[0].contains("not valid"), "{expired:?}");
    let new = token(&cluster, "ann");
    assert_eq!(tell(&cluster, &ann, &new), ["renewed"]);
    cluster.advance(Duration::from_secs(600));
    assert!(ann.is_open());
    cluster.advance(Duration::from_secs(61));
    has_expired(&ann);
}

#[test]
fn a_token_of_another_client_is_refused_and_renews_nothing() {
    let cluster = start(Clock::Task);
    let [ann, cid] = ["ann", "cid"].map(|name| enter(&cluster, name));
    let other = token(&cluster, "bob");
    assert_eq!(tell(&cluster, &ann, &other), [""; 0]);
    assert_eq!(ann.closed().map(|close| close.code()), Some(FORBIDDEN));
    assert!(cid.is_open());
}

#[test]
fn what_was_renewed_survives_hibernation() {
    let cluster = start(Clock::Alarm);
    let ann = enter(&cluster, "ann");
    cluster.advance(Duration::from_secs(300));
    let new = token(&cluster, "ann");
    assert_eq!(tell(&cluster, &ann, &new), ["renewed"]);
    cluster.advance(Duration::from_secs(60));
    assert!(!cluster.is_awake(ann.replica()), "an alarm keeps no Replica in memory");
    cluster.advance(Duration::from_secs(595));
    assert!(ann.is_open());
    cluster.advance(Duration::from_secs(10));
    has_expired(&ann);
}

/// The second comes with a session that ends earlier than the first's; the third comes in a later life of the Replica.
#[test]
fn an_alarm_rings_for_the_first_to_end_whoever_came_first() {
    let cluster = start(Clock::Alarm);
    let early = cookie(&cluster, "bob");
    cluster.advance(Duration::from_secs(200));
    let ann = enter(&cluster, "ann");
    let bob = enter_with(&cluster, &early);
    cluster.advance(Duration::from_secs(100));
    assert!(!cluster.is_awake(ann.replica()));
    let cid = enter(&cluster, "cid");
    assert_eq!((ann.replica(), bob.replica()), (cid.replica(), cid.replica()));
    for (socket, after) in [(&bob, 360), (&ann, 200), (&cid, 100)] {
        cluster.advance(Duration::from_secs(after - 1));
        assert!(socket.is_open());
        cluster.advance(Duration::from_secs(1));
        has_expired(socket);
    }
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn a_watch_keeps_its_replica_in_memory_until_the_last_token_has_ended() {
    let cluster = start(Clock::Task);
    let ann = enter(&cluster, "ann");
    let guest = cluster.connect("/open");
    cluster.advance(Duration::from_secs(60));
    assert!(cluster.is_awake(ann.replica()));
    cluster.advance(LIFETIME + GRACE);
    assert!(guest.is_open() && !ann.is_open() && !cluster.is_awake(guest.replica()));
}

#[test]
fn a_new_life_watches_the_sockets_of_the_one_before() {
    let cluster = start(Clock::SecondLife);
    let ann = enter(&cluster, "ann");
    cluster.advance(Duration::from_secs(60));
    assert!(!cluster.is_awake(ann.replica()), "nobody looks at the clock");
    let new = token(&cluster, "ann");
    assert_eq!(tell(&cluster, &ann, &new), ["renewed"], "the message begins a new life");
    cluster.advance(Duration::from_secs(655));
    assert!(ann.is_open());
    cluster.advance(Duration::from_secs(10));
    has_expired(&ann);
}

#[test]
fn who_comes_back_with_the_old_session_is_refused() {
    let cluster = start(Clock::Task);
    let old = cookie(&cluster, "ann");
    cluster.advance(LIFETIME + Duration::from_secs(31));
    let mut request = websocket("/ws");
    request.headers_mut().insert("cookie", old.parse().unwrap());
    let response = cluster.open(request).unwrap_err();
    assert_eq!(response.status(), 401);
    assert_eq!(cluster.read_text(*response), "the token has expired: get another one");
    assert_eq!(cluster.replicas::<Lobby>("lobby"), [], "nothing came alive for it");
}
