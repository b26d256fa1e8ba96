//! Graceful shutdown, and how clients come back to the next server: promise 16.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod common;

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use common::{Client, PATIENCE, Test, close_code, connect, next, say, start};
use dog::http::StatusCode;
use dog::{
    App, ClientId, Close, Context, Dog, Env, Group, GroupContext, Limit, Message, Replica, Request, Response, Result,
    Socket, text_response,
};
use dog_native::{Running, Server};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;

const HOUR: Duration = Duration::from_secs(3600);

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Opens `clients` sockets, each in a room of its own.
async fn crowd(running: &Running, clients: usize) -> Vec<Client> {
    let mut crowd = Vec::new();
    for at in 0..clients {
        crowd.push(connect(running, "someone", &format!("room{at}")).await.0);
    }
    crowd
}

#[tokio::test]
async fn many_sockets_are_closed_by_and_by() {
    let folder = tempfile::tempdir().unwrap();
    // The drain may take an hour, so the sockets that are not yet due stay open for the whole test.
    let (running, _) = start(|server| server.workers(1).drain_within(HOUR).data(folder.path())).await;
    let address = running.local_addr();
    let mut clients = crowd(&running, 150).await;
    let end = tokio::spawn(running.shutdown());
    let first_close = async {
        let closes =
            clients.iter_mut().enumerate().map(|(at, client)| Box::pin(async move { (close_code(client).await, at) }));
        futures_util::future::select_all(closes).await.0
    };
    let (code, at) = in_time("the first close", first_close).await;
    assert_eq!(code, 1012);
    clients.swap_remove(at);
    // The server takes no new connection from the first moment of the shutdown.
    assert!(TcpStream::connect(address).await.is_err(), "the server still listens");
    let mut served = 0;
    for client in &mut clients {
        if futures_util::SinkExt::send(client, Frame::text("still here")).await.is_ok()
            && matches!(next(client).await, Frame::Text(_))
        {
            served += 1;
        }
    }
    assert!(served > 50, "{served} of {} are served while others are closed", clients.len());
    assert!(!end.is_finished());
    end.abort();
}

#[tokio::test]
async fn all_are_closed_within_the_time() {
    let set = |server: Server<Test>| server.workers(1).drain_within(Duration::from_millis(500));
    let (running, journal) = start(set).await;
    let clients = crowd(&running, 150).await;
    let codes = clients.into_iter().map(|mut client| async move { close_code(&mut client).await });
    let (codes, ()) =
        in_time("the end", async { tokio::join!(futures_util::future::join_all(codes), running.shutdown()) }).await;
    assert!(codes.iter().all(|code| *code == 1012), "{codes:?}");
    assert_eq!(journal.count("close someone 1012"), 150);
}

#[tokio::test]
async fn clients_that_follow_the_code_come_back_to_their_replicas() {
    let folder = tempfile::tempdir().unwrap();
    let (running, _) = start(|server| server.data(folder.path())).await;
    let address = running.local_addr();
    // Two clients per Replica, so there are three Replicas. One client has left already.
    let mut places = Vec::new();
    for name in ["ann", "bob", "cid", "dan", "eve"] {
        let (client, replica) = connect(&running, name, "r").await;
        places.push((name, client, replica));
    }
    let (gone, mut client, its_replica) = places.remove(2);
    client.close(None).await.unwrap();
    while client.next().await.is_some() {}

    let mut told = Vec::new();
    for (name, mut client, replica) in places {
        told.push(async move {
            assert_eq!(close_code(&mut client).await, 1012);
            (name, replica)
        });
    }
    let told = futures_util::future::join_all(told);
    let (mut told, ()) = in_time("the end", async { tokio::join!(told, running.shutdown()) }).await;
    told.push((gone, its_replica));

    let (running, _) = start(|server| server.data(folder.path()).bind(address.to_string())).await;
    // The clients return in another order than before. If the server placed them as new clients, they would be on other
    // Replicas than before.
    let mut back = Vec::new();
    for (name, before) in told.into_iter().rev() {
        let (client, replica) = connect(&running, name, "r").await;
        assert_eq!(replica, before, "{name}");
        back.push(client);
    }
    running.shutdown().await;
}

/// What the handlers below signal to the test, and what they wait for.
#[derive(Default)]
struct Gates {
    entered: Notify,
    go_on: Notify,
    keep: Mutex<Option<mpsc::Receiver<()>>>,
}

struct Slow;

impl App for Slow {
    type Groups = (Slows,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new("client")?;
        Ok(dog.group::<Slows>("slow").identify(&client).await?.fetch(request).await?)
    }
}

struct Slows;

impl Group for Slows {
    type Replica = Slowly;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "slow";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(100)
    }
}

struct Slowly {
    gates: std::sync::Arc<Gates>,
}

impl Replica for Slowly {
    type Group = Slows;
    type Gossip = ();
    type Answer = ();

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        Ok(Self { gates: cx.env().get::<std::sync::Arc<Gates>>().cloned().unwrap_or_default() })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        match request.uri().path() {
            "/wait" => {
                self.gates.entered.notify_one();
                self.gates.go_on.notified().await;
                Ok(text_response(StatusCode::OK, "done"))
            }
            "/left" => Ok(text_response(StatusCode::OK, cx.storage().get::<String>("left").await?.unwrap_or_default())),
            _ => Ok(cx.connect(request)),
        }
    }

    async fn on_message(&self, _: &Context<Self>, _: &Socket, _: Message) -> Result {
        let keep = self.gates.keep.lock().unwrap().take();
        self.gates.entered.notify_one();
        // Keeps the worker's thread until the test is over.
        let _ = keep.map(|keep| keep.recv());
        Ok(())
    }

    async fn on_close(&self, cx: &Context<Self>, _: &Socket, close: &Close) -> Result {
        cx.storage().put("left", &close.code().to_string()).await?;
        Ok(())
    }
}

async fn slow(set: impl FnOnce(Server<Slow>) -> Server<Slow>) -> (Running, std::sync::Arc<Gates>) {
    let gates = std::sync::Arc::<Gates>::default();
    let env = Env::new().with(std::sync::Arc::clone(&gates));
    let server = Server::new(Slow).bind("127.0.0.1:0").workers(2).env(env).close_timeout(Duration::from_secs(1));
    (set(server).start().await.unwrap(), gates)
}

async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Reads until the server closes the connection. The request itself does not ask for that.
    in_time("the answer", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn requests_under_way_are_answered() {
    // The timeout is so long that the server waits for nothing but the request.
    let (running, gates) = slow(|server| server.close_timeout(HOUR)).await;
    let mut idle = TcpStream::connect(running.local_addr()).await.unwrap();
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    let answer = tokio::spawn(async move { ask(&mut stream, "/wait").await });
    in_time("the request", gates.entered.notified()).await;
    let end = tokio::spawn(running.shutdown());
    // The server closes a connection without a request as soon as the shutdown begins. So it has begun now.
    assert_eq!(in_time("the end of the idle one", idle.read(&mut [0])).await.unwrap_or(0), 0);
    gates.go_on.notify_one();
    let answer = in_time("the answer", answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    in_time("the end", end).await.unwrap();
}

#[tokio::test]
async fn what_on_close_puts_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (running, _) = slow(|server| server.data(folder.path())).await;
    let (mut client, _) = connect_async(format!("ws://{}/", running.local_addr())).await.unwrap();
    let reads = tokio::spawn(async move { while client.next().await.is_some() {} });
    running.shutdown().await;
    reads.await.unwrap();
    let (running, _) = slow(|server| server.data(folder.path())).await;
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    stream.write_all(b"GET /left HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    in_time("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("1012"), "{answer}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_handler_that_keeps_its_thread_does_not_keep_the_end() {
    let (running, gates) = slow(|server| server.drain_within(Duration::ZERO)).await;
    let (let_go, keep) = mpsc::channel();
    *gates.keep.lock().unwrap() = Some(keep);
    let (mut client, _) = connect_async(format!("ws://{}/", running.local_addr())).await.unwrap();
    say(&mut client, "keep the thread").await;
    in_time("the handler", gates.entered.notified()).await;
    in_time("the end", running.shutdown()).await;
    drop(let_go);
}
