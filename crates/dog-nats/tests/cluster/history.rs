//! Many clients on three nodes, one of which is killed. Afterwards the promises are checked over all messages that were
//! sent and received.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::{Client, LIMIT, PATIENCE};
use crate::checker;
use crate::child::Child;
use crate::faults::{owner_and_others, start};
use crate::record::{Recorder, Victim};
use crate::server::NatsServers;

const LEASE: Duration = Duration::from_secs(3);
/// The number of clients per node.
const CLIENTS: usize = 6;
/// The number of messages that each client sends per round.
const SAYS: u32 = 40;

/// How far a client has come.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// The number of rounds in which it has sent all its messages.
    rounds: u32,
    /// The number of its last message.
    said: u32,
    /// The number of the last message that it received from each speaker.
    heard: BTreeMap<String, u32>,
}

/// Sends `SAYS` numbers each time `round` grows, and receives those of others. Reconnects through the next node when
/// its socket ends. A number that could not be sent is not repeated, because it may have been sent.
async fn live(
    record: Recorder,
    name: String,
    entries: Vec<SocketAddr>,
    mut round: watch::Receiver<u32>,
    progress: watch::Sender<Option<Progress>>,
) {
    let (mut number, mut done) = (0, 0);
    for turn in 0.. {
        let mut client = record.join(entries[turn % entries.len()], "history", &name).await;
        progress.send_modify(|progress| *progress = Some(progress.take().unwrap_or_default()));
        loop {
            let until = *round.borrow_and_update() * SAYS;
            while done < until {
                number += 1;
                if !client.say(&format!("{name} {number}")).await {
                    break;
                }
                done += 1;
            }
            if done == until {
                progress.send_modify(|progress| {
                    let progress = progress.get_or_insert_default();
                    (progress.rounds, progress.said) = (until / SAYS, number);
                });
            }
            tokio::select! {
                text = client.hear() => {
                    let Some(text) = text else { break };
                    let Some((speaker, heard)) = text.split_once(' ') else { continue };
                    let Ok(heard) = heard.parse() else { continue };
                    progress.send_modify(|progress| {
                        progress.get_or_insert_default().heard.insert(speaker.to_owned(), heard);
                    });
                }
                changed = round.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

struct Crowd {
    round: watch::Sender<u32>,
    lives: Vec<(watch::Receiver<Option<Progress>>, JoinHandle<()>)>,
}

impl Crowd {
    /// Starts the clients and waits until all of them are connected.
    async fn come(record: &Recorder, nodes: &[Child]) -> Self {
        let (round, rounds) = watch::channel(0);
        let client = |number: usize| {
            let mut entries: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
            entries.rotate_left(number % nodes.len());
            let (tell, progress) = watch::channel(None);
            let life = live(record.clone(), format!("wide-{number}"), entries, rounds.clone(), tell);
            (progress, tokio::spawn(life))
        };
        let lives = (0..CLIENTS * nodes.len()).map(client).collect();
        let mut crowd = Self { round, lives };
        crowd.wait(|_| true, Option::is_some).await;
        crowd
    }

    /// Starts a round. Waits until the clients that `who` selects have sent their messages and have received those of
    /// each other.
    async fn speak(&mut self, who: impl Fn(usize) -> bool) {
        self.round.send_modify(|round| *round += 1);
        self.have_spoken(&who).await;
        let said = |(number, (progress, _)): (usize, &(watch::Receiver<Option<Progress>>, _))| {
            let said = progress.borrow().as_ref().map(|progress| progress.said).unwrap_or_default();
            (format!("wide-{number}"), said)
        };
        let wanted: Vec<(String, u32)> =
            self.lives.iter().enumerate().filter(|(number, _)| who(*number)).map(said).collect();
        let has_heard = |progress: &Option<Progress>| {
            let heard = progress.as_ref().map(|progress| &progress.heard);
            heard.is_some_and(|heard| wanted.iter().all(|(name, last)| heard.get(name) >= Some(last)))
        };
        self.wait(&who, has_heard).await;
    }

    /// Waits until the clients that `who` selects have sent all their messages.
    async fn have_spoken(&mut self, who: impl Fn(usize) -> bool) {
        let rounds = *self.round.borrow();
        self.wait(who, |progress| progress.as_ref().is_some_and(|progress| progress.rounds >= rounds)).await;
    }

    async fn wait(&mut self, who: impl Fn(usize) -> bool, until: impl Fn(&Option<Progress>) -> bool) {
        for (number, (progress, _)) in self.lives.iter_mut().enumerate().filter(|(number, _)| who(*number)) {
            let come = tokio::time::timeout(PATIENCE, progress.wait_for(&until)).await.is_ok();
            assert!(come, "wide-{number} makes no progress: {:?}", progress.borrow());
        }
    }

    async fn end(self) {
        drop(self.round);
        for (_, life) in self.lives {
            tokio::time::timeout(PATIENCE, life)
                .await
                .expect("the client ends in time")
                .expect("the client does not panic");
        }
    }
}

/// Takes all seats of a room, with clients of all nodes. Asserts that one more client gets no seat until another one
/// leaves.
async fn fill(record: &Recorder, entries: &[SocketAddr]) -> Vec<Client> {
    let mut seated = Vec::new();
    for number in 0..LIMIT as usize {
        let name = format!("seated-{number}");
        seated.push(record.join(entries[number % entries.len()], "full", &name).await);
    }
    for entry in entries {
        let refused = record.try_to_join(*entry, "full", "late").await;
        assert!(refused.is_err(), "promise 1: more seats were given than there are");
    }
    drop(seated.pop());
    seated.push(record.join(entries[0], "full", "late").await);
    seated
}

#[tokio::test]
async fn the_promises_hold_while_a_node_is_killed() {
    let nats = NatsServers::start(3, "");
    let record = Recorder::new(LEASE);
    let mut nodes = start(&nats, LEASE);
    let (owner, others) = owner_and_others(&record, &nodes, "full").await;
    let all: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    let seated = fill(&record, &all).await;
    let mut crowd = Crowd::come(&record, &nodes).await;
    crowd.speak(|_| true).await;
    record.fault(Victim::Node(nodes[owner].id()));
    nodes[owner].kill();
    crowd.speak(|number| number % 3 != owner).await;
    // Clients that lost their sockets reconnect and receive each other's messages again.
    crowd.have_spoken(|_| true).await;
    crowd.speak(|_| true).await;
    let mut witness = record.join(nodes[others[0]].address, "history", "wide-witness").await;
    let clients = CLIENTS * nodes.len() + 1;
    let counted = witness.count_until(clients).await;
    assert_eq!(counted, clients, "promise 8: exactly the connected clients are counted");
    // After the crash of the room's node no seat is lost, and none counts twice.
    drop(seated);
    let seated = fill(&record, &others.map(|node| nodes[node].address)).await;
    drop((seated, witness));
    crowd.end().await;
    let checked = record.check();
    let history = record.history();
    println!(
        "cluster: {} clients on {} Replicas while a node was killed: promises 1, 5, 6, 8, 10, 11 hold; {checked}",
        clients,
        checker::replicas(&history).len(),
    );
}
