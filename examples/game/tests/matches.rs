//! The game in the test kit: on a virtual clock, where a second of the loop takes no time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::time::Duration;

use dog::{Env, Limit, Message};
use dog_testing::{Builder, ClientSocket, Cluster};
use game::app::Arcade;
use game::arena::{COUNTDOWN, Phase, TICK};
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

fn builder(limit: u32) -> Builder<Arcade> {
    Cluster::builder(Arcade).env(Env::new().with(Limit::new(limit)))
}

fn enter(cluster: &Cluster, name: &str) -> ClientSocket {
    cluster.connect(&format!("/ws?u={name}"))
}

/// The snapshots that have arrived.
fn snapshots(socket: &ClientSocket) -> Vec<Vec<u8>> {
    let received = socket.received();
    received.iter().filter(|message| message.as_text().is_none()).map(|message| message.as_bytes().to_vec()).collect()
}

/// Where a player is in a snapshot.
fn at(snapshot: &[u8], player: usize) -> (u16, u16) {
    let number = |at: usize| u16::from_le_bytes([snapshot[at], snapshot[at + 1]]);
    (number(9 + 6 * player), number(11 + 6 * player))
}

#[test]
fn the_loop_makes_twenty_steps_per_second_and_all_players_see_each() {
    let cluster = builder(4).start();
    let [ann, bob] = ["ann", "bob"].map(|name| enter(&cluster, name));
    cluster.advance(60 * SECOND);
    for player in [&ann, &bob] {
        let seen = snapshots(player);
        assert_eq!(seen.len(), 1200, "{:?}", player.client());
        assert!(seen.iter().all(|snapshot| snapshot.len() == 20));
    }
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn a_match_is_filled_before_another_one_begins() {
    let cluster = builder(2).start();
    let [ann, bob, cid, dan] = ["ann", "bob", "cid", "dan"].map(|name| enter(&cluster, name));
    assert_eq!(ann.replica(), bob.replica());
    assert_eq!(cid.replica(), dan.replica());
    assert_ne!(ann.replica(), cid.replica());
    cluster.run();
    let told = cid.received_json::<Value>();
    assert_eq!((&told[0]["type"], &told[0]["slot"]), (&Value::from("you"), &Value::from(0)));
    assert_eq!(told.last().unwrap()["players"].as_array().unwrap().len(), 2, "{told:?}");
}

#[test]
fn who_holds_a_key_runs_as_long_as_it_is_held() {
    let cluster = builder(4).start();
    let [ann, bob] = ["ann", "bob"].map(|name| enter(&cluster, name));
    cluster.advance(TICK);
    let before = at(&snapshots(&bob)[0], 0);
    ann.send(Message::binary([8]));
    cluster.advance(10 * TICK);
    ann.send(Message::binary([0]));
    cluster.advance(10 * TICK);
    let seen = snapshots(&bob);
    assert!(seen.windows(2).take(3).all(|two| at(&two[0], 0).0 < at(&two[1], 0).0 || at(&two[0], 0).0 == 780));
    assert_eq!(at(&seen[9], 0), at(&seen[19], 0), "the key was released");
    assert!(at(&seen[19], 0).0 > before.0 && at(&seen[19], 1) == at(&seen[0], 1), "nobody else has run");
}

#[test]
fn a_match_of_two_begins_after_three_seconds() {
    let cluster = builder(4).start();
    let [ann, _bob] = ["ann", "bob"].map(|name| enter(&cluster, name));
    cluster.advance(TICK * (COUNTDOWN + 2));
    let phases: Vec<u8> = snapshots(&ann).iter().map(|snapshot| snapshot[0]).collect();
    assert_eq!(phases[..2], [Phase::Countdown as u8; 2]);
    assert_eq!(phases.last(), Some(&(Phase::Running as u8)));
}

#[test]
fn a_match_that_has_begun_takes_no_newcomers_until_it_is_over() {
    let cluster = builder(4).start();
    let [ann, bob] = ["ann", "bob"].map(|name| enter(&cluster, name));
    cluster.advance(TICK * (COUNTDOWN + 2) + SECOND);
    let cid = enter(&cluster, "cid");
    assert_ne!(cid.replica(), ann.replica(), "it runs");
    bob.close();
    cluster.advance(10 * SECOND);
    assert_eq!(enter(&cluster, "dan").replica(), ann.replica(), "it is over, and was the first");
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn the_loop_ends_with_the_last_player_and_the_match_leaves_memory() {
    let cluster = builder(4).hibernate_after(SECOND).start();
    let [ann, bob] = ["ann", "bob"].map(|name| enter(&cluster, name));
    let replica = ann.replica();
    cluster.advance(60 * SECOND);
    assert!(cluster.is_awake(replica), "the loop keeps it in memory");
    ann.vanish();
    bob.close();
    cluster.advance(60 * SECOND);
    assert!(!cluster.is_awake(replica));
    let back = enter(&cluster, "ann");
    cluster.advance(SECOND);
    assert_eq!(snapshots(&back).len(), 20, "the next match");
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn the_loop_ends_when_the_server_stops() {
    let cluster = builder(4).start();
    let ann = enter(&cluster, "ann");
    cluster.advance(SECOND);
    assert_eq!(snapshots(&ann).len(), 20);
    cluster.begin_shutdown();
    cluster.advance(SECOND);
    assert_eq!(snapshots(&ann).len(), 0);
}

#[test]
fn nonsense_costs_nothing() {
    let cluster = builder(4).start();
    let ann = enter(&cluster, "ann");
    ann.send("up");
    ann.send(Message::binary([]));
    ann.send(Message::binary([255; 100]));
    ann.send(Message::binary([255]));
    cluster.advance(SECOND);
    assert!(ann.is_open() && snapshots(&ann).len() == 20);
    assert_eq!(cluster.get("/ws").status().as_u16(), 400);
    assert_eq!(cluster.get("/nothing").status().as_u16(), 404);
}
