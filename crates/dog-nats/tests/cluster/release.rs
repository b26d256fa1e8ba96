//! Objects that nobody uses are released: their claims disappear, and their storage stays.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use dog_native::{Running, Server};
use dog_nats::Nats;

use crate::app::{Client, PATIENCE, Rooms};
use crate::server::NatsServers;

const ROOMS: u32 = 30;

async fn node(nats: &NatsServers) -> Running {
    // Once per second, the node releases objects that have hibernated for one second.
    let server = Server::new(Rooms).bind("127.0.0.1:0").workers(2).hibernate_after(Duration::ZERO);
    server.cluster(Nats::connect(nats.url())).start().await.expect("a node")
}

/// Returns the subjects of the Replicas' claims, deletions among them. Groups are released in the same way, but only
/// after a minute, because they remember clients for that time.
async fn claims(context: &jetstream::Context) -> Vec<String> {
    let stream = context.get_stream("dog_objects").await.expect("the stream");
    let info = stream.info_with_subjects("dog.object.*.owner").await.expect("its subjects");
    let subjects: Vec<(String, usize)> = futures_util::TryStreamExt::try_collect(info).await.expect("all of them");
    subjects.into_iter().map(|(subject, _)| subject).filter(|subject| subject.starts_with("dog.object.r")).collect()
}

/// Waits until no Replica is claimed. Returns how long that took. A deletion counts as no claim, because it expires by
/// itself.
async fn until_none_is_claimed(context: &jetstream::Context) -> Duration {
    let began = Instant::now();
    let stream = context.get_stream("dog_objects").await.expect("the stream");
    loop {
        let mut held = Vec::new();
        for subject in claims(context).await {
            let last = stream.get_last_raw_message_by_subject(&subject).await;
            held.extend(last.ok().filter(|last| !last.payload.is_empty()).map(|_| subject));
        }
        if held.is_empty() {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{held:?}");
        // No event says when a claim is deleted.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn unused_objects_are_released_and_come_back_at_any_node_with_their_storage() {
    crate::child::log();
    let nats = NatsServers::start(1, "");
    let nodes = [node(&nats).await, node(&nats).await];
    let context = jetstream::new(async_nats::connect(nats.url()).await.expect("NATS"));
    for number in 0..ROOMS {
        let mut client = Client::join(nodes[0].local_addr(), &format!("room-{number}"), "client").await;
        assert!(client.put(number).await);
    }
    assert_eq!(
        claims(&context).await.len(),
        ROOMS as usize,
        "each Replica has a subject, and a deleted one keeps it for a minute"
    );
    let took = until_none_is_claimed(&context).await;
    for number in 0..ROOMS {
        let mut client = Client::join(nodes[1].local_addr(), &format!("room-{number}"), "client").await;
        assert_eq!(client.all().await, [number].into());
        assert!(client.put(1000).await, "its new claim is later than the old one");
    }
    let [one, other] = nodes;
    one.shutdown().await;
    // All objects are on the second node now and need no other node.
    let mut client = Client::join(other.local_addr(), "room-0", "client").await;
    assert_eq!(client.all().await, [0, 1000].into());
    other.shutdown().await;
    println!(
        "cluster: {ROOMS} Replicas that nobody uses: released after {took:.1?}, and served again with their storage"
    );
}
