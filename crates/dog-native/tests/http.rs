//! What the native host does with clients of HTTP that stop, vanish, finish early or ask wrongly.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;
use dog::http::StatusCode;
use dog::{App, Body, ClientId, Context, Dog, Env, Group, GroupContext, Limit, Replica, Request, Response, Result};
use dog_native::{Running, Server};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Longer than anything here takes; reached only by what hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
/// Short, for tests of what ends after it.
const SHORT: Duration = Duration::from_millis(300);

/// What handlers have begun, and what lets those that wait go on.
struct Stage {
    begun: watch::Sender<Vec<String>>,
    open: watch::Sender<bool>,
}

type Shared = Arc<Stage>;

struct Test;

impl App for Test {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if request.uri().path() == "/app" {
            let host = request.headers().get("host").map(|host| host.to_str().unwrap_or("?")).unwrap_or("none");
            return Ok(dog::text_response(StatusCode::OK, format!("{host} {}", request.uri())));
        }
        let replica = dog.group::<Hall>("hall").identify(&ClientId::new("someone")?).await?;
        Ok(replica.fetch(request).await?)
    }
}

struct Hall;

impl Group for Hall {
    type Replica = Seat;
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(100)
    }
}

struct Seat {
    stage: Shared,
}

impl Replica for Seat {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        Ok(Self { stage: cx.env().get::<Shared>().cloned().unwrap() })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let path = request.uri().path().to_owned();
        self.stage.begun.send_modify(|begun| begun.push(path.clone()));
        match path.as_str() {
            "/large" => Ok(Response::new(Body::from(vec![b'x'; LARGE]))),
            "/endless" => Ok(Response::new(Body::stream(Endless))),
            "/quiet" => Ok(Response::new(Body::stream(Quiet))),
            "/waits" => {
                let _ = self.stage.open.subscribe().wait_for(|open| *open).await;
                Ok(dog::text_response(StatusCode::OK, "it was worth it"))
            }
            "/waits-for-a-socket" => {
                let _ = self.stage.open.subscribe().wait_for(|open| *open).await;
                Ok(cx.connect(request))
            }
            "/echo" => Ok(Response::new(request.into_body().bytes(1 << 20).await?.into())),
            _ => Ok(dog::text_response(StatusCode::OK, "x".repeat(10_000))),
        }
    }
}

/// More than the kernels keep for a connection.
const LARGE: usize = 32 << 20;

/// A body that goes on.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 64 * 1024])))))
    }
}

/// A body of which nothing comes.
struct Quiet;

impl http_body::Body for Quiet {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

async fn start(set: impl FnOnce(Server<Test>) -> Server<Test>) -> (Running, Shared) {
    let stage = Arc::new(Stage { begun: watch::Sender::default(), open: watch::Sender::default() });
    let env = Env::new().with(Shared::clone(&stage));
    let server = Server::new(Test).bind("127.0.0.1:0").admin("127.0.0.1:0").workers(2).env(env);
    let server = server.drain_within(Duration::ZERO).close_timeout(Duration::from_secs(1));
    (set(server).start().await.unwrap(), stage)
}

impl Stage {
    async fn has_begun(&self, what: &str) {
        let mut begun = self.begun.subscribe();
        in_time(what, begun.wait_for(|begun| begun.iter().any(|begun| begun == what))).await.unwrap();
    }
}

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")
}

async fn ask(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// One response with a length, its head and its body.
async fn response(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("a response", stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("it has a length");
    let mut body = vec![0; length.parse().unwrap()];
    in_time("its body", stream.read_exact(&mut body)).await.unwrap();
    (head, body)
}

/// All that comes until the server hangs up, however it does.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = in_time("the server to hang up", stream.read_to_end(&mut rest)).await;
    rest
}

/// What the server says of itself, once it answers so.
async fn says(running: &Running, what: &str, right: impl Fn(&str) -> bool) {
    let says = async {
        loop {
            let mut stream = ask(running.admin_addr().unwrap(), &get("/metrics")).await;
            let (_, body) = response(&mut stream).await;
            if right(&String::from_utf8(body).unwrap()) {
                return;
            }
            // Nobody outside hears of a seat that is given back.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(what, says).await;
}

async fn no_seat_is_taken(running: &Running) {
    says(running, "the seat to be free", |metrics| metrics.contains("dog_seats{class=\"hall\"} 0\n")).await;
}

/// The only connection that its address may have is given back.
async fn another_is_let_in(running: &Running) {
    let let_in = async {
        loop {
            let mut stream = ask(running.local_addr(), &get("/app")).await;
            let mut answer = [0; 12];
            if stream.read_exact(&mut answer).await.is_ok() && &answer == b"HTTP/1.1 200" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("room for another connection", let_in).await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_gives_back_its_connection_and_its_seat() {
    for path in ["/large", "/endless"] {
        let (running, stage) = start(|server| server.workers(1).stall_timeout(SHORT).max_sockets_per_address(1)).await;
        let _silent = ask(running.local_addr(), &get(path)).await;
        stage.has_begun(path).await;
        another_is_let_in(&running).await;
        no_seat_is_taken(&running).await;
        running.shutdown().await;
    }
}

#[tokio::test]
async fn answers_to_pipelined_requests_that_nobody_reads_give_back_their_connection() {
    let (running, stage) = start(|server| server.workers(1).stall_timeout(SHORT).max_sockets_per_address(1)).await;
    let mut silent = ask(running.local_addr(), &get("/")).await;
    stage.has_begun("/").await;
    let requests = get("/").repeat(1000);
    // Until the server takes no more, and in the end hangs up.
    let asks = async { while silent.write_all(requests.as_bytes()).await.is_ok() {} };
    in_time("the server to hang up", asks).await;
    another_is_let_in(&running).await;
    no_seat_is_taken(&running).await;
    running.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_arrives_whole() {
    const STEPS: usize = 16;
    let (running, _) = start(|server| server.stall_timeout(Duration::from_secs(5)).keep_alive_timeout(SHORT)).await;
    let mut slow = ask(running.local_addr(), &get("/large")).await;
    let mut piece = vec![0; 1 << 20];
    // For longer than it may stop, and never for so long at once.
    for _ in 0..STEPS {
        in_time("more of it", slow.read_exact(&mut piece)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let rest = rest(&mut slow).await;
    assert!(rest.len() + STEPS * piece.len() > LARGE && rest.iter().all(|byte| *byte == b'x'));
    running.shutdown().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_frees_the_seat_that_waits_for_it() {
    let (running, stage) = start(|server| server.workers(1).stall_timeout(SHORT)).await;
    let request = "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf";
    let mut silent = ask(running.local_addr(), request).await;
    stage.has_begun("/echo").await;
    let answer = rest(&mut silent).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    no_seat_is_taken(&running).await;
    running.shutdown().await;
}

#[tokio::test]
async fn probes_are_answered_beside_clients_that_ask_and_do_not_read() {
    let (running, _) = start(|server| server).await;
    let admin = running.admin_addr().unwrap();
    let requests = get("/metrics").repeat(20_000);
    let mut silent = Vec::new();
    for at in 0..200 {
        let stream = ask(admin, "").await;
        // Some say nothing at all; most ask until nobody takes more.
        if at % 4 > 0 {
            while stream.try_write(requests.as_bytes()).is_ok() {}
        }
        silent.push(stream);
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (head, _) = response(&mut ask(admin, &get(path)).await).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn a_client_that_has_said_all_gets_its_answer() {
    let (running, stage) = start(|server| server.stall_timeout(HOUR)).await;
    let mut early = ask(running.local_addr(), &get("/waits")).await;
    early.shutdown().await.unwrap();
    stage.has_begun("/waits").await;
    let mut whole =
        ask(running.local_addr(), "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody").await;
    whole.shutdown().await.unwrap();
    assert_eq!(response(&mut whole).await.1, b"body");
    let mut several = ask(running.local_addr(), &get("/app").repeat(3)).await;
    several.shutdown().await.unwrap();
    for _ in 0..3 {
        assert_eq!(response(&mut several).await.1, b"test /app");
    }
    let mut large = ask(running.local_addr(), &get("/large")).await;
    large.shutdown().await.unwrap();
    assert_eq!(response(&mut large).await.1.len(), LARGE);
    stage.open.send_replace(true);
    let (head, body) = response(&mut early).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, b"it was worth it");
    // Nothing more can come from them.
    for mut stream in [early, several, large] {
        assert_eq!(rest(&mut stream).await, b"");
    }
    running.shutdown().await;
}

/// How a client leaves while its request is answered.
enum Leaves {
    Resets,
    FinishesAndResets,
    FinishesAndStays,
}

async fn leave(mut stream: TcpStream, leaves: &Leaves) -> Option<TcpStream> {
    if !matches!(leaves, Leaves::Resets) {
        stream.shutdown().await.unwrap();
    }
    if matches!(leaves, Leaves::FinishesAndStays) {
        return Some(stream);
    }
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    None
}

#[tokio::test]
async fn a_client_that_is_gone_frees_its_connection_at_once_and_its_seat_with_the_handler() {
    let cases = [
        ("/waits", Leaves::Resets, HOUR),
        ("/waits", Leaves::FinishesAndResets, HOUR),
        // It may be there still: for so long it is waited for.
        ("/waits", Leaves::FinishesAndStays, SHORT),
        ("/quiet", Leaves::Resets, HOUR),
        ("/quiet", Leaves::FinishesAndStays, SHORT),
    ];
    for (path, leaves, stall) in cases {
        let (running, stage) = start(|server| server.workers(1).stall_timeout(stall).max_sockets_per_address(1)).await;
        let stream = ask(running.local_addr(), &get(path)).await;
        stage.has_begun(path).await;
        let stays = leave(stream, &leaves).await;
        another_is_let_in(&running).await;
        // A handler is not cut short. Nobody waits for what this one says.
        stage.open.send_replace(true);
        no_seat_is_taken(&running).await;
        drop(stays);
        running.shutdown().await;
    }
}

#[tokio::test]
async fn a_handshake_whose_client_is_gone_leaves_no_socket() {
    let handshake = "GET /waits-for-a-socket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n\r\n";
    for leaves in [Leaves::Resets, Leaves::FinishesAndStays] {
        let (running, stage) = start(|server| server.workers(1).stall_timeout(HOUR).max_sockets_per_address(1)).await;
        let stream = ask(running.local_addr(), handshake).await;
        stage.has_begun("/waits-for-a-socket").await;
        let stays = leave(stream, &leaves).await;
        another_is_let_in(&running).await;
        stage.open.send_replace(true);
        no_seat_is_taken(&running).await;
        drop(stays);
        // One that is there gets its socket.
        let mut stream = ask(running.local_addr(), handshake).await;
        let mut head = [0; 12];
        in_time("the answer", stream.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
        running.shutdown().await;
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_handshake() {
    let (running, _) = start(|server| server.handshake_timeout(SHORT).keep_alive_timeout(HOUR)).await;
    let mut kept = ask(running.local_addr(), &get("/app")).await;
    assert_eq!(response(&mut kept).await.1, b"test /app");
    // Nothing is to happen. Four times as long as the time that must not count here.
    assert!(tokio::time::timeout(4 * SHORT, kept.read_u8()).await.is_err(), "it was hung up on");
    kept.write_all(get("/app").as_bytes()).await.unwrap();
    assert_eq!(response(&mut kept).await.1, b"test /app");
    // A request that has begun has no more time than ever.
    kept.write_all(b"GET /app HT").await.unwrap();
    assert_eq!(rest(&mut kept).await, b"");
    // And one that says nothing from the beginning has not either.
    assert_eq!(rest(&mut ask(running.local_addr(), "").await).await, b"");
    running.shutdown().await;
}

#[tokio::test]
async fn an_idle_connection_ends_after_its_time() {
    let (running, _) = start(|server| server.keep_alive_timeout(SHORT).handshake_timeout(HOUR)).await;
    let mut kept = ask(running.local_addr(), &get("/app")).await;
    assert_eq!(response(&mut kept).await.1, b"test /app");
    assert_eq!(rest(&mut kept).await, b"");
    running.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_server_does_not_wait_for_a_client_that_does_not_read() {
    let (running, stage) = start(|server| server.stall_timeout(SHORT).close_timeout(HOUR)).await;
    let _silent = ask(running.local_addr(), &get("/large")).await;
    stage.has_begun("/large").await;
    in_time("the end", running.shutdown()).await;
}

#[tokio::test]
async fn requests_that_the_standard_refuses_are_refused() {
    let (running, _) = start(|server| server).await;
    let cases = [
        ("GET /app HTTP/1.1\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET /app HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET http:///app HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (
            "POST /app HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST /app HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /app HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST /app HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        ("POST /app HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", 400),
        ("POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx", 400),
        ("POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx", 400),
        ("GET /app HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n", 400),
    ];
    for (request, status) in cases {
        let mut stream = ask(running.local_addr(), request).await;
        // Where such a request ends is in doubt, so the connection ends with the answer.
        let answer = String::from_utf8(rest(&mut stream).await).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) || answer.starts_with(&format!("HTTP/1.0 {status}")),
            "{request:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{request:?}: {answer}");
    }
    let taken = [
        ("GET /app HTTP/1.1\r\nhost:\r\n\r\n", " /app"),
        ("GET /app HTTP/1.1\r\nHOST: [::1]:80\r\n\r\n", "[::1]:80 /app"),
        ("GET http://b:81/app?x HTTP/1.1\r\nhost: a\r\n\r\n", "b:81 /app?x"),
        ("POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", "a /app"),
    ];
    for (request, body) in taken {
        let mut stream = ask(running.local_addr(), request).await;
        let (head, got) = response(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{request:?}: {head}");
        assert_eq!(String::from_utf8(got).unwrap(), body, "{request:?}");
    }
    let mut old = ask(running.local_addr(), "GET /app HTTP/1.0\r\n\r\n").await;
    let answer = String::from_utf8(rest(&mut old).await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("none /app"), "{answer}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_name_is_listened_on_at_all_its_addresses() {
    let (running, _) = start(|server| server.bind("localhost:0").admin("localhost:0")).await;
    let addresses = running.local_addrs();
    assert_eq!(addresses[0], running.local_addr());
    for address in addresses {
        assert_eq!(address.port(), running.local_addr().port());
        assert_eq!(response(&mut ask(*address, &get("/app")).await).await.1, b"test /app", "{address}");
    }
    running.shutdown().await;
}
