//! Network partitions under load. Packets between some hosts of a test network are dropped silently, and later they
//! arrive again. Clients always reach all nodes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::app::Client;
use crate::faults::Writer;
use crate::record::Recorder;
use crate::scene::{SERVERS, Scene, host};
use crate::talk::{Talk, nothing_was_missed};

/// The lease where only nodes are cut off. It may be shorter than the election of a NATS leader.
const LEASE: Duration = Duration::from_secs(5);
/// A lease that is longer than an election.
const LONG_LEASE: Duration = Duration::from_secs(15);
/// A lease that is longer than an election and the following search for a server that reaches the others.
const LONGEST_LEASE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_node_cut_off_from_nats_for_less_than_its_lease_keeps_its_sockets() {
    let record = Recorder::new(LONG_LEASE);
    let scene = Scene::start(LONG_LEASE);
    let mut talk = Talk::start(&scene.entries(), "short", 2).await;
    // Each client's Replica is on the node that the client connected to. So is the Replica of the room "kept".
    let mut writer = Writer::start(&record, vec![scene.nodes[0].address], "kept");
    writer.goes_on(20).await;
    let cut = Instant::now();
    scene.network.cut(&SERVERS, &[host(0)]);
    let says = scene.nodes[0].until_ready(false).await;
    let noticed = cut.elapsed();
    assert!(scene.nodes[0].tells("/metrics").await.1.contains("dog_cluster_connected 0"), "{says}");
    // Messages within the isolated node still arrive, and so do messages between the other nodes.
    talk.hear_each_other(&[0, 3]).await;
    talk.hear_each_other(&[1, 2, 4, 5]).await;
    scene.network.heal(&SERVERS, &[host(0)]);
    let healed = Instant::now();
    scene.nodes[0].until_ready(true).await;
    talk.everyone_hears_everyone().await;
    let well = healed.elapsed();
    writer.goes_on(20).await;
    let (kept, longest) = writer.end().await;
    let lives = talk.end().await;
    let local = nothing_was_missed(&lives, &[0, 3]);
    nothing_was_missed(&lives, &[1, 2, 4, 5]);
    let mut witness = record.join(scene.nodes[1].address, "kept", "witness").await;
    assert!(kept.is_subset(&witness.all().await), "an acknowledged put is lost");
    println!(
        "cluster: a node cut off from NATS for less than its lease ({LONG_LEASE:?}): /readyz said so after {noticed:.1?}, \
         all sockets stayed, all {local} messages within the node arrived; healed, all heard all after {well:.1?}; longest \
         pause of a writer there {longest:.1?}, {} puts acknowledged and there; {}",
        kept.len(),
        record.check()
    );
}

#[tokio::test]
async fn a_node_cut_off_from_nats_for_longer_than_its_lease_is_replaced() {
    let record = Recorder::new(LEASE);
    let scene = Scene::start(LEASE);
    let mut talk = Talk::start(&scene.entries(), "long", 2).await;
    let mut old = record.join(scene.nodes[0].address, "moved", "old").await;
    assert_eq!(old.at, scene.nodes[0].id(), "its node runs the room's Replica");
    assert!(old.put(1).await);
    let cut = Instant::now();
    scene.network.cut(&SERVERS, &[host(0)]);
    // This put is never acknowledged.
    assert!(old.say("put 666").await);
    while let Some(text) = old.hear().await {
        assert_ne!(text, "kept 666");
    }
    let ended = cut.elapsed();
    assert_eq!(old.close_code(), Some(1012));
    assert!(!scene.nodes[0].tells("/readyz").await.0);
    let mut new = record.join(scene.nodes[1].address, "moved", "new").await;
    let elsewhere = cut.elapsed();
    assert_ne!(new.at, scene.nodes[0].id());
    assert!(new.put(2).await);
    // The clients of that node have reconnected through other nodes.
    talk.everyone_hears_everyone().await;
    scene.network.heal(&SERVERS, &[host(0)]);
    let healed = Instant::now();
    scene.nodes[0].until_ready(true).await;
    let back = healed.elapsed();
    let late = record.join(scene.nodes[0].address, "moved", "late").await;
    assert_eq!(late.at, new.at, "the node is part of the cluster again, and finds the owner of the room");
    talk.everyone_hears_everyone().await;
    let mut witness = Client::join(scene.nodes[0].address, "long", "wide-witness").await;
    assert_eq!(witness.count_until(7).await, 7, "promise 8");
    let kept = new.all().await;
    assert!(kept.contains(&1) && kept.contains(&2) && !kept.contains(&666), "{kept:?}");
    let lives = talk.end().await;
    let others = nothing_was_missed(&lives, &[1, 2, 4, 5]);
    for life in [&lives[0], &lives[3]] {
        assert_eq!(life.ends.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [Some(1012)]);
    }
    println!(
        "cluster: a node cut off from NATS past its lease ({LEASE:?}): its sockets were closed with 1012 after {ended:.1?}, \
         its room served elsewhere after {elsewhere:.1?}; healed, it was ready after {back:.1?}; {others} messages between \
         the others, none missed; nothing came twice or from before; {}",
        record.check()
    );
}

/// Checks that a busy Replica is not taken for dead. The Replica does not read for 18 s. Its client, whose bytes
/// another node forwards, sends more than the buffers between them hold. The forwarding node knows that its peer is
/// alive, and waits.
async fn waits_for_a_busy_replica(owner: SocketAddr, other: SocketAddr) {
    let first = Client::join(owner, "busy", "first").await;
    let mut passed = Client::join(other, "busy", "passed").await;
    assert_eq!(passed.at, first.at, "another node forwards its connection");
    assert!(passed.say("nap 18").await);
    let filler = format!("filler{}", "x".repeat(512 * 1024));
    for _ in 0..64 {
        assert!(passed.say(&filler).await, "its socket was closed while its Replica was busy");
    }
    assert!(passed.put(1).await);
}

#[tokio::test]
async fn nodes_cut_off_from_each_other_still_exchange_messages_over_nats() {
    let record = Recorder::new(LONG_LEASE);
    let scene = Scene::start(LONG_LEASE);
    let mut talk = Talk::start(&scene.entries(), "apart", 1).await;
    let [owner, other] = [0, 1];
    let mut there = record.join(scene.nodes[owner].address, "crossed", "there").await;
    let mut passed = record.join(scene.nodes[other].address, "crossed", "passed").await;
    let mut idle = record.join(scene.nodes[other].address, "crossed", "idle").await;
    assert_eq!([there.at, passed.at, idle.at], [scene.nodes[owner].id(); 3], "another node forwards their connections");
    let busy = tokio::spawn(waits_for_a_busy_replica(scene.nodes[owner].address, scene.nodes[2].address));
    let cut = Instant::now();
    scene.network.cut(&[host(owner)], &[host(other)]);
    assert!(passed.say("put 7").await);
    let refused = record
        .try_to_join(scene.nodes[other].address, "crossed", "late")
        .await
        .err()
        .expect("the owner cannot be reached");
    let answered = cut.elapsed();
    while let Some(text) = passed.hear().await {
        assert_ne!(text, "kept 7", "the put passed the cut");
    }
    let ended = cut.elapsed();
    while idle.hear().await.is_some() {}
    let noticed = cut.elapsed();
    // The seats of the ended sockets are free again, and messages over NATS still arrive.
    assert!(there.put(1).await);
    assert_eq!(there.count_until(1).await, 1, "promise 8");
    talk.everyone_hears_everyone().await;
    scene.network.heal(&[host(owner)], &[host(other)]);
    let healed = Instant::now();
    let mut back = record.join(scene.nodes[other].address, "crossed", "passed").await;
    let served = healed.elapsed();
    assert!(back.all().await.contains(&1));
    busy.await.expect("a node that waits is not taken for dead");
    let heard = nothing_was_missed(&talk.end().await, &[0, 1, 2]);
    println!(
        "cluster: two nodes cut off from each other: a client that had to be forwarded was refused after {answered:.1?} ({refused}); \
         forwarded sockets ended after {ended:.1?} (speaking) and {noticed:.1?} (idle); healed, served after {served:.1?}; \
         {heard} broadcasts between nodes, none missed; {}",
        record.check()
    );
}

#[tokio::test]
async fn a_node_leaves_a_nats_server_that_is_cut_off_from_the_others() {
    let record = Recorder::new(LONGEST_LEASE);
    let scene = Scene::start(LONGEST_LEASE);
    let alone = scene.nats.leader("dog_objects").await;
    let others: Vec<usize> = SERVERS.into_iter().filter(|server| *server != alone).collect();
    let mut talk = Talk::start(&scene.entries(), "quorum", 2).await;
    let [mut here, mut elsewhere] = [("minority", alone), ("majority", others[0])]
        .map(|(room, node)| Writer::start(&record, vec![scene.nodes[node].address], room));
    here.goes_on(20).await;
    elsewhere.goes_on(20).await;
    let cut = Instant::now();
    scene.network.cut(&[alone], &others);
    // The servers elect another leader, and the node of the isolated server connects to a server that reaches it.
    elsewhere.goes_on(20).await;
    here.goes_on(20).await;
    talk.everyone_hears_everyone().await;
    let well = cut.elapsed();
    scene.network.heal(&[alone], &others);
    scene.nats.is_whole().await;
    here.goes_on(20).await;
    talk.everyone_hears_everyone().await;
    let mut puts = 0;
    let mut pauses = Vec::new();
    for (writer, room) in [(here, "minority"), (elsewhere, "majority")] {
        let (kept, longest) = writer.end().await;
        let mut witness = record.join(scene.nodes[alone].address, room, "witness").await;
        assert!(kept.is_subset(&witness.all().await), "an acknowledged put of the {room} is lost");
        puts += kept.len();
        pauses.push(longest);
    }
    let lives = talk.end().await;
    let lost: usize = lives.iter().map(|life| life.ends.len()).sum();
    assert_eq!(lost, 0, "sockets that did not stay: {lives:?}");
    println!(
        "cluster: the leader among the NATS servers cut off from the others (lease {LONGEST_LEASE:?}): all heard all again after {well:.1?}, the \
         longest pause of a writer on its side {:.1?}, on the other {:.1?}; all sockets stayed, {puts} puts acknowledged \
         and there; {}",
        pauses[0],
        pauses[1],
        record.check()
    );
}
