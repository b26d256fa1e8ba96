//! Faults of real node and NATS server processes, and what clients notice of them.
//!
//! A record contains everything that the clients of a run send and receive. At the end, `checker` checks the promises
//! over it. Every acknowledged number must be stored afterwards (promise 11). No node may act for an object that
//! another node owns (promise 10).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dog_test_support::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::PATIENCE;
use crate::child::Child;
use crate::record::{Recorder, Victim};
use crate::server::NatsServers;
use crate::speakers::Speakers;

const LEASE: Duration = Duration::from_secs(3);
/// A lease that is longer than the election of a NATS leader.
const LONG_LEASE: Duration = Duration::from_secs(15);

/// Returns the index of the node that owns a room, and those of the two others.
pub(crate) async fn owner_and_others(record: &Recorder, nodes: &[Child], room: &str) -> (usize, [usize; 2]) {
    let at = record.join(nodes[0].address, room, "finder").await.at;
    let owner = nodes.iter().position(|node| node.id() == at).expect("one of the nodes owns it");
    let others: Vec<usize> = (0..3).filter(|node| *node != owner).collect();
    (owner, [others[0], others[1]])
}

/// Starts three nodes.
pub(crate) fn start(nats: &NatsServers, lease: Duration) -> Vec<Child> {
    (0..3).map(|_| Child::start(&nats.url(), lease)).collect()
}

/// Starts a steady load of one client per node.
async fn speakers(record: &Recorder, nodes: &[Child]) -> Speakers {
    let entries: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    Speakers::start(record, &entries).await
}

/// A client that stores numbers one after the other. It reconnects when its socket ends.
pub(crate) struct Writer {
    stop: watch::Sender<bool>,
    kept: watch::Receiver<usize>,
    task: JoinHandle<(BTreeSet<u32>, Duration)>,
}

impl Writer {
    /// Starts a writer. It connects to these nodes in turn.
    pub(crate) fn start(record: &Recorder, entries: Vec<SocketAddr>, room: &str) -> Self {
        let (stop, stops) = watch::channel(false);
        let (tell, kept) = watch::channel(0);
        let task = tokio::spawn(keep_numbers(record.clone(), entries, room.to_owned(), stops, tell));
        Self { stop, kept, task }
    }

    /// Waits until it has stored `more` more numbers.
    pub(crate) async fn goes_on(&mut self, more: usize) {
        let wanted = *self.kept.borrow() + more;
        let goes_on = tokio::time::timeout(PATIENCE, self.kept.wait_for(|kept| *kept >= wanted)).await;
        assert!(goes_on.is_ok(), "writes are no longer acknowledged");
    }

    /// Stops the writer. Returns the acknowledged numbers, and the longest time between two acknowledgements.
    pub(crate) async fn end(self) -> (BTreeSet<u32>, Duration) {
        self.stop.send_replace(true);
        self.task.await.expect("the writer does not panic")
    }
}

async fn keep_numbers(
    record: Recorder,
    entries: Vec<SocketAddr>,
    room: String,
    stop: watch::Receiver<bool>,
    tell: watch::Sender<usize>,
) -> (BTreeSet<u32>, Duration) {
    let (mut kept, mut number, mut longest) = (BTreeSet::new(), 0, Duration::ZERO);
    let mut turn = 0;
    let mut last = Instant::now();
    'joins: loop {
        let mut client = record.join(entries[turn % entries.len()], &room, "writer").await;
        turn += 1;
        loop {
            if *stop.borrow() {
                return (kept, longest);
            }
            number += 1;
            if !client.put(number).await {
                continue 'joins;
            }
            kept.insert(number);
            tell.send_replace(kept.len());
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
}

#[tokio::test]
async fn a_node_that_is_killed_is_replaced_and_no_acknowledged_write_is_lost() {
    let record = Recorder::new(LEASE);
    let nats = NatsServers::start(3, "");
    let mut nodes = start(&nats, LEASE);
    let speakers = speakers(&record, &nodes).await;
    let (owner, others) = owner_and_others(&record, &nodes, "killed").await;
    let entries = others.map(|node| nodes[node].address).to_vec();
    let mut writer = Writer::start(&record, entries.clone(), "killed");
    writer.goes_on(100).await;
    let mut witness = record.join(nodes[others[0]].address, "killed", "witness").await;
    assert_eq!(witness.at, nodes[owner].id(), "another node forwards its connection");
    assert!(witness.put(1_000_000).await);
    record.fault(Victim::Node(nodes[owner].id()));
    nodes[owner].kill();
    let killed = Instant::now();
    while witness.hear().await.is_some() {}
    let noticed = killed.elapsed();
    let mut witness = record.join(entries[0], "killed", "witness").await;
    let back = killed.elapsed();
    assert_ne!(witness.at, nodes[owner].id());
    assert!(witness.put(1_000_001).await);
    writer.goes_on(100).await;
    let (kept, longest) = writer.end().await;
    speakers.end().await;
    let all = witness.all().await;
    assert!(kept.is_subset(&all) && all.contains(&1_000_000), "lost: {:?}", kept.difference(&all).collect::<Vec<_>>());
    println!(
        "cluster: a node killed: its sockets ended after {noticed:.1?}, served again after {back:.1?} (lease {LEASE:?}), \
         longest pause of a writer {longest:.1?}, {} puts acknowledged and there; {}",
        kept.len(),
        record.check()
    );
}

#[tokio::test]
async fn a_node_that_was_suspended_past_its_lease_does_not_act() {
    let record = Recorder::new(LEASE);
    let nats = NatsServers::start(1, "");
    let nodes = start(&nats, LEASE);
    let speakers = speakers(&record, &nodes).await;
    let (owner, others) = owner_and_others(&record, &nodes, "stopped").await;
    let mut old = record.join(nodes[owner].address, "stopped", "old").await;
    assert_eq!(old.at, nodes[owner].id());
    assert!(old.put(1).await);
    let mut old_speaker = record.join(nodes[owner].address, "stopped", "old-speaker").await;
    let mut passed_on = record.join(nodes[others[1]].address, "stopped", "passed-on").await;
    assert_eq!(passed_on.at, nodes[owner].id());
    let fault = record.fault(Victim::Node(nodes[owner].id()));
    nodes[owner].signal(Signal::STOP);
    let stopped = Instant::now();
    let mut new = record.join(nodes[others[0]].address, "stopped", "new").await;
    let back = stopped.elapsed();
    assert_ne!(new.at, nodes[owner].id());
    assert!(new.put(2).await);
    // These messages wait in the node's sockets until the node is resumed.
    assert!(old.say("put 666").await && old_speaker.say("old-speaker 1").await);
    assert_eq!(
        passed_on.hear().await,
        None,
        "a client that came through another node does not wait for the suspended one"
    );
    assert_eq!(passed_on.close_code(), Some(1012));
    nodes[owner].signal(Signal::CONT);
    record.is_well(fault);
    let mut heard = Vec::new();
    for old in [&mut old, &mut old_speaker] {
        while let Some(text) = old.hear().await {
            heard.push(text);
        }
    }
    assert!(heard.is_empty(), "the old life has acted: {heard:?}");
    assert_eq!(new.all().await, BTreeSet::from([1, 2]), "the old life has written");
    // The process has joined the cluster again, under another node id.
    let late = record.join(nodes[owner].address, "stopped", "late").await;
    assert_eq!(late.at, new.at);
    speakers.end().await;
    println!(
        "cluster: a node suspended: served elsewhere after {back:.1?} (lease {LEASE:?}); resumed, it did nothing; {}",
        record.check()
    );
}

#[tokio::test]
async fn sockets_survive_restarts_of_nats_servers() {
    let record = Recorder::new(LONG_LEASE);
    let mut nats = NatsServers::start(3, "");
    let nodes = start(&nats, LONG_LEASE);
    let speakers = speakers(&record, &nodes).await;
    let (_, others) = owner_and_others(&record, &nodes, "leader").await;
    let entries = vec![nodes[others[0]].address];
    let mut writer = Writer::start(&record, entries, "leader");
    writer.goes_on(100).await;
    let mut witness = record.join(nodes[others[1]].address, "leader", "witness").await;
    for server in 0..3 {
        // All servers are restarted one after the other, so the leaders of the streams are restarted too.
        let fault = record.fault(Victim::Nats);
        nats.kill(server);
        assert!(witness.put(1_000_000 + u32::try_from(server).unwrap_or_default()).await, "the socket stays");
        nats.restart(server);
        nats.is_whole().await;
        record.is_well(fault);
        writer.goes_on(100).await;
    }
    let (kept, longest) = writer.end().await;
    speakers.end().await;
    let all = witness.all().await;
    assert!(kept.is_subset(&all), "lost: {:?}", kept.difference(&all).collect::<Vec<_>>());
    println!(
        "cluster: each NATS server killed in turn: sockets stayed, longest pause of a writer {longest:.1?}, {} puts \
         acknowledged and there; {}",
        kept.len(),
        record.check()
    );
}

#[tokio::test]
async fn acknowledged_writes_survive_restarts_of_everything() {
    let record = Recorder::new(LEASE);
    let mut nats = NatsServers::start(3, "");
    let mut nodes = start(&nats, LEASE);
    let mut client = record.join(nodes[0].address, "all", "client").await;
    for number in 1..=50 {
        assert!(client.put(number).await);
    }
    for node in &nodes {
        record.fault(Victim::Node(node.id()));
    }
    let fault = record.fault(Victim::Nats);
    nodes.iter_mut().for_each(Child::kill);
    (0..3).for_each(|server| nats.kill(server));
    let killed = Instant::now();
    (0..3).for_each(|server| nats.restart(server));
    let nodes = start(&nats, LEASE);
    let mut client = record.join(nodes[1].address, "all", "client").await;
    let back = killed.elapsed();
    record.is_well(fault);
    assert_eq!(client.all().await, (1..=50).collect());
    println!(
        "cluster: all nodes and all NATS servers killed: served again after {back:.1?}, 50 of 50 puts there; {}",
        record.check()
    );
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_between_sockets_that_stay() {
    let record = Recorder::new(LONG_LEASE);
    let nats = NatsServers::start(1, "");
    let mut nodes = start(&nats, LONG_LEASE);
    let mut listener = record.join(nodes[2].address, "rolling", "wide-listener").await;
    let mut speaker = record.join(nodes[1].address, "rolling", "wide-speaker").await;
    assert_ne!(listener.at, speaker.at, "each node has its own Replica");
    let mut said = 0;
    for _ in 0..2 {
        // The first node, which owns the Group, is replaced.
        let began = Instant::now();
        record.fault(Victim::Node(nodes[0].id()));
        nodes.remove(0).terminate();
        nodes.push(Child::start(&nats.url(), LONG_LEASE));
        if nodes.iter().all(|node| node.id() != speaker.at) {
            speaker = record.join(nodes[1].address, "rolling", "wide-speaker").await;
        }
        for _ in 0..100 {
            said += 1;
            assert!(speaker.say(&format!("speaker {said}")).await);
        }
        let last = format!("speaker {said}");
        while listener.hear().await.expect("its node is not replaced") != last {}
        println!(
            "cluster: a node restarted in {:.1?}: {said} messages sent to sockets that stay; {}",
            began.elapsed(),
            record.check()
        );
    }
}

#[tokio::test]
async fn a_node_without_nats_continues_until_its_lease_is_over() {
    let record = Recorder::new(LEASE);
    let mut nats = NatsServers::start(1, "");
    let node = Child::start(&nats.url(), LEASE);
    let mut speaker = record.join(node.address, "alone", "speaker").await;
    let mut listener = record.join(node.address, "alone", "listener").await;
    let fault = record.fault(Victim::Nats);
    nats.kill(0);
    let alone = Instant::now();
    assert!(speaker.say("still here").await);
    assert_eq!(listener.hear().await.as_deref(), Some("still here"));
    assert_eq!(listener.hear().await, None, "its node may no longer act");
    let ended = alone.elapsed();
    assert!(ended <= LEASE + Duration::from_secs(1), "{ended:?}");
    assert_eq!(listener.close_code(), Some(1012));
    nats.restart(0);
    let mut back = record.join(node.address, "alone", "listener").await;
    record.is_well(fault);
    assert!(back.put(1).await);
    assert_eq!(back.all().await, BTreeSet::from([1]));
    println!(
        "cluster: a node without NATS: its sockets were closed with 1012 after {ended:.1?} (lease {LEASE:?}); {}",
        record.check()
    );
}
