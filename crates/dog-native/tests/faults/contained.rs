//! Handlers that panic, that block their thread, or that never answer. Other objects go on.

use crate::arena::{self, RELEASE, SEATS};
use crate::child::Child;
use crate::steady::{Client, Steady, until};

const WORKERS: u8 = 2;

/// Returns the worker of a Replica, which follows from its id.
fn worker_of(replica: &str) -> u8 {
    u8::from_str_radix(&replica[14..16], 16).unwrap() % WORKERS
}

/// Returns a client, and a room whose Replica is on another worker than the client's.
async fn on_two_workers(child: &Child) -> (Client, String) {
    let first = Client::connect(child.address, "room0", "probe").await;
    for room in 1..100 {
        let room = format!("room{room}");
        let other = Client::connect(child.address, &room, "probe").await;
        if worker_of(&other.replica) != worker_of(&first.replica) {
            return (first, room);
        }
    }
    panic!("100 Replicas are all on one worker");
}

#[tokio::test]
async fn a_handler_that_panics_again_and_again() {
    let what = "a handler that panics a hundred times";
    let child = arena::start(&[]);
    let steady = Steady::start(child.address, "steady").await;
    for _ in 0..100 {
        let mut first = Client::connect(child.address, "panics", "first").await;
        let mut second = Client::connect(child.address, "panics", "second").await;
        assert_eq!(first.replica, second.replica);
        first.say("panic").await;
        assert_eq!(first.close_code().await, Some(1011));
        assert_eq!(second.close_code().await, Some(1011));
    }
    steady.end(what).await;
    let errors = child.end();
    assert_eq!(errors.matches("the handler was told to").count(), 100, "{errors}");
}

#[tokio::test]
async fn a_handler_that_never_returns_stops_its_own_worker_and_no_other() {
    let what = "a handler that never returns";
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    let child = arena::start(&[(RELEASE, release.to_str().unwrap())]);
    let (mut blocker, room) = on_two_workers(&child).await;
    let steady = Steady::start(child.address, &room).await;
    let mut beside = Client::connect(child.address, &room, "beside").await;
    blocker.say("block").await;
    assert_eq!(blocker.hear().await, "blocking");
    // This client is on the blocked worker, so the message is not read yet.
    blocker.say("too early").await;
    // The health report names the Replica whose handler blocks.
    let told = until(&child, "/healthz", |answer| answer.starts_with("HTTP/1.1 503")).await;
    assert!(told.contains(&blocker.replica), "{told}");
    for count in 0..50 {
        beside.say(format!("keep {count}")).await;
        while beside.hear().await != "kept" {}
    }
    std::fs::write(release, "").unwrap();
    assert_eq!(blocker.hear().await, "released");
    assert_eq!(blocker.hear().await, "too early");
    steady.end(what).await;
    assert_eq!(child.end(), "");
}

#[tokio::test]
async fn a_sibling_that_does_not_answer_is_named() {
    let what = "gossip to a sibling that does not answer";
    let child = arena::start(&[(SEATS, "2")]);
    let steady = Steady::start(child.address, "steady").await;
    let mut clients = Vec::new();
    for at in 0..6 {
        clients.push(Client::connect(child.address, "room", &format!("c{at}")).await);
    }
    let asker = clients[0].replica.clone();
    let mut siblings: Vec<String> = clients.iter().map(|client| client.replica.clone()).collect();
    siblings.retain(|replica| *replica != asker);
    siblings.dedup();
    assert_eq!(siblings.len(), 2, "three Replicas with two seats each");
    let deaf = clients.iter_mut().find(|client| client.replica == siblings[0]).unwrap();
    deaf.say("deaf").await;
    assert_eq!(deaf.hear().await, "deaf");
    loop {
        clients[0].say("gossip").await;
        let heard = clients[0].hear().await;
        if heard == format!("heard {}; missing {}", siblings[1], siblings[0]) {
            break;
        }
        // On a machine that was paused for three seconds the other sibling may be missing too. Then the gossip is sent
        // again.
        assert!(heard.starts_with("heard ; missing") && heard.contains(&siblings[0]), "{heard}");
    }
    // That Replica does not answer gossip, but messages still reach its clients.
    clients[0].say("hello").await;
    for client in &mut clients {
        assert_eq!(client.hear().await, "hello");
    }
    steady.end(what).await;
    assert_eq!(child.end(), "");
}
