//! What the engine guarantees for each life of an object: no handler runs inside another one, a life that is over does
//! nothing, an activation that hangs ends at its deadline, and request extensions do not pass between the App and
//! objects.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context as Polled, Poll, Waker};
use std::time::Duration;

use dog::http::StatusCode;
use dog::{
    App, Body, ClientId, Close, CloseCode, Context, Dog, Env, Group, GroupContext, Limit, Message, Replica, ReplicaId,
    Request, Response, Result, Socket, Storage,
};
use dog_testing::{Cluster, websocket};

const STAGE: &str = "stage";

/// What the objects do in a test, and what they record.
#[derive(Default)]
struct Script {
    /// Whether the Group's activation never returns.
    group_hangs: AtomicBool,
    clusterize_hangs: AtomicBool,
    replica_hangs: AtomicBool,
    closes_heard: AtomicUsize,
    /// How often an object saw an extension from the App, or the App one from an object.
    marks_seen: AtomicUsize,
}

impl Script {
    async fn hang(flag: &AtomicBool) {
        if flag.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Clone)]
struct Mark;

struct Theatre;

impl App for Theatre {
    type Groups = (Stage,);

    async fn fetch(&self, mut request: Request, dog: &Dog<Self>) -> Result<Response> {
        let stage = dog.group::<Stage>(STAGE);
        request.extensions_mut().insert(Mark);
        let response = match dog::query_param(&request, "u") {
            Some(client) => stage.identify(&ClientId::new(client)?).await?.fetch(request).await?,
            None => stage.fetch(request).await?,
        };
        see(dog.env(), response.extensions());
        Ok(response)
    }
}

fn script(env: &Env) -> &Script {
    env.get::<Arc<Script>>().expect("every test has one")
}

fn see(env: &Env, extensions: &dog::http::Extensions) {
    let seen = usize::from(extensions.get::<Mark>().is_some());
    script(env).marks_seen.fetch_add(seen, Ordering::SeqCst);
}

struct Stage;

impl Group for Stage {
    type Replica = Player;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "stage";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Script::hang(&script(cx.env()).group_hangs).await;
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(5000)
    }

    async fn clusterize(&self, cx: &GroupContext, _: &ClientId) -> Result<ReplicaId> {
        Script::hang(&script(cx.env()).clusterize_hangs).await;
        Ok(ReplicaId::from_name("player", "only"))
    }

    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        see(cx.env(), request.extensions());
        let mut response = dog::text_response(StatusCode::OK, "the stage");
        response.extensions_mut().insert(Mark);
        Ok(response)
    }
}

struct Player {
    /// Each handler borrows this mutably, so a handler inside another one would panic.
    held: RefCell<()>,
    /// Uses the Context when the value is dropped.
    last_will: RefCell<Option<LastWill>>,
    activated: Cell<u64>,
}

struct LastWill {
    cx: Context<Player>,
    socket: Socket,
    storage: Storage,
}

impl Drop for LastWill {
    fn drop(&mut self) {
        let over = |outcome: Result<(), dog::Error>| assert!(outcome.is_err_and(|error| error.is_closed()));
        over(self.socket.send("from beyond"));
        over(self.cx.broadcast("from beyond"));
        self.socket.close(CloseCode::POLICY, "from beyond");
        assert_eq!(self.cx.sockets().count(), 0);
        let mut put = std::pin::pin!(self.storage.put("beyond", &1));
        let mut polled = Polled::from_waker(Waker::noop());
        assert!(put.as_mut().poll(&mut polled).is_ready(), "it fails at once");
    }
}

impl Replica for Player {
    type Group = Stage;
    type Gossip = ();
    type Answer = ();

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        Script::hang(&script(cx.env()).replica_hangs).await;
        let activated = cx.storage().get("activated").await?.unwrap_or(0) + 1;
        cx.storage().put("activated", &activated).await?;
        Ok(Self { held: RefCell::default(), last_will: RefCell::default(), activated: Cell::new(activated) })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        see(cx.env(), request.extensions());
        let mut response = match request.uri().path() {
            "/ws" => cx.connect(request),
            "/stream" => Response::new(Body::stream(Endless)),
            _ => dog::text_response(StatusCode::OK, self.activated.get().to_string()),
        };
        response.extensions_mut().insert(Mark);
        Ok(response)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        match message.as_text() {
            Some("will") => {
                let last_will = LastWill { cx: cx.clone(), socket: socket.clone(), storage: cx.storage() };
                self.last_will.replace(Some(last_will));
            }
            Some("stop") => {
                socket.send("waiting")?;
                cx.stopping().await;
                socket.send("stopping")?;
            }
            // Wraps the error of another socket in an error of the App.
            Some("wrap") => {
                let other = cx.sockets().find(|other| other.id() != socket.id());
                other.iter().for_each(|other| other.close(CloseCode::NORMAL, ""));
                other.map_or(Ok(()), |other| other.send("gone")).map_err(Wrapped)?;
            }
            Some("own") => {
                socket.close(CloseCode::NORMAL, "");
                socket.send("gone").map_err(Wrapped)?;
            }
            _ => socket.send(message)?,
        }
        Ok(())
    }

    /// Closes all sockets of the Replica.
    async fn on_close(&self, cx: &Context<Self>, _: &Socket, close: &Close) -> Result {
        let _held = self.held.borrow_mut();
        script(cx.env()).closes_heard.fetch_add(1, Ordering::SeqCst);
        if close.code() == CloseCode::GOING_AWAY {
            cx.sockets().for_each(|socket| socket.close(CloseCode::new(4000).unwrap_or(CloseCode::NORMAL), "over"));
        }
        Ok(())
    }
}

/// A stream without data.
struct Endless;

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Polled<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        Poll::Pending
    }
}

#[derive(Debug)]
struct Wrapped(dog::Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("it could not be said")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn theatre() -> (Cluster, Arc<Script>) {
    let script = Arc::<Script>::default();
    (Cluster::builder(Theatre).env(Env::new().with(Arc::clone(&script))).start(), script)
}

#[test]
fn two_thousand_sockets_are_closed_by_the_last_handler_of_one() {
    let (cluster, script) = theatre();
    let first = cluster.connect("/ws?u=first");
    let others: Vec<_> = (0..2000).map(|number| cluster.connect(&format!("/ws?u=u{number}"))).collect();
    first.close_with(CloseCode::GOING_AWAY, "");
    cluster.run();
    for other in &others {
        assert_eq!(other.closed().map(|close| close.code().as_u16()), Some(4000));
    }
    assert_eq!(script.closes_heard.load(Ordering::SeqCst), 2001);
    assert_eq!(cluster.seats(first.replica()), 0);
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn only_an_error_about_its_own_socket_excuses_a_handler() {
    let (cluster, _) = theatre();
    let [ann, bob] = ["ann", "bob"].map(|name| cluster.connect(&format!("/ws?u={name}")));
    ann.send("own");
    cluster.run();
    assert_eq!((ann.closed().map(|close| close.code()), cluster.failures().len()), (Some(CloseCode::NORMAL), 0));
    let _cid = cluster.connect("/ws?u=cid");
    bob.send("wrap");
    cluster.run();
    assert_eq!(bob.closed().map(|close| close.code()), Some(CloseCode::HANDLER_FAILED));
    let failures = cluster.failures();
    assert!(
        failures.len() == 1 && failures[0].contains("on_message failed: it could not be said: socket"),
        "{failures:?}"
    );
}

#[test]
fn what_a_value_does_when_it_is_dropped_has_no_effect() {
    let (cluster, _) = theatre();
    let ann = cluster.connect("/ws?u=ann");
    ann.send("will");
    assert!(cluster.evict_replica(ann.replica()));
    assert!(ann.is_open() && !cluster.is_awake(ann.replica()));
    assert_eq!(ann.received_texts(), [""; 0]);
    ann.send("will");
    cluster.run();
    assert!(cluster.crash_replica(ann.replica()));
    assert_eq!(cluster.failures(), [""; 0], "no assertion of the drop has failed");
}

/// Checks the recovery from a function that never returns. `hangs` selects the function. The log must call it `named`.
fn recovers(hangs: fn(&Script) -> &AtomicBool, named: &str) {
    let (cluster, script) = theatre();
    hangs(&script).store(true, Ordering::SeqCst);
    let status = |path: &str| cluster.fetch(websocket(path)).status();
    assert!(status("/?u=ann").is_server_error(), "{named}");
    hangs(&script).store(false, Ordering::SeqCst);
    // The attempt is still in progress. It ends at its deadline.
    cluster.advance(Stage::ACTIVATE_DEADLINE);
    let failures = cluster.failures();
    let told = format!("{named} failed: {named} has not ended within 10s");
    assert!(failures.iter().any(|failure| failure.contains(&told)), "{failures:?}");
    assert!(cluster.connect("/ws?u=ann").is_open(), "{named}");
}

#[test]
fn a_group_whose_activate_never_returns_is_activated_again() {
    recovers(|script| &script.group_hangs, "Group::activate");
}

#[test]
fn a_replica_whose_activate_never_returns_is_activated_again() {
    recovers(|script| &script.replica_hangs, "activate");
}

#[test]
fn a_clusterize_that_never_returns_is_given_up() {
    recovers(|script| &script.clusterize_hangs, "clusterize");
}

#[test]
fn an_object_that_cannot_be_activated_leaves_memory_and_its_sockets_end() {
    let (cluster, script) = theatre();
    let ann = cluster.connect("/ws?u=ann");
    assert!(cluster.evict_replica(ann.replica()));
    script.replica_hangs.store(true, Ordering::SeqCst);
    ann.send("wake up");
    cluster.advance(Stage::ACTIVATE_DEADLINE + Duration::from_secs(5));
    assert_eq!(ann.closed().map(|close| close.code()), Some(CloseCode::HANDLER_FAILED));
    assert_eq!(cluster.replicas::<Stage>(STAGE), []);
    script.replica_hangs.store(false, Ordering::SeqCst);
    assert!(cluster.connect("/ws?u=ann").is_open());
}

#[test]
fn a_streamed_response_keeps_its_object_awake_and_its_seat() {
    let script = Arc::<Script>::default();
    let env = Env::new().with(script);
    let cluster = Cluster::builder(Theatre).env(env).hibernate_after(Duration::from_secs(5)).start();
    let stream = cluster.get("/stream?u=ann");
    let replica = cluster.replicas::<Stage>(STAGE)[0];
    cluster.advance(Duration::from_secs(60));
    assert!(cluster.is_awake(replica) && !cluster.evict_replica(replica), "it is streaming");
    assert_eq!(cluster.seats(replica), 1);
    drop(stream);
    cluster.advance(Duration::from_secs(20));
    assert!(!cluster.is_awake(replica));
    assert_eq!(cluster.seats(replica), 0);
}

#[test]
fn objects_learn_that_the_server_shuts_down() {
    let (cluster, _) = theatre();
    let [ann, bob] = ["ann", "bob"].map(|name| cluster.connect(&format!("/ws?u={name}")));
    ann.send("stop");
    cluster.advance(Duration::from_secs(60));
    assert_eq!(ann.received_texts(), ["waiting"]);
    cluster.begin_shutdown();
    assert_eq!(ann.received_texts(), ["stopping"]);
    bob.send("stop");
    cluster.run();
    assert_eq!(bob.received_texts(), ["waiting", "stopping"], "a later `stopping` completes at once");
}

#[test]
fn extensions_pass_between_the_app_and_no_object() {
    let (cluster, script) = theatre();
    for path in ["/ws?u=ann", "/?u=bob", "/"] {
        let path = Rc::<str>::from(path);
        if path.starts_with("/ws") {
            assert!(cluster.connect(&path).is_open());
        } else {
            assert_eq!(cluster.get(&path).status(), StatusCode::OK);
        }
    }
    assert_eq!(script.marks_seen.load(Ordering::SeqCst), 0);
}
