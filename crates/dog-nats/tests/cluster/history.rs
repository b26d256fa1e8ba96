//! Histories of many clients on three nodes, one of which is killed: afterwards the promises are asked for over all that
//! was said and heard.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::{Client, LIMIT, PATIENCE};
use crate::child::Child;
use crate::server::NatsServers;

const LEASE: Duration = Duration::from_secs(3);
/// Clients of each node, and messages that each says before the kill and after it.
const CLIENTS: usize = 6;
const SAYS: u32 = 40;

/// One socket's life: what was said on it, and all that was heard, as `SPEAKER NUMBER`.
#[derive(Debug, Default)]
struct Session {
    replica: String,
    heard: Vec<(String, u32)>,
    /// Seats that its Replica had when it opened.
    seats: usize,
}

/// What one client has gone through.
#[derive(Debug)]
struct History {
    name: String,
    sessions: Vec<Session>,
}

/// Says its numbers, each time `round` grows, and listens; comes back when its socket ends, by the next node.
async fn live(
    name: String,
    entries: Vec<SocketAddr>,
    mut round: watch::Receiver<u32>,
    said: watch::Sender<Option<u32>>,
) -> History {
    let mut history = History { name: name.clone(), sessions: Vec::new() };
    let mut number = 0;
    for turn in 0.. {
        let mut client = Client::join(entries[turn % entries.len()], "history", &name).await;
        let seats = client.seats;
        history.sessions.push(Session { replica: client.replica.clone(), seats, ..Session::default() });
        loop {
            let until = *round.borrow_and_update() * SAYS;
            while number < until && client.say(&format!("{name} {}", number + 1)).await {
                number += 1;
            }
            if number == until {
                said.send_replace(Some(number));
            }
            tokio::select! {
                text = client.hear() => {
                    let Some(text) = text else { break };
                    let Some((speaker, heard)) = text.split_once(' ') else { continue };
                    let Ok(heard) = heard.parse() else { continue };
                    history.sessions.last_mut().expect("one").heard.push((speaker.to_owned(), heard));
                }
                changed = round.changed() => {
                    if changed.is_err() {
                        return history;
                    }
                }
            }
        }
    }
    history
}

struct Crowd {
    round: watch::Sender<u32>,
    lives: Vec<(watch::Receiver<Option<u32>>, JoinHandle<History>)>,
}

impl Crowd {
    /// They are all there when this returns.
    async fn come(nodes: &[Child]) -> Self {
        let (round, rounds) = watch::channel(0);
        let client = |number: usize| {
            let mut entries: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
            entries.rotate_left(number % nodes.len());
            let (said, says) = watch::channel(None);
            let life = live(format!("wide-{number}"), entries, rounds.clone(), said);
            (says, tokio::spawn(life))
        };
        let lives = (0..CLIENTS * nodes.len()).map(client).collect();
        let mut crowd = Self { round, lives };
        crowd.wait(0, |_| true).await;
        crowd
    }

    /// Has everyone speak, and waits until those of these numbers have.
    async fn speak(&mut self, who: impl Fn(usize) -> bool) {
        self.round.send_modify(|round| *round += 1);
        let until = *self.round.borrow() * SAYS;
        self.wait(until, who).await;
    }

    async fn wait(&mut self, until: u32, who: impl Fn(usize) -> bool) {
        for (_, (says, _)) in self.lives.iter_mut().enumerate().filter(|(number, _)| who(*number)) {
            let spoken = tokio::time::timeout(PATIENCE, says.wait_for(|said| *said >= Some(until))).await;
            assert!(spoken.is_ok(), "someone does not come back");
        }
    }

    async fn end(self) -> Vec<History> {
        drop(self.round);
        let mut histories = Vec::new();
        for (_, life) in self.lives {
            histories.push(tokio::time::timeout(PATIENCE, life).await.expect("it ends").expect("a history"));
        }
        histories
    }
}

/// Promise 5, and 6 as far as it is without exceptions: on one socket each speaker's numbers grow.
fn in_order_and_at_most_once(histories: &[History]) -> usize {
    let mut heard = 0;
    for history in histories {
        for session in &history.sessions {
            let mut last: BTreeMap<&str, u32> = BTreeMap::new();
            for (speaker, number) in &session.heard {
                let before = last.insert(speaker, *number);
                assert!(
                    before.is_none_or(|before| before < *number),
                    "{}: {speaker} {number} after {before:?}",
                    history.name
                );
                heard += 1;
            }
        }
    }
    heard
}

/// Promise 6: whoever kept its socket has heard all that was said by those who kept theirs.
fn whoever_stayed_heard_whoever_stayed(histories: &[History]) {
    let stayed: Vec<&History> = histories.iter().filter(|history| history.sessions.len() == 1).collect();
    assert_eq!(stayed.len(), 2 * CLIENTS, "those of two nodes");
    for listener in &stayed {
        for speaker in &stayed {
            let heard = listener.sessions[0].heard.iter().filter(|(name, _)| *name == speaker.name);
            let heard: Vec<u32> = heard.map(|(_, number)| *number).collect();
            let all: Vec<u32> = (1..=2 * SAYS).collect();
            assert_eq!(heard, all, "what {} heard of {}", listener.name, speaker.name);
        }
    }
}

/// Promise 1: no Replica ever had more sockets than seats.
fn never_more_than_the_limit(histories: &[History]) {
    for session in histories.iter().flat_map(|history| &history.sessions) {
        assert!(session.seats <= LIMIT as usize, "{session:?}");
    }
}

#[tokio::test]
async fn the_promises_hold_over_all_that_was_said_while_a_node_was_killed() {
    let nats = NatsServers::start(3, "");
    let mut nodes: Vec<Child> = (0..3).map(|_| Child::start(&nats.url(), LEASE)).collect();
    let mut crowd = Crowd::come(&nodes).await;
    crowd.speak(|_| true).await;
    // The one that is most likely to have the Group: its first client came in by it.
    nodes[0].kill();
    crowd.speak(|number| number % 3 != 0).await;
    // Those who were thrown out come back, and find each other.
    crowd.speak(|_| true).await;
    let mut witness = Client::join(nodes[1].address, "history", "wide-witness").await;
    let clients = CLIENTS * nodes.len() + 1;
    let counted = witness.count_until(clients).await;
    assert_eq!(counted, clients, "promise 8: everyone is counted, and nobody else");
    drop(witness);
    let histories = crowd.end().await;
    let heard = in_order_and_at_most_once(&histories);
    never_more_than_the_limit(&histories);
    let sessions: usize = histories.iter().map(|history| history.sessions.len()).sum();
    let replicas: std::collections::BTreeSet<_> =
        histories.iter().flat_map(|history| &history.sessions).map(|session| &session.replica).collect();
    println!(
        "cluster: histories of {} clients in {sessions} sockets on {} Replicas while a node was killed: {heard} messages \
         heard, in order, none twice; promises 1, 5, 6, 8 hold",
        histories.len(),
        replicas.len()
    );
    let first_rounds = histories.into_iter().map(before_the_third_round).collect::<Vec<_>>();
    whoever_stayed_heard_whoever_stayed(&first_rounds);
}

/// The last round is still on its way when the histories end.
fn before_the_third_round(mut history: History) -> History {
    for session in &mut history.sessions {
        session.heard.retain(|(_, number)| *number <= 2 * SAYS);
    }
    history
}
