//! A million clients come and go, in every way there is: afterwards the books know just those who are there, which is
//! nobody, and the memory is what it was.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dog::http::{StatusCode, header};
use dog::{
    App, Body, ClientId, Context, Dog, Env, Failure, Group, GroupContext, GroupId, Limit, Policy, Replica, ReplicaId,
    Request, Response, Result, Socket, SocketError, text,
};
use dog_native::{Server, Service};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tower_service::Service as _;

use crate::child::{PATIENCE, Random, resident_of, setting};

const GROUPS: u64 = 4;
const SEATS: u32 = 8;

/// How many are on their way at once.
const TOGETHER: usize = 64;

/// How long a Group may remember a client that has gone: its ticket's lifetime, and the five seconds that a report of the
/// ticket may be late.
const REMEMBERED: Duration = Duration::from_secs(1 + 5);

/// What it may take to remember one.
const MEMORY: usize = 160;

/// What the memory may have grown by besides.
const SLACK: usize = 16 * 1024 * 1024;

/// What the objects count, for the test to see.
#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
    /// How many Replicas each Group has had named.
    named: Mutex<HashMap<GroupId, u64>>,
    changed: Notify,
}

impl Counts {
    fn named(&self, group: u64) -> u64 {
        let group = GroupId::from_name(Cloud::NAME, &format!("g{group}"));
        self.named.lock().unwrap().get(&group).copied().unwrap_or_default()
    }
}

struct Storm;

impl App for Storm {
    type Groups = (Cloud,);

    async fn fetch(&self, request: Request, dog: &Dog) -> Result<Response> {
        let client = ClientId::new(dog::query(&request, "u").unwrap_or_default())?;
        let replica = dog.group::<Cloud>(&dog::query(&request, "group").unwrap_or_default()).identify(&client).await?;
        match request.uri().path() {
            // It has a seat, and never comes.
            "/vanish" => Ok(text(StatusCode::OK, "")),
            "/vanish-with-an-error" => Err(Failure::message("the App was told to")),
            _ => Ok(replica.fetch(request).await?),
        }
    }
}

struct Cloud(Arc<Counts>);

impl Group for Cloud {
    type Replica = Drop;
    const NAME: &'static str = "cloud";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self(cx.env().get::<Arc<Counts>>().cloned().unwrap_or_default()))
    }

    fn limit(&self) -> Limit {
        Limit::new(SEATS)
    }

    fn policy(&self) -> Policy {
        Policy { sticky_for: Duration::from_millis(100), ticket_lifetime: Duration::from_secs(1), ..Policy::default() }
    }

    async fn clusterize(&self, cx: &GroupContext, _: &ClientId) -> Result<ReplicaId> {
        *self.0.named.lock().unwrap().entry(cx.id()).or_default() += 1;
        Ok(cx.unique_replica())
    }
}

struct Drop(Arc<Counts>);

impl Replica for Drop {
    type Group = Cloud;
    type Gossip = ();
    type Answer = ();

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        Ok(Self(cx.env().get::<Arc<Counts>>().cloned().unwrap_or_default()))
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        match request.uri().path() {
            "/socket" => Ok(cx.connect(request)),
            "/error" => Err(Failure::message("receive was told to")),
            // Nobody ends it but who asked.
            "/stream" => Ok(Response::new(Body::stream(Endless))),
            _ => Ok(text(StatusCode::OK, "")),
        }
    }

    async fn on_open(&self, _: &Context<Self>, _: &Socket) -> Result {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn on_error(&self, _: &Context<Self>, _: &Socket, _: &SocketError) -> Result {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
        self.0.changed.notify_one();
        Ok(())
    }
}

struct Endless;

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::result::Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// How a client comes and goes. Those who want a socket are gone by the time that they get it.
const PATHS: [&str; 8] =
    ["/socket", "/socket", "/socket", "/text", "/error", "/stream", "/vanish", "/vanish-with-an-error"];

async fn ask(service: &Service, path: &str, group: u64, client: u64) -> Response {
    let request = dog::http::Request::builder()
        .uri(format!("{path}?group=g{group}&u=c{client}"))
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let answer = service.clone().call(request);
    tokio::time::timeout(PATIENCE, answer).await.expect("everyone is answered").unwrap()
}

/// One client comes and goes.
async fn come_and_go(service: &Service, path: &str, group: u64, client: u64) {
    let response = ask(service, path, group, client).await;
    let expected = match path {
        "/socket" => StatusCode::SWITCHING_PROTOCOLS,
        "/error" | "/vanish-with-an-error" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    assert_eq!(response.status(), expected, "{path}");
}

#[tokio::test]
async fn a_million_clients_come_and_go_and_leave_nothing() {
    let clients: u64 = setting("DOG_STORM").unwrap_or(30_000);
    let mut random = Random::new("storm");
    let counts = Arc::new(Counts::default());
    let env = Env::new().with(Arc::clone(&counts));
    let service = Server::new(Storm).workers(2).env(env).service().unwrap();
    let began = Instant::now();
    let mut memory = Vec::new();
    let mut on_their_way = FuturesUnordered::new();
    for client in 0..clients {
        let path = PATHS[usize::try_from(random.below(PATHS.len() as u64)).unwrap()];
        on_their_way.push(come_and_go(&service, path, random.below(GROUPS), client));
        if on_their_way.len() == TOGETHER {
            on_their_way.next().await;
        }
        if (client + 1) % (clients / 10) == 0 {
            memory.push(resident_of("self"));
        }
    }
    while on_their_way.next().await.is_some() {}
    let all_closed = async {
        while counts.closed.load(Ordering::Relaxed) < counts.opened.load(Ordering::Relaxed) {
            counts.changed.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_closed).await.expect("every socket that opened has its end");
    let took = began.elapsed();

    // What the last ones' Replicas told their Groups is on its way; these come after it.
    for at in 0..50 {
        join_all((0..GROUPS).map(|group| come_and_go(&service, "/text", group, clients + at))).await;
    }
    for group in 0..GROUPS {
        seats_are_free(&service, &counts, group).await;
    }

    println!(
        "storm: {clients} clients came and went in {took:.1?}, {} of them with a socket; {} Replicas; resident after \
         each tenth: {:?} KiB",
        counts.opened.load(Ordering::Relaxed),
        (0..GROUPS).map(|group| counts.named(group)).sum::<u64>(),
        memory.iter().map(|bytes| bytes / 1024).collect::<Vec<_>>()
    );
    // Those who are remembered at any time, however many there were.
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
    let remembered = clients * millis(took.min(REMEMBERED)) / millis(took);
    let bound = memory[0] + usize::try_from(remembered).unwrap() * MEMORY + SLACK;
    let most = memory.iter().copied().max().unwrap();
    println!("storm: at most {} KiB; the bound is {} KiB", most / 1024, bound / 1024);
    assert!(most <= bound, "the memory grew to {most}, beyond {bound}");
}

/// If the books are right, every seat of every Replica is free, and there are no others: as many clients as there are
/// seats sit down without a new Replica, and one more needs one.
async fn seats_are_free(service: &Service, counts: &Counts, group: u64) {
    let replicas = counts.named(group);
    let seats = replicas * u64::from(SEATS);
    let seated = join_all((0..seats).map(|client| ask(service, "/stream", group, client))).await;
    assert!(seated.iter().all(|response| response.status() == StatusCode::OK));
    assert_eq!(counts.named(group), replicas, "some seat was not free");
    let one_more = ask(service, "/stream", group, seats).await;
    assert_eq!(counts.named(group), replicas + 1, "a seat was given twice");
    drop((seated, one_more));
}
