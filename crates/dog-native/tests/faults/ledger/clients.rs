//! Clients of a ledger: they fill every seat, write as fast as they are answered, and tell what was acknowledged.

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

/// How many things a client has said and not heard of.
const AHEAD: usize = 6;

/// One open socket.
pub(crate) struct Writer {
    name: String,
    pub(crate) replica: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What was sent and acknowledged since it was connected.
    pub(crate) sent: Vec<String>,
    pub(crate) acknowledged: Vec<String>,
    /// What was answered with a failure of the storage.
    pub(crate) refused: Vec<String>,
}

/// Opens as many sockets as `replicas` Replicas of each of `groups` Groups have seats.
pub(crate) async fn connect_all(address: SocketAddr, groups: u32, replicas: u32) -> Vec<Writer> {
    let names = (0..groups).flat_map(|group| (0..replicas * SEATS).map(move |client| (group, client)));
    join_all(names.map(|(group, client)| Writer::connect(address, group, client))).await
}

/// What every Replica must keep, by its name.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) replicas: BTreeMap<String, Expected>,
}

impl Model {
    /// What these clients have sent and been told of.
    pub(crate) fn learn(&mut self, writers: &[Writer]) {
        for writer in writers {
            let expected = self.replicas.entry(writer.replica.clone()).or_default();
            writer.sent.iter().for_each(|said| expected.sent(said));
            writer.acknowledged.iter().for_each(|said| expected.acknowledged(said));
        }
    }

    /// Reads everything back, by one client of each Replica. Fails with all that is wrong; else says how many keys were
    /// to be found.
    pub(crate) async fn check(&mut self, writers: &mut [Writer]) -> Result<usize, Vec<String>> {
        let seen: BTreeSet<String> = writers.iter().map(|writer| writer.replica.clone()).collect();
        let known: BTreeSet<String> = self.replicas.keys().cloned().collect();
        if !known.is_empty() && seen != known {
            return Err(vec![format!("the members were {known:?} and are {seen:?}")]);
        }
        let mut wrong = Vec::new();
        let mut keys = 0;
        for replica in seen {
            let reader = writers.iter_mut().find(|writer| writer.replica == replica).expect("it was seen");
            let expected = self.replicas.entry(replica).or_default();
            keys += expected.keys();
            wrong.extend(expected.check(&reader.dump().await));
        }
        if wrong.is_empty() { Ok(keys) } else { Err(wrong) }
    }
}

/// Counts what was acknowledged to all clients, and tells when there is enough.
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
        let url = format!("ws://{address}/?group=g{group}&u=c{client}");
        let (socket, _) = connect_async(url).await.unwrap();
        let name = format!("g{group}c{client}");
        let mut writer =
            Self { name, replica: String::new(), socket, sent: vec![], acknowledged: vec![], refused: vec![] };
        writer.replica = writer.hear().await.expect("a Replica says who it is");
        writer
    }

    /// What is said next; nothing once the server has gone.
    async fn hear(&mut self) -> Option<String> {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the server answers or goes");
        match next {
            Some(Ok(Frame::Text(text))) => Some(text.to_string()),
            Some(Ok(Frame::Close(close))) => panic!("{} was closed: {close:?}", self.name),
            _ => None,
        }
    }

    async fn dump(&mut self) -> String {
        self.socket.send(Frame::text("dump")).await.unwrap();
        self.hear().await.expect("a dump")
    }

    /// Writes until the server goes, or `most` have been answered.
    pub(crate) async fn write(&mut self, mut random: Random, from: u64, most: usize, tally: &Tally) {
        let mut number = from;
        let mut gone = false;
        for _ in 0..AHEAD.min(most) {
            number += 1;
            gone = gone || !self.say(random_write(&mut random, &self.name, number)).await;
        }
        let mut answered = 0;
        while answered < self.sent.len()
            && let Some(heard) = self.hear().await
        {
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

    /// Whether the server may have got it.
    pub(crate) async fn say(&mut self, said: String) -> bool {
        let sent = self.socket.send(Frame::text(said.clone())).await.is_ok();
        self.sent.push(said);
        sent
    }

    /// One write, and its answer.
    pub(crate) async fn say_and_hear(&mut self, said: String) -> String {
        assert!(self.say(said).await);
        self.hear().await.expect("an answer")
    }
}

/// A put of some size, a pair, or a transfer.
fn random_write(random: &mut Random, name: &str, number: u64) -> String {
    let key = random.below(4);
    match random.below(8) {
        0..4 => format!("put {name}.{key} {number} {}", random.below(400)),
        // Large enough for the database to move on to its next file now and then.
        4 => format!("put {name}.large {number} {}", random.below(120_000)),
        5 | 6 => format!("pair {name}.{key} {number}"),
        _ => format!("transfer {} {} {}", random.below(4), random.below(4), random.below(MOST)),
    }
}

const MOST: u64 = 100;
