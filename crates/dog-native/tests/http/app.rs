//! The server for these tests, and a client that sends raw bytes.

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

/// Longer than anything here takes. Only a test that hangs reaches it.
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// A short timeout, for tests of what happens after it.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Which handlers have begun, and the signal that lets those that wait go on.
pub(crate) struct Stage {
    begun: watch::Sender<Vec<String>>,
    pub(crate) open: watch::Sender<bool>,
}

pub(crate) type Shared = Arc<Stage>;

pub(crate) struct Test;

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

pub(crate) struct Hall;

impl Group for Hall {
    type Replica = Seat;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(100)
    }
}

pub(crate) struct Seat {
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

/// More than the kernels buffer for a connection.
pub(crate) const LARGE: usize = 32 << 20;

/// A body that never ends.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 64 * 1024])))))
    }
}

/// A body that never has any data.
struct Quiet;

impl http_body::Body for Quiet {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

pub(crate) async fn start(set: impl FnOnce(Server<Test>) -> Server<Test>) -> (Running, Shared) {
    let stage = Arc::new(Stage { begun: watch::Sender::default(), open: watch::Sender::default() });
    let env = Env::new().with(Shared::clone(&stage));
    let server = Server::new(Test).bind("127.0.0.1:0").admin("127.0.0.1:0").workers(2).env(env);
    let server = server.drain_within(Duration::ZERO).close_timeout(Duration::from_secs(1));
    (set(server).start().await.unwrap(), stage)
}

impl Stage {
    pub(crate) async fn has_begun(&self, what: &str) {
        let mut begun = self.begun.subscribe();
        in_time(what, begun.wait_for(|begun| begun.iter().any(|begun| begun == what))).await.unwrap();
    }
}

pub(crate) async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")
}

pub(crate) async fn ask(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads one response with a length. Returns its head and its body.
pub(crate) async fn response(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("a response", stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a response with a length");
    let mut body = vec![0; length.parse().unwrap()];
    in_time("its body", stream.read_exact(&mut body)).await.unwrap();
    (head, body)
}

/// Reads until the server ends the connection in any way.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = in_time("the server to hang up", stream.read_to_end(&mut rest)).await;
    rest
}

/// Asks for the metrics until they are as `right` wants them.
async fn says(running: &Running, what: &str, right: impl Fn(&str) -> bool) {
    let says = async {
        loop {
            let mut stream = ask(running.admin_addr().unwrap(), &get("/metrics")).await;
            let (_, body) = response(&mut stream).await;
            if right(&String::from_utf8(body).unwrap()) {
                return;
            }
            // A seat that becomes free sends no event to the outside, so the test polls.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(what, says).await;
}

pub(crate) async fn no_seat_is_taken(running: &Running) {
    says(running, "the seat to be free", |metrics| metrics.contains("dog_seats{class=\"hall\"} 0\n")).await;
}

/// Waits until the only connection that this address may have is free again.
pub(crate) async fn another_is_let_in(running: &Running) {
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
