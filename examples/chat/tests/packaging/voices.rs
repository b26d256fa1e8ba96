//! People who talk all the time, as a good client does: it comes back when its socket closes, and sends again what it has not read
//! itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;

use crate::entering::{Socket, enter, said};
use crate::{PATIENCE, within};

/// The shortest time between two messages of one person.
const PACE: Duration = Duration::from_millis(20);
/// What a server that restarts closes sockets with.
const RESTART: u16 = 1012;

/// What has happened to one person so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// The number of the last message.
    said: u32,
    /// The last number that this socket has brought from each person.
    heard: BTreeMap<String, u32>,
    /// How many sockets were closed because a server restarts.
    pub(crate) ends: u32,
    /// How often a handshake was refused.
    pub(crate) refusals: u32,
    /// How many messages came.
    pub(crate) count: u32,
    /// How often the room did not send a message, and said so.
    pub(crate) not_sent: u32,
}

struct Person {
    name: String,
    entry: SocketAddr,
    cookie: Option<String>,
    /// The last message, if it has not come back yet. So nobody talks faster than they read, however busy the machine is.
    unconfirmed: Option<u32>,
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
            let person = Person { name: name.clone(), entry, cookie: None, unconfirmed: None, tell };
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
            let waited = tokio::time::timeout(PATIENCE, life.wait_for(hears)).await.map(|life| life.is_ok());
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
            let entered = enter(self.entry, &self.name, self.cookie.as_deref()).await;
            self.cookie = entered.cookie;
            self.tell.send_modify(|life| life.refusals += entered.refusals);
            self.talk(entered.socket, &mut stopping).await;
        }
    }

    /// Returns when the socket has closed, or when everyone stops.
    async fn talk(&mut self, mut socket: Socket, stopping: &mut watch::Receiver<bool>) {
        self.tell.send_modify(|life| life.heard.clear());
        if let Some(number) = self.unconfirmed {
            // If it fails, the next read says why.
            let _ = socket.send(said(number)).await;
        }
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stopping.changed() => return,
                _ = pace.tick(), if self.unconfirmed.is_none() => {
                    let number = self.next();
                    let _ = socket.send(said(number)).await;
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let message = serde_json::from_str(&text).unwrap();
                        if let Some(number) = self.not_sent(&message) {
                            let _ = socket.send(said(number)).await;
                        }
                        self.hear(&message);
                    }
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
        self.unconfirmed = Some(number);
        number
    }

    /// What has to be sent again. The node of the Lobby may leave while a message is on its way there: then the room does not
    /// know whether the message was kept, and says that it was not sent.
    fn not_sent(&self, message: &Value) -> Option<u32> {
        if message["type"] != "error" {
            return None;
        }
        let text = message["text"].as_str().unwrap();
        assert!(text.starts_with("not sent: "), "{}: {text}", self.name);
        self.tell.send_modify(|life| life.not_sent += 1);
        self.unconfirmed
    }

    /// Panics if this socket has missed a message between two that it has brought. A number that was heard before was sent again.
    fn hear(&mut self, message: &Value) {
        if message["type"] != "user:msg" {
            return;
        }
        let (from, number) = (message["from"].as_str().unwrap(), message["text"].as_str().unwrap().parse().unwrap());
        if from == self.name {
            self.unconfirmed.take_if(|waiting| *waiting == number);
        }
        self.tell.send_modify(|life| {
            life.count += 1;
            let last = life.heard.entry(from.to_owned()).or_insert(number);
            assert!(number <= *last + 1, "{} heard {number} of {from} after {last}", self.name);
            *last = number.max(*last);
        });
    }
}
