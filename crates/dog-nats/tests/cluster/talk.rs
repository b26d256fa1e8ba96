//! A conversation: each client sends messages all the time and receives those of all others. When its socket ends, it
//! reconnects through the next node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::{Client, History, PATIENCE};

/// The time between two messages of a client.
const PACE: Duration = Duration::from_millis(10);

/// What has happened to one client so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// The number of its last message.
    said: u32,
    /// The last number that it received from each client.
    heard: BTreeMap<String, u32>,
    /// For each of its sockets that ended: the close code, and how long reconnecting took.
    pub(crate) ends: Vec<(Option<u16>, Duration)>,
    /// Whether it is connected now.
    open: bool,
    /// The node that it connected to last.
    pub(crate) entry: Option<SocketAddr>,
    /// The process that ran its Replica then.
    pub(crate) at: u32,
    /// The number of messages that it received.
    pub(crate) count: usize,
    /// For each other client: how many numbers it did not receive, between the first and the last one that it received.
    missed: BTreeMap<String, u32>,
}

/// A running conversation.
pub(crate) struct Talk {
    stop: watch::Sender<bool>,
    voices: Vec<(String, watch::Receiver<Life>, JoinHandle<()>)>,
}

fn name(number: usize) -> String {
    format!("wide-{number}")
}

impl Talk {
    /// Starts `each` clients per node, all in one room. Each client's Replica is on the client's node. Waits until all
    /// clients are connected and receive each other's messages.
    pub(crate) async fn start(entries: &[SocketAddr], room: &str, each: usize) -> Self {
        let (stop, stops) = watch::channel(false);
        let mut voices = Vec::new();
        for number in 0..each * entries.len() {
            let mut entries = entries.to_vec();
            let first = number % entries.len();
            entries.rotate_left(first);
            let (tell, life) = watch::channel(Life::default());
            let task = tokio::spawn(live(name(number), room.to_owned(), entries, stops.clone(), tell));
            voices.push((name(number), life, task));
        }
        let mut talk = Self { stop, voices };
        talk.everyone_hears_everyone().await;
        talk
    }

    fn numbers(&self) -> Vec<usize> {
        (0..self.voices.len()).collect()
    }

    /// Returns what has happened to all clients so far.
    pub(crate) fn lives(&self) -> Vec<Life> {
        self.numbers().into_iter().map(|number| self.life(number)).collect()
    }

    /// Returns what has happened to one client so far.
    pub(crate) fn life(&self, number: usize) -> Life {
        self.voices[number].1.borrow().clone()
    }

    /// Waits until every client has received a message that each client sent after this call.
    pub(crate) async fn everyone_hears_everyone(&mut self) {
        let all = self.numbers();
        self.hear_each_other(&all).await;
    }

    /// Does the same as [`everyone_hears_everyone`](Self::everyone_hears_everyone), among these clients only.
    pub(crate) async fn hear_each_other(&mut self, who: &[usize]) {
        for number in who {
            self.until(*number, |life| life.open).await;
        }
        let said: Vec<(String, u32)> = who.iter().map(|number| (name(*number), self.life(*number).said)).collect();
        for number in who {
            let hears = |life: &Life| said.iter().all(|(name, said)| life.heard.get(name) > Some(said));
            self.until(*number, hears).await;
        }
    }

    /// Waits until `is` returns true for a client.
    pub(crate) async fn until(&mut self, number: usize, is: impl Fn(&Life) -> bool) {
        let (name, life, _) = &mut self.voices[number];
        let waited = tokio::time::timeout(PATIENCE, life.wait_for(|life| is(life))).await.map(|life| life.is_ok());
        assert!(waited.is_ok(), "{name} has waited too long: {:?}", *life.borrow());
        assert_eq!(
            waited,
            Ok(true),
            "the task of {name} has panicked: a message came twice, out of order, or from a life that was over"
        );
    }

    /// Ends the conversation. Asserts that no client received a message twice, out of order, or from a life that was
    /// over.
    pub(crate) async fn end(self) -> Vec<Life> {
        self.stop.send_replace(true);
        let mut lives = Vec::new();
        for (_, life, task) in self.voices {
            tokio::time::timeout(PATIENCE, task)
                .await
                .expect("the client ends in time")
                .expect("the client received everything in order");
            lives.push(life.borrow().clone());
        }
        lives
    }
}

/// Returns how many messages from these clients did not reach these clients. Promise 6 allows none.
pub(crate) fn missed(lives: &[Life], who: &[usize]) -> u32 {
    let of = |life: &Life| who.iter().filter_map(|speaker| life.missed.get(&name(*speaker))).sum::<u32>();
    who.iter().map(|listener| of(&lives[*listener])).sum()
}

/// Asserts that all of these clients kept their sockets and missed no message from each other (promise 6). Returns the
/// number of messages that they received.
pub(crate) fn nothing_was_missed(lives: &[Life], who: &[usize]) -> usize {
    for number in who {
        assert!(lives[*number].ends.is_empty(), "{} has lost its socket: {:?}", name(*number), lives[*number]);
    }
    assert_eq!(missed(lives, who), 0, "messages were missed: {lives:?}");
    who.iter().map(|number| lives[*number].count).sum()
}

async fn live(
    name: String,
    room: String,
    entries: Vec<SocketAddr>,
    mut stop: watch::Receiver<bool>,
    tell: watch::Sender<Life>,
) {
    // One history for all sockets of the client: a message that arrives on a later socket was also sent later.
    let mut history = History::default();
    let mut pace = tokio::time::interval(PACE);
    let mut closed = Instant::now();
    for turn in 0.. {
        let entry = entries[turn % entries.len()];
        let mut client = Client::join(entry, &room, &name).await;
        let took = closed.elapsed();
        tell.send_modify(|life| {
            (life.open, life.entry, life.at) = (true, Some(entry), client.at);
            if let Some((_, back)) = life.ends.last_mut() {
                *back = took;
            }
        });
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                _ = pace.tick() => {
                    let number = tell.borrow().said + 1;
                    if client.say(&format!("{name} {number}")).await {
                        tell.send_modify(|life| life.said = number);
                    }
                }
                text = client.hear() => {
                    let Some(text) = text else { break };
                    history.note(&text);
                    tell.send_modify(|life| note(life, &text));
                }
            }
        }
        closed = Instant::now();
        tell.send_modify(|life| {
            life.open = false;
            life.ends.push((client.close_code(), Duration::ZERO));
        });
    }
}

fn note(life: &mut Life, text: &str) {
    let Some((speaker, number)) = text.split_once(' ') else { return };
    let Ok(number) = number.parse::<u32>() else { return };
    let before = life.heard.insert(speaker.to_owned(), number);
    let missed = before.map_or(0, |before| number.saturating_sub(before + 1));
    if missed > 0 {
        *life.missed.entry(speaker.to_owned()).or_default() += missed;
    }
    life.count += 1;
}
