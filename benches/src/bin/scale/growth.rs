//! What the engine says, counted: rooms of growing size in the simulation, whose message counts the model reckons with.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dog::{Env, Limit};
use dog_sim::{ClientSocket, Cluster, Traffic};

use crate::room::{NAME, Room, Rooms};

/// How many Replicas the rooms have, each with one socket.
pub(crate) const SIZES: [u32; 4] = [1, 100, 1_000, 5_000];

/// How much is said when something is done in a room.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) replicas: u32,
    /// What is done, and what was said for it.
    pub(crate) done: Vec<(&'static str, Traffic)>,
}

/// What is done in a room, and the words by which its sockets are told.
const TOLD: [(&str, &str); 4] = [
    ("broadcast", "all x"),
    ("broadcast, confirmed", "confirmed x"),
    ("gossip", "gossip x"),
    ("whisper", "whisper u0"),
];

fn enter(cluster: &Cluster, crowd: impl Iterator<Item = u32>) -> Result<Vec<ClientSocket>> {
    let come: Vec<_> = crowd.map(|who| cluster.begin(dog_sim::websocket(&format!("/ws?u=u{who}")))).collect();
    cluster.advance(Duration::from_secs(20));
    let sockets = come.iter().map(|come| come.answer().context("no answer")?.ok().context("no socket"));
    sockets.collect()
}

/// All at once come into a room, and then everything is done there once.
pub(crate) fn count(replicas: u32) -> Result<Counted> {
    let delay = Duration::from_millis(1);
    let builder = Cluster::builder(Rooms).env(Env::new().with(Limit::new(1)));
    let cluster = builder.count_traffic().network_delay(delay, delay).start();
    let mut sockets = enter(&cluster, 0..replicas)?;
    let mut done = vec![("all come at once", cluster.take_traffic())];
    let last = sockets.last().context("an empty room")?;
    for (what, words) in TOLD {
        last.send(words);
        cluster.advance(Duration::from_secs(1));
        done.push((what, cluster.take_traffic()));
    }
    cluster.advance(Duration::from_secs(30));
    drop(cluster.take_traffic());
    cluster.advance(Duration::from_secs(30));
    done.push(("30 s in which nothing happens", cluster.take_traffic()));
    sockets.extend(enter(&cluster, replicas..replicas + 1)?);
    done.push(("one more Replica", cluster.take_traffic()));
    cluster.restart_group::<Room>(NAME);
    sockets.pop().context("an empty room")?.close();
    cluster.advance(Duration::from_secs(5));
    done.push(("the Group comes back, and one leaves", cluster.take_traffic()));
    ensure!(cluster.failures().is_empty(), "a handler has failed");
    Ok(Counted { replicas, done })
}
