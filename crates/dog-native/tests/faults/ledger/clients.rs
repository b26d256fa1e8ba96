//! Clients of a ledger. They take every seat, write as fast as they are answered, and record what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Expected, SEATS};
use crate::child::{PATIENCE, Random};

/// How many unanswered messages a client has at most.
const AHEAD: usize = 6;

/// One open socket.
pub(crate) struct Writer {
    name: String,
    pub(crate) replica: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What was sent, and what was acknowledged, since this socket was opened.
    pub(crate) sent: Vec<String>,
    pub(crate) acknowledged: Vec<String>,
    /// The answers that report a storage failure.
    pub(crate) refused: Vec<String>,
}

/// Opens as many sockets as `replicas` Replicas of each of `groups` Groups have seats.
pub(crate) async fn connect_all(address: SocketAddr, groups: u32, replicas: u32) -> Vec<Writer> {
    let names = (0..groups).flat_map(|group| (0..replicas * SEATS).map(move |client| (group, client)));
    join_all(names.map(|(group, client)| Writer::connect(address, group, client))).await
}

/// What each Replica must have stored, by the Replica's id.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) replicas: BTreeMap<String, Expected>,
}

impl Model {
    /// Records what these clients have sent and what was acknowledged to them.
    pub(crate) fn learn(&mut self, writers: &[Writer]) {
        for writer in writers {
            let expected = self.replicas.entry(writer.replica.clone()).or_default();
            writer.sent.iter().for_each(|said| expected.sent(said));
            writer.acknowledged.iter().for_each(|said| expected.acknowledged(said));
        }
    }

    /// Reads everything back, through one client of each Replica. Returns the number of keys that had to be found, or
    /// everything that is wrong.
    pub(crate) async fn check(&mut self, writers: &mut [Writer]) -> Result<usize, Vec<String>> {
        let seen: BTreeSet<String> = writers.iter().map(|writer| writer.replica.clone()).collect();
        let known: BTreeSet<String> = self.replicas.keys().cloned().collect();
        if !known.is_empty() && seen != known {
            return Err(vec![format!("the members were {known:?} and are {seen:?}")]);
        }
        let mut wrong = Vec::new();
        let mut keys = 0;
        for replica in seen {
            let reader = writers.iter_mut().find(|writer| writer.replica == replica).expect("this Replica was seen");
            let expected = self.replicas.entry(replica).or_default();
            keys += expected.keys();
            wrong.extend(expected.check(&reader.ask("dump").await.unwrap()));
        }
        if wrong.is_empty() { Ok(keys) } else { Err(wrong) }
    }
}

impl Model {
    /// Checks a server that may report errors instead of data. The error says that something is lost, or else what the
    /// server reported.
    pub(crate) async fn look(mut self, address: SocketAddr, groups: u32, replicas: u32) -> Result<(), Look> {
        let mut told = None;
        let mut seen = BTreeSet::new();
        // All sockets stay open until all Replicas have been asked, so that each Replica is among them.
        let mut writers = Vec::new();
        for (group, client) in (0..groups).flat_map(|group| (0..replicas * SEATS).map(move |client| (group, client))) {
            match Writer::try_connect(address, group, client).await {
                Ok(writer) => writers.push(writer),
                Err(error) => told = Some(error),
            }
        }
        for mut writer in writers {
            let Some(expected) = self.replicas.get_mut(&writer.replica) else {
                return Err(Look::Lost(format!("{} was no member", writer.replica)));
            };
            if !seen.insert(writer.replica.clone()) {
                continue;
            }
            match writer.ask("dump").await {
                Ok(dump) if dump.starts_with("dump") => match expected.check(&dump)[..] {
                    [] => {}
                    [ref first, ..] => return Err(Look::Lost(first.clone())),
                },
                Ok(error) | Err(error) => told = Some(error),
            }
        }
        told.map_or(Ok(()), |told| Err(Look::Told(told)))
    }
}

/// What a check of a damaged server has found.
pub(crate) enum Look {
    Lost(String),
    Told(String),
}

/// Counts the acknowledgements to all clients, and notifies when there are enough.
pub(crate) struct Tally {
    acknowledged: AtomicU64,
    enough: u64,
    reached: Notify,
}

impl Tally {
    pub(crate) fn until(enough: u64) -> Self {
        Self { acknowledged: AtomicU64::new(0), enough, reached: Notify::new() }
    }

    fn add(&self) {
        if self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == self.enough {
            self.reached.notify_one();
        }
    }

    pub(crate) async fn reached(&self) {
        tokio::time::timeout(PATIENCE, self.reached.notified()).await.expect("writes are acknowledged");
    }
}

impl Writer {
    async fn connect(address: SocketAddr, group: u32, client: u32) -> Self {
        Self::try_connect(address, group, client).await.unwrap()
    }

    async fn try_connect(address: SocketAddr, group: u32, client: u32) -> Result<Self, String> {
        let url = format!("ws://{address}/?group=g{group}&u=c{client}");
        let connected = tokio::time::timeout(PATIENCE, connect_async(url)).await.expect("the server answers or closes");
        let (socket, _) = connected.map_err(|error| error.to_string())?;
        let name = format!("g{group}c{client}");
        let mut writer =
            Self { name, replica: String::new(), socket, sent: vec![], acknowledged: vec![], refused: vec![] };
        writer.replica = writer.hear().await?;
        Ok(writer)
    }

    /// Waits for the next text. The error says how the connection ended.
    async fn hear(&mut self) -> Result<String, String> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the server answers or closes");
            match next {
                Some(Ok(Frame::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Frame::Close(close))) => return Err(format!("closed: {close:?}")),
                // On a busy machine the other clients may write for so long that the server pings this one.
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                _ => return Err("gone".into()),
            }
        }
    }

    /// Asks one question and waits for the answer.
    pub(crate) async fn ask(&mut self, question: &str) -> Result<String, String> {
        self.socket.send(Frame::text(question)).await.map_err(|error| error.to_string())?;
        self.hear().await
    }

    /// Writes until the server is gone, or until `most` messages have been answered.
    pub(crate) async fn write(&mut self, mut random: Random, from: u64, most: usize, tally: &Tally) {
        let mut number = from;
        let mut gone = false;
        for _ in 0..AHEAD.min(most) {
            number += 1;
            gone = gone || !self.say(random_write(&mut random, &self.name, number)).await;
        }
        let mut answered = 0;
        while answered < self.sent.len() {
            let heard = match self.hear().await {
                Ok(heard) => heard,
                Err(gone) if gone == "gone" => break,
                Err(closed) => panic!("{} was {closed}", self.name),
            };
            answered += 1;
            match heard.split_once(' ') {
                Some(("done", said)) => {
                    self.acknowledged.push(said.to_owned());
                    tally.add();
                }
                Some(("conflict", _)) => {}
                Some(("storage", _)) => self.refused.push(heard),
                _ => panic!("{} heard {heard:?}", self.name),
            }
            if !gone && self.sent.len() < most {
                number += 1;
                gone = !self.say(random_write(&mut random, &self.name, number)).await;
            }
        }
    }

    /// Sends one message. Returns whether the server may have received it.
    pub(crate) async fn say(&mut self, said: String) -> bool {
        let sent = self.socket.send(Frame::text(said.clone())).await.is_ok();
        self.sent.push(said);
        sent
    }

    /// Sends one write that must be acknowledged.
    pub(crate) async fn must(&mut self, said: String) {
        assert!(self.say(said.clone()).await);
        assert_eq!(self.hear().await, Ok(format!("done {said}")));
        self.acknowledged.push(said);
    }
}

/// Returns a random command: a put of some size, a pair, a transfer or an alarm.
fn random_write(random: &mut Random, name: &str, number: u64) -> String {
    let key = random.below(4);
    match random.below(8) {
        0..4 => format!("put {name}.{key} {number} {}", random.below(400)),
        // Large enough that the database goes on to its next file now and then.
        4 => format!("put {name}.large {number} {}", random.below(120_000)),
        5 if number.is_multiple_of(8) => format!("alarm {number}"),
        5 | 6 => format!("pair {name}.{key} {number}"),
        _ => format!("transfer {} {} {}", random.below(4), random.below(4), random.below(MOST)),
    }
}

const MOST: u64 = 100;
