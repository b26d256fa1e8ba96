//! People who talk all the time, as a good client does: it comes back when its socket closes, and sends again what it has not read
//! itself.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use dog_test_support::client::{DEADLINE, handshake, within};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The time between two messages of one person.
const PACE: Duration = Duration::from_millis(20);
/// What a server that restarts closes sockets with.
const RESTART: u16 = 1012;

/// How long somebody who was refused waits.
const AGAIN: Duration = Duration::from_millis(100);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What has happened to one person so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// The number of the last message.
    said: u32,
    /// The last number that this socket has brought from each person.
    heard: BTreeMap<String, u32>,
    /// How many sockets were closed because a server restarts.
    pub(crate) ends: u32,
    /// How often the answer to a handshake was 503.
    pub(crate) refusals: u32,
    /// How many messages came.
    pub(crate) count: u32,
}

struct Person {
    name: String,
    entry: SocketAddr,
    cookie: Option<String>,
    unconfirmed: VecDeque<u32>,
    tell: watch::Sender<Life>,
}

/// The people of one room.
pub(crate) struct Voices {
    lives: Vec<(String, watch::Receiver<Life>, JoinHandle<()>)>,
    stop: watch::Sender<bool>,
}

impl Voices {
    /// `count` people enter, and talk.
    pub(crate) fn start(entry: SocketAddr, count: usize) -> Self {
        let (stop, stopping) = watch::channel(false);
        let begin = |number| {
            let name = format!("person-{number}");
            let (tell, life) = watch::channel(Life::default());
            let person = Person { name: name.clone(), entry, cookie: None, unconfirmed: VecDeque::new(), tell };
            (name, life, tokio::spawn(person.live(stopping.clone())))
        };
        Self { lives: (0..count).map(begin).collect(), stop }
    }

    /// What has happened to everyone so far.
    pub(crate) fn lives(&self) -> Vec<Life> {
        self.lives.iter().map(|(_, life, _)| life.borrow().clone()).collect()
    }

    /// Waits until every person has read a message that each person sent after this call.
    pub(crate) async fn hear_each_other(&mut self) {
        let said: Vec<(String, u32)> =
            self.lives.iter().map(|(name, life, _)| (name.clone(), life.borrow().said)).collect();
        for (name, life, _) in &mut self.lives {
            let hears = |life: &Life| said.iter().all(|(name, said)| life.heard.get(name) > Some(said));
            let waited = tokio::time::timeout(DEADLINE, life.wait_for(hears)).await.map(|life| life.is_ok());
            assert_eq!(
                waited,
                Ok(true),
                "{name} does not hear everyone, or its task has panicked: {:?}",
                *life.borrow()
            );
        }
    }

    /// Waits until everyone has stopped talking. Panics if somebody has missed something.
    pub(crate) async fn end(self) -> Vec<Life> {
        self.stop.send_replace(true);
        let mut lives = Vec::new();
        for (name, life, task) in self.lives {
            within(&name, task).await.unwrap();
            lives.push(life.borrow().clone());
        }
        lives
    }
}

impl Person {
    async fn live(mut self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            let socket = self.enter().await;
            self.talk(socket, &mut stopping).await;
        }
    }

    /// Tries again where the answer is 503: the room may be on its way to another node. Any other refusal is a failure.
    async fn enter(&mut self) -> Socket {
        let (socket, response) = within("a place in the room", async {
            loop {
                match connect_async(self.handshake()).await {
                    Ok(entered) => break entered,
                    Err(Error::Http(response)) if response.status() == 503 => {}
                    Err(error) => panic!("{} cannot enter: {error}", self.name),
                }
                self.tell.send_modify(|life| life.refusals += 1);
                tokio::time::sleep(AGAIN).await;
            }
        })
        .await;
        if let Some(cookie) = response.headers().get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        socket
    }

    fn handshake(&self) -> Request {
        let mut request = handshake(self.entry, &format!("/ws?u={}", self.name));
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        request
    }

    /// Returns when the socket has closed, or when everyone stops.
    async fn talk(&mut self, mut socket: Socket, stopping: &mut watch::Receiver<bool>) {
        self.tell.send_modify(|life| life.heard.clear());
        for number in self.unconfirmed.clone() {
            // If it fails, the next read says why.
            let _ = socket.send(said(number)).await;
        }
        let mut pace = tokio::time::interval(PACE);
        loop {
            tokio::select! {
                _ = stopping.changed() => return,
                _ = pace.tick() => {
                    let number = self.next();
                    let _ = socket.send(said(number)).await;
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.hear(&serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == RESTART => {
                        return self.tell.send_modify(|life| life.ends += 1);
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("{}: {other:?}", self.name),
                },
            }
        }
    }

    fn next(&mut self) -> u32 {
        let mut number = 0;
        self.tell.send_modify(|life| {
            life.said += 1;
            number = life.said;
        });
        self.unconfirmed.push_back(number);
        number
    }

    /// Panics if this socket has missed a message between two that it has brought. A number that was heard before was sent again.
    fn hear(&mut self, message: &Value) {
        if message["type"] != "user:msg" {
            return;
        }
        let (from, number) = (message["from"].as_str().unwrap(), message["text"].as_str().unwrap().parse().unwrap());
        if from == self.name {
            self.unconfirmed.retain(|waiting| *waiting != number);
        }
        self.tell.send_modify(|life| {
            life.count += 1;
            let last = life.heard.entry(from.to_owned()).or_insert(number);
            assert!(number <= *last + 1, "{} heard {number} of {from} after {last}", self.name);
            *last = number.max(*last);
        });
    }
}

fn said(number: u32) -> Message {
    Message::text(json!({ "type": "msg", "text": number.to_string() }).to_string())
}
