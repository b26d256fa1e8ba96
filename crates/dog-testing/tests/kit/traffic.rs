//! The number of messages that each action costs, and how it grows with the number of Replicas. `docs/scale.md` is
//! based on these rules. Each rule is checked in rooms of several sizes.

use std::collections::BTreeMap;
use std::time::Duration;

use dog_testing::{ClientSocket, Cluster, Traffic};

use super::app::{HALL, Hall, builder};

const SIZES: [u64; 4] = [1, 2, 7, 40];

/// Returns a room with this many Replicas, one socket on each, and no messages on their way.
fn room(replicas: u64) -> (Cluster, Vec<ClientSocket>) {
    let cluster = builder(1).count_traffic().start();
    let sockets = (0..replicas).map(|number| cluster.connect(&format!("/ws?u=u{number}"))).collect();
    cluster.run();
    drop(cluster.take_traffic());
    (cluster, sockets)
}

/// Returns the counts that are not zero.
fn counts(traffic: &Traffic) -> BTreeMap<&'static str, u64> {
    traffic.iter().map(|(name, amount)| (*name, amount.messages)).collect()
}

fn expected<const N: usize>(counts: [(&'static str, u64); N]) -> BTreeMap<&'static str, u64> {
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Sends a command from the first socket. Returns the messages that this causes between objects.
fn said(cluster: &Cluster, sockets: &[ClientSocket], command: &str) -> BTreeMap<&'static str, u64> {
    sockets[0].send(command);
    cluster.run();
    counts(&cluster.take_traffic())
}

#[test]
fn a_broadcast_is_one_message_for_each_sibling_and_a_gossip_two() {
    for replicas in SIZES {
        let (cluster, sockets) = room(replicas);
        let siblings = replicas - 1;
        assert_eq!(said(&cluster, &sockets, "all hello"), expected([("Deliver", siblings)]));
        let asked = expected([("Gossip", siblings), ("Gossip, answered", siblings)]);
        // For each new view, the Group is asked once which Replicas are parked.
        let mut first = asked.clone();
        first.extend([("Parked", 1), ("Parked, answered", 1)]);
        assert_eq!(said(&cluster, &sockets, "ask"), first);
        assert_eq!(said(&cluster, &sockets, "ask"), asked);
        let sure =
            expected([("Deliver, confirmed", siblings), ("Deliver, Publication or Whisper, answered", siblings)]);
        assert_eq!(said(&cluster, &sockets, "sure hello"), sure);
    }
}

#[test]
fn a_whisper_takes_as_much_in_a_room_of_any_size() {
    for replicas in SIZES {
        let (cluster, sockets) = room(replicas);
        let elsewhere = u64::from(replicas > 1);
        let whispered = expected([
            ("Locate", 1),
            ("Locate, answered", 1),
            ("Whisper", elsewhere),
            ("Deliver, Publication or Whisper, answered", elsewhere),
        ]);
        assert_eq!(said(&cluster, &sockets, &format!("whisper u{}", replicas - 1)), whispered);
    }
}

#[test]
fn a_client_that_comes_takes_two_exchanges_and_one_that_leaves_takes_one() {
    for replicas in SIZES {
        let (cluster, mut sockets) = room(replicas);
        sockets.pop().unwrap().close();
        cluster.run();
        let told = expected([("Report", 1), ("Acknowledge", 1)]);
        // The Replica broadcasts that a client has left.
        let mut gone = counts(&cluster.take_traffic());
        assert_eq!(gone.remove("Deliver").unwrap_or(0), replicas - 1);
        assert_eq!(gone, told);

        let _back = cluster.connect("/ws?u=back");
        let came = expected([("Identify", 1), ("Identify, answered", 1), ("Report", 1), ("Acknowledge", 1)]);
        assert_eq!(counts(&cluster.take_traffic()), came);
    }
}

#[test]
fn a_new_replica_is_announced_to_all_its_siblings() {
    let mut lengths = Vec::new();
    for replicas in SIZES {
        let (cluster, _sockets) = room(replicas);
        let _newcomer = cluster.connect("/ws?u=newcomer");
        let traffic = cluster.take_traffic();
        let joined = expected([
            ("Identify", 1),
            ("Identify, answered", 1),
            ("Join", 1),
            ("Join or Census, answered", 1),
            ("UpdateView", replicas),
            ("UpdateView, answered", replicas),
            ("Report", 1),
            ("Acknowledge", 1),
        ]);
        assert_eq!(counts(&traffic), joined);
        lengths.push(traffic["UpdateView"].bytes / replicas);
    }
    let grown = lengths[3] - lengths[2];
    assert_eq!(grown, 32 * (SIZES[3] - SIZES[2]), "{lengths:?}");
}

#[test]
fn a_crowd_that_comes_at_once_joins_in_few_rounds() {
    let cluster = builder(1).count_traffic().network_delay(Duration::from_millis(1), Duration::from_millis(1)).start();
    let crowd: Vec<_> =
        (0..100).map(|number| cluster.begin(dog_testing::websocket(&format!("/ws?u=u{number}")))).collect();
    cluster.advance(Duration::from_secs(2));
    assert!(crowd.iter().all(|client| matches!(client.answer(), Some(Ok(_)))));
    let traffic = cluster.take_traffic();
    assert_eq!(traffic["Join"].messages, 100);
    // If all Replicas joined one after the other, there would be 4,950 messages.
    let met = traffic.get("UpdateView").map_or(0, |amount| amount.messages);
    assert!(met <= 300, "{met}");
}

#[test]
fn an_idle_member_is_asked_once_per_lease() {
    const LEASES: u64 = 10;
    for replicas in SIZES {
        let (cluster, _sockets) = room(replicas);
        cluster.advance(Duration::from_secs(30 * LEASES));
        let asked = replicas * LEASES;
        let quiet = expected([("Census", asked), ("Join or Census, answered", asked)]);
        assert_eq!(counts(&cluster.take_traffic()), quiet);
    }
}

#[test]
fn a_group_that_comes_back_asks_each_member_once() {
    for replicas in SIZES {
        let (cluster, _sockets) = room(replicas);
        cluster.restart_group::<Hall>(HALL);
        let _newcomer = cluster.connect("/ws?u=newcomer");
        assert_eq!(counts(&cluster.take_traffic())["Census"], replicas);
    }
}

#[test]
fn nothing_is_counted_by_default() {
    let cluster = builder(1).start();
    let _sockets = ["ann", "bob"].map(|name| cluster.connect(&format!("/ws?u={name}")));
    assert!(cluster.take_traffic().is_empty());
}

/// The clients wait until all members are counted. Then the Group creates only as many Replicas as are needed.
#[test]
fn a_crowd_that_comes_while_the_group_wakes_gets_just_the_replicas_that_it_needs() {
    let delay = Duration::from_millis(20);
    let cluster = builder(10).count_traffic().network_delay(delay, delay).start();
    let _first = cluster.connect("/ws?u=first");
    cluster.restart_group::<Hall>(HALL);
    drop(cluster.take_traffic());
    let crowd: Vec<_> =
        (0..509).map(|number| cluster.begin(dog_testing::websocket(&format!("/ws?u=u{number}")))).collect();
    cluster.advance(Duration::from_secs(2));
    assert!(crowd.iter().all(|client| matches!(client.answer(), Some(Ok(_)))));
    let traffic = cluster.take_traffic();
    assert_eq!((traffic["Census"].messages, traffic["Join"].messages), (1, 50));
}

/// While a report is on its way, further changes wait. They are reported together when it is acknowledged.
#[test]
fn a_crowd_that_comes_to_one_replica_at_once_is_told_once_each() {
    const CROWD: u32 = 1_000;
    let delay = Duration::from_millis(5);
    let cluster = builder(2 * CROWD).count_traffic().network_delay(delay, delay).start();
    let first = cluster.connect("/ws?u=first");
    cluster.advance(delay * 4);
    drop(cluster.take_traffic());
    let crowd: Vec<_> = (0..CROWD).map(|who| cluster.begin(dog_testing::websocket(&format!("/ws?u=u{who}")))).collect();
    cluster.advance(Duration::from_secs(5));
    assert!(crowd.iter().all(|client| matches!(client.answer(), Some(Ok(_)))));
    let reports = cluster.take_traffic()["Report"];
    // One report is for the first client and one for all others. One report per client would add up to 4 MB.
    assert_eq!(reports.messages, 2);
    assert!(reports.bytes < 20 * u64::from(CROWD), "{reports:?}");
    let books = cluster.members::<Hall>(HALL).unwrap();
    assert_eq!((books[0].occupied, books[0].reserved), (CROWD + 1, 0));
    assert_eq!(cluster.seats(first.replica()), CROWD + 1);
}
