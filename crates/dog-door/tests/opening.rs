//! A client that is revoked between its admission and the end of its `on_open`, on the clock of the test kit. A handshake stops at
//! one moment, lets a whole removal run, and goes on when the removal has answered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dog::http::header;
use dog::{
    App, ClientId, CloseCode, Context, Dog, Env, Failure, Group, GroupContext, GroupHandle, Limit, Replica, Request,
    Response, Result, Socket, Timestamp,
};
use dog_door::{Expiry, Gate, ListCall, ListReply, NoClaims, Revocation, RevocationStore, RevokeIn, Sessions};
use dog_testing::{ClientSocket, Cluster, websocket};

const HOUR: Duration = Duration::from_secs(3600);
const REMOVED: u16 = 4003;
const FORBIDDEN: u16 = 4403;

/// What is to happen. In the `Env`.
struct Plan {
    /// At which moment of a handshake ann is removed, and how. It happens once.
    removal: Mutex<Option<(Moment, Way)>>,
    /// How many calls the Lobby answers.
    calls: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Admitted,
    Seated,
    Received,
    Opening,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Gossip,
    Disconnect,
}

impl Plan {
    fn of(env: &Env) -> &Self {
        env.get::<Arc<Self>>().unwrap()
    }

    /// A handshake is at this moment.
    async fn pass(env: &Env, at: Moment, lobby: &GroupHandle<Lobby>, now: Timestamp) -> Result {
        let removal = Self::of(env).removal.lock().unwrap().take_if(|(moment, _)| *moment == at);
        let Some((_, way)) = removal else { return Ok(()) };
        lobby.broadcast("ann is removed")?;
        let ann = ClientId::new("ann")?;
        let revocation = Revocation::client(&ann, now + HOUR);
        match way {
            Way::Gossip => assert_eq!(lobby.revoke(&revocation).await?, 0),
            Way::Disconnect => {
                lobby.store_revocation(&revocation).await?;
                let report = lobby.disconnect(&ann, CloseCode::new(REMOVED).unwrap(), "removed").await?;
                assert!(report.missing.is_empty(), "{report:?}");
            }
        }
        Ok(())
    }
}

struct Chat;

impl App for Chat {
    type Groups = (Lobby,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let lobby = dog.group::<Lobby>("lobby");
        if request.uri().path() == "/guest" {
            return Ok(lobby.identify(&ClientId::new("guest")?).await?.fetch(request).await?);
        }
        let admitted = dog.env().get::<Gate>().unwrap().admit(&request, dog.now()).await?;
        lobby.check_revoked(&admitted).await?;
        Plan::pass(dog.env(), Moment::Admitted, &lobby, dog.now()).await?;
        let seat = lobby.identify(admitted.client()).await?;
        Plan::pass(dog.env(), Moment::Seated, &lobby, dog.now()).await?;
        Ok(seat.fetch_as(request, &admitted).await?)
    }
}

struct Lobby(RevocationStore);

impl Group for Lobby {
    type Replica = Room;
    type Call = ListCall;
    type Reply = ListReply;
    const NAME: &'static str = "lobby";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self(RevocationStore::new(cx)))
    }

    fn limit(&self) -> Limit {
        Limit::new(2)
    }

    async fn on_call(&self, cx: &GroupContext, call: ListCall) -> Result<ListReply> {
        let calls = &Plan::of(cx.env()).calls;
        match calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => self.0.on_call(call).await,
            Err(_) => Err(Failure::new("no more calls")),
        }
    }
}

struct Room(Expiry);

impl Room {
    fn lobby(cx: &Context<Self>) -> GroupHandle<Lobby> {
        cx.dog().group_by_id(cx.group())
    }
}

impl Replica for Room {
    type Group = Lobby;
    type Gossip = Revocation;
    type Answer = usize;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self(Expiry::new()))
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Plan::pass(cx.env(), Moment::Received, &Self::lobby(cx), cx.now()).await?;
        Ok(cx.accept(request).on_open_first().connect()?)
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        Plan::pass(cx.env(), Moment::Opening, &Self::lobby(cx), cx.now()).await?;
        if self.0.close_if_revoked(&Self::lobby(cx), socket).await? {
            return Ok(());
        }
        Ok(socket.send("welcome")?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, revocation: Revocation) -> Result<usize> {
        Ok(self.0.close_revoked(cx, &revocation)?)
    }
}

struct Test {
    cluster: Cluster,
    sessions: Sessions,
    plan: Arc<Plan>,
}

impl Test {
    fn start(seed: u64) -> Self {
        let sessions = Sessions::new(&[7; 32]).unwrap();
        let plan = Arc::new(Plan { removal: Mutex::default(), calls: AtomicUsize::new(usize::MAX) });
        let env = Env::new().with::<Gate>(sessions.gate()).with(Arc::clone(&plan));
        Self { cluster: Cluster::builder(Chat).env(env).nodes(3).seed(seed).start(), sessions, plan }
    }

    /// Opens a socket with a session that begins now. `Err` is the status of the refusal.
    fn open(&self, client: &str) -> Result<ClientSocket, u16> {
        let cookie = self.sessions.cookie(&ClientId::new(client).unwrap(), &NoClaims {}, self.cluster.now()).unwrap();
        let session = cookie.to_str().unwrap().split(';').next().unwrap().parse().unwrap();
        let mut request = websocket("/ws");
        request.headers_mut().insert(header::COOKIE, session);
        self.cluster.open(request).map_err(|refusal| refusal.status().as_u16())
    }

    fn calls(&self) -> usize {
        usize::MAX - self.plan.calls.load(Ordering::Relaxed)
    }
}

fn code(socket: &ClientSocket) -> Option<u16> {
    socket.closed().map(|close| close.code().as_u16())
}

#[test]
fn who_is_removed_while_its_socket_opens_has_none_and_hears_nothing() {
    for moment in [Moment::Admitted, Moment::Seated, Moment::Received, Moment::Opening] {
        for (way, seed) in
            [Way::Gossip, Way::Disconnect].into_iter().flat_map(|way| (0..4).map(move |seed| (way, seed)))
        {
            let test = Test::start(seed);
            let bob = test.open("bob").unwrap();
            *test.plan.removal.lock().unwrap() = Some((moment, way));
            let ann = test.open("ann").unwrap();
            assert!(test.plan.removal.lock().unwrap().is_none(), "it is over");
            // The removal reaches a socket that is open, and all others see the revocation.
            let expected = match (moment, way) {
                (Moment::Opening, Way::Disconnect) => REMOVED,
                _ => FORBIDDEN,
            };
            assert_eq!((code(&ann), ann.received_texts()), (Some(expected), vec![]), "{moment:?} {way:?} {seed}");
            assert_eq!(bob.received_texts(), ["welcome", "ann is removed"]);
            assert_eq!(test.open("ann").err(), Some(403));
            test.cluster.advance(Duration::from_secs(1));
            let again = test.open("ann").unwrap();
            assert_eq!((again.received_texts(), bob.is_open()), (vec!["welcome".to_owned()], true));
            assert_eq!(test.cluster.failures(), [""; 0]);
        }
    }
}

#[test]
fn a_socket_of_which_nothing_is_known_closes_and_comes_back() {
    let test = Test::start(0);
    let bob = test.open("bob").unwrap();
    // One for the handshake, and none for the socket.
    test.plan.calls.store(1, Ordering::Relaxed);
    let ann = test.open("ann").unwrap();
    assert_eq!((code(&ann), ann.received_texts()), (Some(CloseCode::TRY_AGAIN.as_u16()), vec![]));
    assert!(bob.is_open());
    test.plan.calls.store(2, Ordering::Relaxed);
    assert_eq!(test.open("ann").unwrap().received_texts(), ["welcome"]);
}

#[test]
fn a_socket_costs_one_call_and_one_without_a_token_none() {
    let test = Test::start(0);
    let _ann = test.open("ann").unwrap();
    assert_eq!(test.calls(), 2, "the handshake and the socket");
    let guest = test.cluster.connect("/guest");
    assert_eq!((guest.received_texts(), test.calls()), (vec!["welcome".to_owned()], 2));
}
