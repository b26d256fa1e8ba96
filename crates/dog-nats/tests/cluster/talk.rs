//! A conversation: each client speaks all the time, hears all others, and reconnects through another node when its
//! socket ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::{Client, History, PATIENCE};

/// The pause between two messages of a client.
const PACE: Duration = Duration::from_millis(10);

/// What happened to one client so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// The last number that it said.
    said: u32,
    /// The last number that it heard of each other client.
    heard: BTreeMap<String, u32>,
    /// How each of its sockets ended, and how long reconnecting took.
    pub(crate) ends: Vec<(Option<u16>, Duration)>,
    /// Whether it is connected now, through which node, and which process has its Replica.
    open: bool,
    pub(crate) entry: Option<SocketAddr>,
    pub(crate) at: u32,
    /// The number of messages that it heard.
    pub(crate) count: usize,
    /// Numbers that it did not hear, between the first and the last one that it heard of a client.
    missed: BTreeMap<String, u32>,
}

/// The conversation.
pub(crate) struct Talk {
    stop: watch::Sender<bool>,
    voices: Vec<(String, watch::Receiver<Life>, JoinHandle<()>)>,
}

fn name(number: usize) -> String {
    format!("wide-{number}")
}

impl Talk {
    /// Starts `each` clients per node, all in one room, each with a Replica on its node. When this returns, they are
    /// connected and hear each other.
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

    /// What happened to all clients.
    pub(crate) fn lives(&self) -> Vec<Life> {
        self.numbers().into_iter().map(|number| self.life(number)).collect()
    }

    /// What happened to one client.
    pub(crate) fn life(&self, number: usize) -> Life {
        self.voices[number].1.borrow().clone()
    }

    /// Waits until all hear what all say from now on.
    pub(crate) async fn everyone_hears_everyone(&mut self) {
        let all = self.numbers();
        self.hear_each_other(&all).await;
    }

    /// The same among these clients only.
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

    /// Waits until a client is in that state.
    pub(crate) async fn until(&mut self, number: usize, is: impl Fn(&Life) -> bool) {
        let (name, life, _) = &mut self.voices[number];
        let waited = tokio::time::timeout(PATIENCE, life.wait_for(|life| is(life))).await.map(|life| life.is_ok());
        assert!(waited.is_ok(), "{name} waits in vain: {:?}", *life.borrow());
        assert_eq!(waited, Ok(true), "{name} has heard what is wrong");
    }

    /// Ends the conversation, and asserts that nobody heard a message twice, out of order, or from a life that was
    /// over.
    pub(crate) async fn end(self) -> Vec<Life> {
        self.stop.send_replace(true);
        let mut lives = Vec::new();
        for (_, life, task) in self.voices {
            tokio::time::timeout(PATIENCE, task).await.expect("it ends").expect("all in order");
            lives.push(life.borrow().clone());
        }
        lives
    }
}

/// The messages of these clients that these clients missed, against promise 6.
pub(crate) fn missed(lives: &[Life], who: &[usize]) -> u32 {
    let of = |life: &Life| who.iter().filter_map(|speaker| life.missed.get(&name(*speaker))).sum::<u32>();
    who.iter().map(|listener| of(&lives[*listener])).sum()
}

/// Asserts promise 6: none of these clients, which all kept their sockets, missed a message of another. Gives the
/// number of messages heard.
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
    // Over all of its sockets: what arrives on a later socket was said later.
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
