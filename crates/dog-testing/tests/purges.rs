//! Logs that are purged in the test kit: who is told, what is left, and what a crash in the middle leaves.

use std::collections::BTreeSet;
use std::time::Duration;

use dog::{
    Context, Error, Group, GroupContext, HistoryOrder, Limit, Log, Message, NewPublication, Position, Replica, Request,
    Response, Result, Socket, Unrecovered,
};
use dog_test_support::app::{House, MAIN};
use dog_testing::{Builder, ClientSocket, Cluster};
use futures_util::FutureExt;

/// A topic whose log is durable. The others have one in memory.
const DURABLE: &str = "durable";

/// A second is what promise 17 allows.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

struct Hall;

impl Group for Hall {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    fn log(&self, topic: &str) -> Log {
        if topic == DURABLE { Log::durable() } else { Log::memory() }
    }
}

struct Room;

impl Replica for Room {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    /// Subscribes to a topic.
    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        Ok(socket.subscribe(message.as_text().unwrap_or_default()).await?)
    }

    /// Tells the sockets, which stay open.
    async fn on_lost(&self, _: &Context<Self>, topic: &str, reason: Unrecovered, sockets: &[Socket]) -> Result {
        for socket in sockets {
            socket.send(format!("lost of {topic:?}: {reason}"))?;
        }
        Ok(())
    }
}

fn builder() -> Builder<House<Hall>> {
    Cluster::builder(House::new())
}

/// A socket that is subscribed to a topic.
fn subscribe(cluster: &Cluster, topic: &str) -> ClientSocket {
    let socket = cluster.connect("/ws?u=subscriber");
    socket.send(topic);
    cluster.run();
    socket
}

fn publish(cluster: &Cluster, topic: &str, publication: impl Into<NewPublication>) -> Result<Position, Error> {
    let published = cluster.wait_for(cluster.group::<Hall>(MAIN).publish(topic, publication));
    cluster.run();
    published
}

fn purge(cluster: &Cluster, topic: &str) -> Result<(), Error> {
    let purged = cluster.wait_for(cluster.group::<Hall>(MAIN).purge_log(topic));
    cluster.run();
    purged
}

#[test]
fn a_purge_that_is_lost_on_the_way_is_told_once_and_what_is_published_after_it_comes() -> Result {
    for topic in ["t", DURABLE] {
        let cluster = builder().start();
        let socket = subscribe(&cluster, topic);
        let mut epochs = BTreeSet::new();
        for round in 0..3 {
            let before = publish(&cluster, topic, "before")?;
            assert!(before.offset() == 1 && epochs.insert(before.epoch().to_string()), "round {round}");
            assert_eq!(socket.received_texts(), ["before"]);
            cluster.cut_off_replica(socket.replica());
            purge(&cluster, topic)?;
            purge(&cluster, topic)?;
            cluster.heal();
            assert_eq!(socket.received_texts(), [""; 0]);
            cluster.advance(NOTICED_WITHIN);
            assert_eq!(socket.received_texts(), [format!("lost of {topic:?}: epoch_unknown")]);
            assert_eq!(cluster.wait_for(history(&cluster, topic))?, Vec::<String>::new());
        }
        // Nobody was told the epoch that the log has now.
        purge(&cluster, topic)?;
        cluster.advance(NOTICED_WITHIN);
        assert_eq!(socket.received_texts(), [""; 0]);
    }
    Ok(())
}

async fn history(cluster: &Cluster, topic: &str) -> Result<Vec<String>, Error> {
    let page = cluster.group::<Hall>(MAIN).history(topic, None, HistoryOrder::OldestFirst, 1000).await?;
    Ok(page.publications.iter().filter_map(|publication| publication.message.as_text().map(str::to_owned)).collect())
}

#[test]
fn a_purge_leaves_nothing_on_disk_once_the_replicas_know() -> Result {
    let cluster = builder().start();
    let socket = subscribe(&cluster, DURABLE);
    let before = cluster.entries_on_disk();
    for number in 0..200 {
        publish(&cluster, DURABLE, number.to_string())?;
    }
    assert_eq!(cluster.entries_on_disk(), before + 201);
    cluster.cut_off_replica(socket.replica());
    purge(&cluster, DURABLE)?;
    assert_eq!(cluster.entries_on_disk(), before + 2, "that it was purged, and the epoch, until the Replica knows");
    cluster.restart_group::<Hall>(MAIN);
    cluster.heal();
    assert_eq!(cluster.wait_for(cluster.group::<Hall>(MAIN).count())?.sockets, 1, "another life");
    cluster.advance(2 * NOTICED_WITHIN);
    assert_eq!(socket.received_texts().last(), Some(&format!("lost of {DURABLE:?}: epoch_unknown")));
    assert_eq!(cluster.entries_on_disk(), before);
    assert_eq!(publish(&cluster, DURABLE, "after")?.offset(), 1);
    assert_eq!(socket.received_texts(), ["after"]);
    Ok(())
}

#[test]
fn a_purge_that_a_crash_interrupts_is_finished_by_the_next_life_and_nothing_is_seen_meanwhile() -> Result {
    for crash_after in [1, 5, 20, 40, 80, 160] {
        let cluster = builder().write_delay(Duration::from_millis(10)).seed(crash_after).start();
        let socket = subscribe(&cluster, DURABLE);
        let before = cluster.entries_on_disk();
        for number in 0..300 {
            publish(&cluster, DURABLE, number.to_string())?;
        }
        let group = cluster.group::<Hall>(MAIN);
        let mut purging = Box::pin(group.purge_log(DURABLE));
        assert!(purging.as_mut().now_or_never().is_none());
        cluster.advance(Duration::from_millis(crash_after));
        cluster.restart_group::<Hall>(MAIN);
        let left = cluster.wait_for(history(&cluster, DURABLE))?.len();
        assert!(left == 0 || left == 300, "half a log of {left}");
        if left > 0 {
            purge(&cluster, DURABLE)?;
        }
        cluster.advance(Duration::from_secs(5));
        let lost = socket.received_texts().split_off(300);
        assert_eq!(lost, [format!("lost of {DURABLE:?}: epoch_unknown")], "after {crash_after} ms");
        assert_eq!(cluster.wait_for(history(&cluster, DURABLE))?.len(), 0);
        purge(&cluster, DURABLE)?;
        cluster.advance(NOTICED_WITHIN);
        assert_eq!(cluster.entries_on_disk(), before, "after {crash_after} ms");
        drop(purging);
    }
    Ok(())
}

#[test]
fn what_is_published_during_a_purge_has_its_turn_and_stays() -> Result {
    let cluster = builder().write_delay(Duration::from_millis(10)).start();
    for number in 0..1000 {
        publish(&cluster, DURABLE, number.to_string())?;
    }
    let group = cluster.group::<Hall>(MAIN);
    let publishing = async {
        let mut positions = Vec::new();
        for number in 0..10 {
            positions.push(group.publish(DURABLE, format!("new {number}")).await?.offset());
        }
        Ok(positions)
    };
    let both = futures_util::future::try_join(group.purge_log(DURABLE), publishing);
    let ((), positions) = cluster.wait_for(both)?;
    assert_eq!(positions, (1..=10).collect::<Vec<u64>>());
    let expected: Vec<_> = (0..10).map(|number| format!("new {number}")).collect();
    assert_eq!(cluster.wait_for(history(&cluster, DURABLE))?, expected);
    cluster.restart_group::<Hall>(MAIN);
    assert_eq!(cluster.wait_for(history(&cluster, DURABLE))?, expected);
    assert!(cluster.entries_on_disk() < 40, "{} records", cluster.entries_on_disk());
    Ok(())
}

#[test]
fn a_purge_that_cannot_be_written_says_so_and_can_be_repeated() -> Result {
    let cluster = builder().start();
    publish(&cluster, DURABLE, "1")?;
    cluster.fail_writes(true);
    assert!(purge(&cluster, DURABLE).unwrap_err().is_storage());
    cluster.fail_writes(false);
    assert_eq!(cluster.wait_for(history(&cluster, DURABLE))?, ["1"]);
    purge(&cluster, DURABLE)?;
    assert_eq!(cluster.wait_for(history(&cluster, DURABLE))?, [""; 0]);
    assert!(purge(&cluster, "never used").is_ok());
    Ok(())
}
