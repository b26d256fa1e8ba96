//! A small App, and its clients.
#![allow(dead_code, reason = "no test uses all of it")]

use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use dog::{
    App, ClientId, Close, Context, Dog, Env, Failure, Group, GroupContext, GroupId, Limit, Log, Message, MessageRate,
    OverRate, Policy, ROOM, Replica, ReplicaId, Request, Response, Result, Socket, SocketError, To,
};
use dog_native::{Running, Server};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything here takes. Only a test that hangs reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the App's Replicas saw, for tests to wait for.
#[derive(Default)]
pub(crate) struct Journal {
    events: Mutex<Vec<String>>,
    changed: Notify,
    pub(crate) clusterized: AtomicUsize,
    pub(crate) gate: Notify,
    keep: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Journal {
    fn note(&self, event: String) {
        self.events.lock().unwrap().push(event);
        self.changed.notify_waiters();
    }

    /// Waits until `event` has been seen.
    pub(crate) async fn sees(&self, event: &str) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if self.events.lock().unwrap().iter().any(|seen| seen == event) {
                    return;
                }
                changed.await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, wait).await;
        assert!(seen.is_ok(), "no {event:?} among {:?}", self.events.lock().unwrap());
    }

    /// The next handler that is told to "keep" blocks its thread until the returned sender is dropped.
    pub(crate) fn keep_the_next(&self) -> mpsc::Sender<()> {
        let (let_go, keep) = mpsc::channel();
        self.keep.lock().unwrap().replace(keep);
        let_go
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.events.lock().unwrap().iter().filter(|seen| *seen == event).count()
    }
}

/// The journal as the objects get it from their `Env`.
pub(crate) type Shared = std::sync::Arc<Journal>;

pub(crate) struct Test;

impl App for Test {
    type Groups = (Pair,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if dog::query_param(&request, "panic").is_some() {
            panic!("the App was told to");
        }
        if dog::query_param(&request, "whence").is_some() {
            let address = format!("{:?}", dog::peer_address(&request));
            return Ok(dog::text_response(dog::http::StatusCode::OK, address));
        }
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        let group = dog.group::<Pair>(&dog::query_param(&request, "room").unwrap_or_default());
        Ok(group.identify(&client).await?.fetch(request).await?)
    }
}

pub(crate) struct Pair {
    journal: Shared,
}

impl Group for Pair {
    type Replica = Room;
    type Call = Ask;
    type Reply = ();
    const NAME: &'static str = "pair";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { journal: cx.env().get::<Shared>().cloned().unwrap_or_default() })
    }

    fn limit(&self) -> Limit {
        Limit::new(2)
    }

    fn policy(&self) -> Policy {
        Policy { call_deadline: PATIENCE, ..Policy::default() }
    }

    /// More than the kernel buffers for a client.
    fn log(&self, _: &str) -> Log {
        Log::memory().publications(1000).bytes(32 * 1024 * 1024)
    }

    async fn clusterize(&self, cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        self.journal.clusterized.fetch_add(1, Ordering::Relaxed);
        assert_ne!(client.as_str(), "panics the Group");
        Ok(cx.unique_replica())
    }

    async fn on_call(&self, _: &GroupContext, ask: Ask) -> Result {
        match ask {
            Ask::Answer => Ok(()),
            Ask::Fail => Err(Failure::new("on_call was told to")),
            Ask::Wait => {
                self.journal.gate.notified().await;
                Ok(())
            }
        }
    }
}

/// What the Group of the App is called for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    Answer,
    Fail,
    /// The answer comes when the gate of the journal opens.
    Wait,
}

pub(crate) struct Room {
    journal: Shared,
}

impl Replica for Room {
    type Group = Pair;
    type Gossip = ();
    type Answer = ();

    /// In the rooms that are named after what is over it: two messages at once, and more than any test waits until the next one.
    fn message_rate(cx: &Context<Self>) -> Option<MessageRate> {
        let rate = MessageRate::per_second(1000).bytes(1).burst(Duration::from_secs(2000));
        let rooms = [("delay", OverRate::Delay), ("drop", OverRate::Drop), ("close", OverRate::Close)];
        let room = rooms.into_iter().find(|(room, _)| cx.group() == GroupId::from_name(Pair::NAME, room));
        room.map(|(_, over)| rate.over(over))
    }

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        Ok(Self { journal: cx.env().get::<Shared>().cloned().unwrap_or_default() })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        match request.uri().path() {
            "/events" => Ok(cx.event_stream(request)),
            _ => Ok(cx.connect(request)),
        }
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        self.journal.note(format!("open {}", socket.client()));
        Ok(socket.send(cx.id().to_string())?)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        match message.as_text() {
            Some("panic") => panic!("the Replica was told to"),
            Some("attach") => {
                socket.set_attachment(&"kept")?;
                self.journal.note(format!("attached {}", socket.client()));
                Ok(())
            }
            Some("task") => {
                drop(cx.spawn(pending::<()>())?);
                Ok(())
            }
            Some("outlast") => {
                for other in cx.sockets().filter(|other| other.id() != socket.id()) {
                    other.close(dog::CloseCode::NORMAL, "");
                    other.send("too late")?;
                }
                Ok(())
            }
            Some("keep") => {
                let keep = self.journal.keep.lock().unwrap().take();
                let _ = keep.map(|keep| keep.recv());
                Ok(())
            }
            Some(text) if text.starts_with("others ") => Ok(socket.broadcast(message, To::Others)?),
            Some(flood) if flood.starts_with("flood ") => {
                let times: usize = flood["flood ".len()..].parse()?;
                for _ in 0..times {
                    // A socket that was closed because it is slow accepts no more messages. That is what the test is
                    // about.
                    let _ = socket.send(Message::binary(vec![0; 64 * 1024]));
                }
                self.journal.note(format!("flooded {}", socket.client()));
                Ok(())
            }
            Some(publish) if publish.starts_with("publish ") => {
                let times: u32 = publish["publish ".len()..].parse()?;
                for number in 0..times {
                    let mut bytes = vec![0; 64 * 1024];
                    bytes[..4].copy_from_slice(&number.to_be_bytes());
                    cx.publish(ROOM, Message::binary(bytes)).await?;
                }
                self.journal.note(format!("published {}", socket.client()));
                Ok(())
            }
            _ => Ok(socket.broadcast(message, To::Everyone)?),
        }
    }

    async fn on_close(&self, _: &Context<Self>, socket: &Socket, close: &Close) -> Result {
        self.journal.note(format!("close {} {}", socket.client(), close.code()));
        Ok(())
    }

    async fn on_error(&self, _: &Context<Self>, socket: &Socket, error: &SocketError) -> Result {
        let kind = match error {
            error if error.is_silent() => "silent",
            error if error.is_too_slow() => "slow",
            error if error.is_lost() => "lost",
            _ => "other",
        };
        self.journal.note(format!("error {} {kind}", socket.client()));
        if let Some(attachment) = socket.attachment::<String>()? {
            self.journal.note(format!("attached to {} {attachment}", socket.client()));
        }
        Ok(())
    }
}

/// Starts a server on a free port. Returns it and its journal.
pub(crate) async fn start(set: impl FnOnce(Server<Test>) -> Server<Test>) -> (Running, Shared) {
    let journal = Shared::default();
    let env = Env::new().with(Shared::clone(&journal));
    let server = Server::new(Test).bind("127.0.0.1:0").workers(2).env(env).close_timeout(Duration::from_secs(1));
    let running = set(server).start().await.unwrap();
    (running, journal)
}

pub(crate) type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects, and returns the client and the id of its Replica.
pub(crate) async fn connect(running: &Running, client: &str, room: &str) -> (Client, String) {
    let url = format!("ws://{}/?u={client}&room={room}", running.local_addr());
    let (mut client, _) = connect_async(url).await.unwrap();
    let replica = next(&mut client).await.into_text().unwrap().to_string();
    (client, replica)
}

/// Waits for the next message, which may be a ping.
pub(crate) async fn next<S: AsyncRead + AsyncWrite + Unpin>(client: &mut WebSocketStream<S>) -> Frame {
    tokio::time::timeout(PATIENCE, client.next()).await.expect("a message in time").expect("a message").unwrap()
}

/// Waits for the close, and returns its code. Skips other messages.
pub(crate) async fn close_code<S: AsyncRead + AsyncWrite + Unpin>(client: &mut WebSocketStream<S>) -> u16 {
    loop {
        if let Frame::Close(close) = next(client).await {
            return close.map_or(1005, |close| close.code.into());
        }
    }
}

pub(crate) async fn say<S: AsyncRead + AsyncWrite + Unpin>(client: &mut WebSocketStream<S>, text: &str) {
    client.send(Frame::text(text)).await.unwrap();
}
