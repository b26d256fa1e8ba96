//! Nodes leave and come back behind Caddy while people talk: a rolling update.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dog_test_support::client::http;

use crate::fleet::Fleet;
use crate::voices::{Life, Voices};

/// A Replica has two seats, so they are on all nodes.
const PEOPLE: usize = 6;

#[tokio::test]
async fn with_stickiness_nodes_leave_and_come_back_and_nobody_misses_a_message() {
    all_nodes_leave_in_turn("sticky").await;
}

#[tokio::test]
async fn without_stickiness_it_is_the_same() {
    all_nodes_leave_in_turn("even").await;
}

async fn all_nodes_leave_in_turn(balancing: &str) {
    let mut fleet = Fleet::start(balancing).await;
    let mut voices = Voices::start(fleet.entry, PEOPLE);
    voices.hear_each_other().await;
    let stop = Arc::new(AtomicBool::new(false));
    let requests = tokio::spawn(requests(fleet.entry, stop.clone()));
    for node in 0..fleet.nodes.len() {
        let before = voices.lives();
        fleet.nodes[node].terminate();
        // The others go on meanwhile, and a client that misses a message panics.
        fleet.nodes[node].restart().await;
        voices.hear_each_other().await;
        let left = before.iter().zip(&voices.lives()).any(|(before, after)| after.ends > before.ends);
        assert!(left, "nobody was on the node");
    }
    stop.store(true, Ordering::Relaxed);
    let (answered, refused) = requests.await.unwrap();
    let lives = voices.end().await;
    let sum = |count: fn(&Life) -> u32| lives.iter().map(count).sum::<u32>();
    let (ends, refusals, heard) = (sum(|life| life.ends), sum(|life| life.refusals), sum(|life| life.count));
    let not_sent = sum(|life| life.not_sent);
    println!(
        "packaging: {balancing}: three nodes left and came back behind Caddy: {ends} reconnections after {refusals} refused attempts; \
         {heard} messages heard, none missed, {not_sent} sent again; {answered} requests answered, {refused} refused"
    );
}

/// Sends one request after the other. A node may have accepted a connection in the moment in which its shutdown began: then it says
/// that the client should try again. Anything else must be answered. Returns how many were answered, and how many were not.
async fn requests(entry: std::net::SocketAddr, stop: Arc<AtomicBool>) -> (u32, u32) {
    let (mut answered, mut refused) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let answer = http(entry, "GET", "/session", "").await;
        match answer.status {
            200 => answered += 1,
            503 if answer.head.contains("retry-after") => refused += 1,
            status => panic!("a request got {status}: {}", answer.body),
        }
    }
    (answered, refused)
}
