//! Many clients come and go, in different ways: 30,000 by default, and a million or more in `cargo xtask test faults`.
//! Afterwards the Groups' books hold no client, and memory is back to what it was.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dog::http::{StatusCode, header};
use dog::{
    App, Body, ClientId, Context, Dog, Env, Failure, Group, GroupContext, GroupId, Limit, Policy, Replica, ReplicaId,
    Request, Response, Result, Socket, SocketError, text_response,
};
use dog_native::{Server, Service};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tower_service::Service as _;

use crate::SERVER;
use crate::child::{PATIENCE, Random, command, resident_of, setting, within};

/// The variable with the number of clients.
const CLIENTS: &str = "DOG_TEST_CLIENTS";

/// The message of the intended panics.
const TOLD_TO: &str = "the Replica was told to";

const GROUPS: u64 = 4;
const SEATS: u32 = 8;

/// How many clients are active at once.
const TOGETHER: usize = 64;

/// How long a Group may remember a client that has gone: the lifetime of its ticket, and the 5 s by which the report of
/// the ticket may be late.
const REMEMBERED: Duration = Duration::from_secs(1 + 5);

/// The bytes that it may take to remember one client.
const MEMORY: usize = 160;

/// How many bytes the memory may grow by for other reasons.
const SLACK: usize = 16 * 1024 * 1024;

/// One in this many clients makes its Replica panic. That ends the Replica's life and all its sockets.
const CALAMITY: u64 = 1_000;

/// What the objects count, for the test.
#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
    /// How many Replicas each Group has created.
    named: Mutex<HashMap<GroupId, u64>>,
    changed: Notify,
}

impl Counts {
    fn close(&self, sockets: u64) {
        self.closed.fetch_add(sockets, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn named(&self, group: u64) -> u64 {
        let group = GroupId::from_name(Cloud::NAME, &format!("g{group}"));
        self.named.lock().unwrap().get(&group).copied().unwrap_or_default()
    }
}

struct Storm;

impl App for Storm {
    type Groups = (Cloud,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        let replica =
            dog.group::<Cloud>(&dog::query_param(&request, "group").unwrap_or_default()).identify(&client).await?;
        match request.uri().path() {
            // The client gets a seat, and never uses it.
            "/vanish" => Ok(text_response(StatusCode::OK, "")),
            "/vanish-with-an-error" => Err(Failure::new("the App was told to")),
            _ => Ok(replica.fetch(request).await?),
        }
    }
}

struct Cloud(Arc<Counts>);

impl Group for Cloud {
    type Replica = Drop;
    type Call = ();
    type Reply = ();
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

/// One life of a Replica.
struct Drop {
    counts: Arc<Counts>,
    open: AtomicU64,
}

impl std::ops::Drop for Drop {
    /// After a panic no handler of this life reports its sockets, so they are counted here.
    fn drop(&mut self) {
        self.counts.close(*self.open.get_mut());
    }
}

impl Replica for Drop {
    type Group = Cloud;
    type Gossip = ();
    type Answer = ();

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let counts = cx.env().get::<Arc<Counts>>().cloned().unwrap_or_default();
        Ok(Self { counts, open: AtomicU64::new(0) })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        match request.uri().path() {
            "/socket" => Ok(cx.connect(request)),
            "/error" => Err(Failure::new("receive was told to")),
            "/panic" => panic!("{TOLD_TO}"),
            // The stream ends only when the client drops it.
            "/stream" => Ok(Response::new(Body::stream(Endless))),
            _ => Ok(text_response(StatusCode::OK, "")),
        }
    }

    async fn on_open(&self, _: &Context<Self>, _: &Socket) -> Result {
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn on_error(&self, _: &Context<Self>, _: &Socket, _: &SocketError) -> Result {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.counts.close(1);
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

/// What clients ask for. Those that ask for a socket are gone by the time they get it.
const PATHS: [&str; 8] =
    ["/socket", "/socket", "/socket", "/text", "/error", "/stream", "/vanish", "/vanish-with-an-error"];

fn any_path(random: &mut Random) -> &'static str {
    if random.below(CALAMITY) == 0 {
        return "/panic";
    }
    PATHS[usize::try_from(random.below(PATHS.len() as u64)).unwrap()]
}

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
    tokio::time::timeout(PATIENCE, answer).await.expect("every client is answered").unwrap()
}

/// Makes one client come and go. Returns whether it got the expected answer. A panic of its Replica can prevent that.
async fn come_and_go(service: &Service, path: &str, group: u64, client: u64) -> bool {
    let response = ask(service, path, group, client).await;
    let expected = match path {
        "/socket" => StatusCode::SWITCHING_PROTOCOLS,
        "/error" | "/vanish-with-an-error" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    let answered = response.status() == expected;
    assert!(answered || response.status().is_server_error(), "{path}: {}", response.status());
    answered
}

/// How the clients fared, and how much memory was used in the course of the test.
#[derive(Default)]
struct Course {
    panics: u64,
    /// How many other clients did not get the expected answer.
    hurt: u64,
    /// The time after each thousandth part of the clients.
    moments: Vec<Instant>,
    /// The memory after each tenth part of the clients.
    memory: Vec<usize>,
}

impl Course {
    fn note(&mut self, path: &str, answered: bool) {
        self.panics += u64::from(path == "/panic");
        self.hurt += u64::from(path != "/panic" && !answered);
    }

    /// Returns the most clients that came within any span of `time`. Between two moments there are `step` clients.
    fn most_within(&self, time: Duration, step: u64) -> u64 {
        let began = self.moments.iter().enumerate();
        let within = began.map(|(at, began)| {
            let later = self.moments[at..].iter().take_while(|moment| **moment - *began <= time);
            // Adds one step for the clients before the first moment and after the last.
            (later.count() as u64 + 1) * step
        });
        within.max().unwrap_or_default()
    }
}

async fn all_come_and_go(service: &Service, clients: u64, random: &mut Random) -> Course {
    let mut course = Course::default();
    let mut on_their_way = FuturesUnordered::new();
    for client in 0..clients {
        let (path, group) = (any_path(random), random.below(GROUPS));
        on_their_way.push(async move { (path, come_and_go(service, path, group, client).await) });
        if on_their_way.len() == TOGETHER
            && let Some((path, answered)) = on_their_way.next().await
        {
            course.note(path, answered);
        }
        if (client + 1) % (clients / 1_000) == 0 {
            course.moments.push(Instant::now());
        }
        if (client + 1) % (clients / 10) == 0 {
            course.memory.push(resident_of("self"));
        }
    }
    while let Some((path, answered)) = on_their_way.next().await {
        course.note(path, answered);
    }
    course
}

/// Runs in a process of its own, so that its memory can be measured.
#[test]
fn a_million_clients_come_and_go_and_leave_nothing() {
    let clients = setting("DOG_STORM").unwrap_or(30_000_u64).to_string();
    let output = command(&[(SERVER, "storm"), (CLIENTS, &clients)]).output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    let unexpected: Vec<&str> = errors.lines().filter(|line| !is_expected(line)).collect();
    assert!(output.status.success() && unexpected.is_empty(), "{unexpected:#?}");
}

/// Whether this line of the standard error belongs to an intended panic.
fn is_expected(line: &str) -> bool {
    line.trim().is_empty() || line.contains("panicked at") || line == TOLD_TO || line.starts_with("note: ")
}

/// What that process does.
pub(crate) async fn run() {
    let clients: u64 = setting(CLIENTS).unwrap();
    let mut random = Random::new("storm");
    let counts = Arc::new(Counts::default());
    let env = Env::new().with(Arc::clone(&counts));
    let service = Server::new(Storm).workers(2).env(env).service().unwrap();
    let began = Instant::now();
    let course = all_come_and_go(&service, clients, &mut random).await;
    let all_closed = async {
        while counts.closed.load(Ordering::Relaxed) < counts.opened.load(Ordering::Relaxed) {
            counts.changed.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_closed).await.expect("every socket that opened is closed");
    let took = began.elapsed();
    let Course { panics, hurt, memory, .. } = &course;
    assert!(*hurt <= panics * TOGETHER as u64, "{panics} panics hurt {hurt}, and there were {TOGETHER} at a time");

    // Some reports of the last clients' Replicas to their Groups are still on their way. The Groups handle these
    // requests after them.
    for at in 0..50 {
        join_all((0..GROUPS).map(|group| come_and_go(&service, "/text", group, clients + at))).await;
    }
    // If a life ends by a panic, its report that a ticket was used may be lost. Then the seat is free when the ticket
    // expires.
    tokio::time::sleep(REMEMBERED).await;
    for group in 0..GROUPS {
        seats_are_free(&service, &counts, group).await;
    }

    println!(
        "storm: {clients} clients came and went, {} of them with a socket; in {took:.1?}; {panics} lives ended by a panic, \
         which cost {hurt} others their answers; {} Replicas; resident after each tenth: {:?} KiB",
        counts.opened.load(Ordering::Relaxed),
        (0..GROUPS).map(|group| counts.named(group)).sum::<u64>(),
        memory.iter().map(|bytes| bytes / 1024).collect::<Vec<_>>()
    );
    // Bounds the memory by the number of clients that are remembered at the same time.
    let remembered = course.most_within(REMEMBERED, clients / 1_000);
    let most = memory.iter().copied().max().unwrap();
    within(most, memory[0], usize::try_from(remembered).unwrap() * MEMORY + SLACK, "a million that come and go");
}

/// Fails unless every seat of every Replica is free. As many clients as there are seats must get one without a new
/// Replica, and one more client must need a new Replica.
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
