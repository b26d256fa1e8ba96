//! Publications in the test kit: what is lost on the way, what cannot be repaired, and how long a log keeps its Group in memory.

use std::time::Duration;

use dog::{
    Context, Error, Group, GroupContext, HistoryOrder, Limit, Log, Message, NewPublication, Position, ROOM, Replica,
    Request, Response, Result, Socket, Unrecovered,
};
use dog_test_support::app::{House, MAIN};
use dog_testing::{Builder, ClientSocket, Cluster};
use serde::{Deserialize, Serialize};

/// A topic whose log is durable.
const DURABLE: &str = "durable";

struct Hall;

/// What a Hall is asked for.
#[derive(Serialize, Deserialize)]
enum Outbox {
    /// Count, and publish the number with a key. The answer is the offset.
    Keep,
}

impl Group for Hall {
    type Replica = Room;
    type Call = Outbox;
    type Reply = u64;
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    fn log(&self, topic: &str) -> Log {
        match topic {
            ROOM => Log::memory(),
            DURABLE => Log::durable(),
            _ => Log::memory().publications(3),
        }
    }

    async fn on_call(&self, cx: &GroupContext, Outbox::Keep: Outbox) -> Result<u64> {
        let keyed = cx
            .storage()
            .transaction(async |entries| {
                let number = entries.get::<u64>("kept").await?.unwrap_or(0) + 1;
                entries.put("kept", &number)?;
                let keyed = NewPublication::new(format!("kept {number}")).key(format!("kept {number}"));
                entries.publish(DURABLE, keyed.clone())?;
                Ok(keyed)
            })
            .await?;
        // The key names what the transaction has published.
        Ok(cx.publish(DURABLE, keyed).await?.offset())
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

    /// Publishes to the room, or subscribes.
    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        match message.as_text().unwrap_or_default().split_once(' ') {
            Some(("subscribe", topic)) => socket.subscribe(topic).await?,
            _ => match cx.publish(ROOM, message).await {
                Ok(_) => {}
                Err(error) if error.is_deadline() => socket.send("no answer")?,
                Err(error) => return Err(error.into()),
            },
        }
        Ok(())
    }

    /// Tells the sockets of `patient` clients, and lets the others close.
    async fn on_lost(&self, _: &Context<Self>, topic: &str, reason: Unrecovered, sockets: &[Socket]) -> Result {
        for socket in sockets {
            if !socket.client().as_str().starts_with("patient") {
                return Err(dog::Failure::new("it cannot go on"));
            }
            socket.send(format!("lost of {topic:?}: {reason}"))?;
        }
        Ok(())
    }
}

fn builder() -> Builder<House<Hall>> {
    Cluster::builder(House::new())
}

fn connect(cluster: &Cluster, client: &str) -> ClientSocket {
    cluster.connect(&format!("/ws?u={client}"))
}

fn publish(cluster: &Cluster, topic: &str, publication: impl Into<NewPublication>) -> Result<Position, Error> {
    let group = cluster.group::<Hall>(MAIN);
    let published = cluster.wait_for(group.publish(topic, publication));
    cluster.run();
    published
}

/// A second is what promise 17 allows.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn what_is_lost_on_the_way_comes_within_a_second_and_in_its_order() -> Result {
    let cluster = builder().start();
    let [near, far] = ["near", "far"].map(|client| connect(&cluster, client));
    publish(&cluster, ROOM, "1")?;
    cluster.cut_off_replica(far.replica());
    for text in ["2", "3"] {
        publish(&cluster, ROOM, text)?;
    }
    cluster.heal();
    assert_eq!(far.received_texts(), ["1"]);
    // Nothing follows that would show the gap.
    cluster.advance(NOTICED_WITHIN);
    assert_eq!(far.received_texts(), ["2", "3"]);
    cluster.cut_off_replica(far.replica());
    publish(&cluster, ROOM, "4")?;
    cluster.heal();
    publish(&cluster, ROOM, "5")?;
    assert_eq!(far.received_texts(), ["4", "5"], "what follows shows the gap at once");
    assert_eq!(near.received_texts(), ["1", "2", "3", "4", "5"]);
    Ok(())
}

#[test]
fn what_is_lost_after_a_quiet_time_comes_within_a_second() -> Result {
    let cluster = builder().start();
    let far = connect(&cluster, "far");
    publish(&cluster, ROOM, "1")?;
    // Nothing is left to do for the Group until the publication is too old.
    cluster.advance(10 * NOTICED_WITHIN);
    cluster.cut_off_replica(far.replica());
    publish(&cluster, ROOM, "2")?;
    cluster.heal();
    cluster.advance(NOTICED_WITHIN);
    assert_eq!(far.received_texts(), ["1", "2"]);
    Ok(())
}

#[test]
fn a_replica_whose_first_publication_was_lost_gets_it() -> Result {
    let cluster = builder().start();
    let far = connect(&cluster, "far");
    cluster.cut_off_replica(far.replica());
    publish(&cluster, ROOM, "1")?;
    cluster.heal();
    cluster.advance(NOTICED_WITHIN);
    assert_eq!(far.received_texts(), ["1"]);
    Ok(())
}

#[test]
fn a_confirmed_publication_counts_those_that_take_it_and_names_those_that_are_late() -> Result {
    let cluster = builder().start();
    let [near, far] = ["near", "far"].map(|client| connect(&cluster, client));
    let confirmed = |text: &str| {
        let report = cluster.wait_for(cluster.group::<Hall>(MAIN).publish_confirmed(ROOM, text))?;
        let missing: Vec<_> = report.missing.iter().map(|(replica, _)| *replica).collect();
        Ok::<_, Error>((report.position.offset(), report.sockets, missing))
    };
    assert_eq!(confirmed("1")?, (1, 2, vec![]));
    cluster.cut_off_replica(far.replica());
    assert_eq!(confirmed("2")?, (2, 1, vec![far.replica()]));
    publish(&cluster, ROOM, "3")?;
    cluster.heal();
    // It waits there until those that were lost have come.
    assert_eq!(confirmed("4")?, (4, 2, vec![]));
    for socket in [&near, &far] {
        assert_eq!(socket.received_texts(), ["1", "2", "3", "4"]);
    }
    far.close();
    cluster.run();
    assert_eq!(confirmed("5")?, (5, 1, vec![]));
    Ok(())
}

#[test]
fn a_quiet_room_sends_nothing() -> Result {
    let cluster = builder().count_traffic().start();
    let sockets = ["a", "b"].map(|client| connect(&cluster, client));
    publish(&cluster, ROOM, "1")?;
    cluster.advance(NOTICED_WITHIN);
    let traffic = cluster.take_traffic();
    let messages = |name| traffic.get(name).map_or(0, |amount| amount.messages);
    assert_eq!(
        ["Publication", "Missed", "Acknowledge of a log", "Head of a log"].map(messages),
        [2, 0, 2, 0],
        "each Replica gets it and acknowledges it"
    );
    publish(&cluster, ROOM, "2")?;
    cluster.advance(NOTICED_WITHIN);
    let traffic = cluster.take_traffic();
    assert_eq!((traffic.get("Missed"), traffic.get("Head of a log")), (None, None));
    cluster.advance(Duration::from_secs(10));
    let traffic = cluster.take_traffic();
    assert!(traffic.keys().all(|name| !name.contains("log") && !name.contains("Publication")), "{traffic:?}");
    for socket in sockets {
        assert_eq!(socket.received_texts(), ["1", "2"]);
    }
    Ok(())
}

#[test]
fn what_cannot_be_repaired_is_told() -> Result {
    let cluster = builder().start();
    let [patient, other] = ["patient", "other"].map(|client| connect(&cluster, client));
    for socket in [&patient, &other] {
        socket.send("subscribe t");
        cluster.run();
        publish(&cluster, "t", "before")?;
    }
    let replicas = [&patient, &other].map(ClientSocket::replica);
    replicas.iter().for_each(|replica| cluster.cut_off_replica(*replica));
    for number in 1..=5 {
        publish(&cluster, "t", number.to_string())?;
    }
    cluster.heal();
    cluster.advance(NOTICED_WITHIN);
    publish(&cluster, "t", "after")?;
    assert_eq!(patient.received_texts(), ["before", "before", "lost of \"t\": expired", "after"]);
    let close = other.closed().map(|close| (close.code().as_u16(), close.reason().to_owned()));
    assert_eq!(close, Some((1013, "expired".into())));
    assert_eq!(cluster.failures().len(), 1, "on_lost of the other");
    Ok(())
}

#[test]
fn a_replica_waits_three_seconds_and_publishes_once_with_a_key() -> Result {
    let cluster = builder().start();
    let socket = connect(&cluster, "a");
    let first = publish(&cluster, ROOM, NewPublication::new("keyed").key("k"))?;
    cluster.cut_off_group::<Hall>(MAIN);
    socket.send("unknown");
    cluster.advance(Duration::from_millis(2_900));
    assert_eq!(socket.received_texts(), ["keyed"]);
    cluster.advance(Duration::from_millis(200));
    assert_eq!(socket.received_texts(), ["no answer"]);
    cluster.heal();
    assert_eq!(publish(&cluster, ROOM, NewPublication::new("again").key("k"))?, first);
    assert_eq!(publish(&cluster, ROOM, "next")?.offset(), 2);
    assert_eq!(socket.received_texts(), ["next"]);
    Ok(())
}

#[test]
fn a_group_stays_in_memory_until_its_publications_and_keys_are_too_old() -> Result {
    let cluster = builder().hibernate_after(Duration::from_secs(1)).start();
    let first = publish(&cluster, ROOM, "1")?;
    cluster.advance(Duration::from_secs(290));
    assert!(!cluster.evict_group::<Hall>(MAIN), "its publication is not too old");
    let second = publish(&cluster, ROOM, "2")?;
    assert_eq!((second.epoch(), second.offset()), (first.epoch(), 2));
    cluster.advance(Duration::from_secs(310));
    assert!(!cluster.is_group_awake::<Hall>(MAIN), "nothing keeps it in memory");
    let third = publish(&cluster, ROOM, "3")?;
    assert!(third.epoch() != first.epoch() && third.offset() == 1);
    Ok(())
}

fn subscribe(cluster: &Cluster, client: &str) -> ClientSocket {
    let socket = connect(cluster, client);
    socket.send(format!("subscribe {DURABLE}"));
    cluster.run();
    socket
}

/// The offsets and texts that the durable log keeps.
fn kept(cluster: &Cluster) -> Result<Vec<(u64, String)>, Error> {
    let group = cluster.group::<Hall>(MAIN);
    let page = cluster.wait_for(group.history(DURABLE, None, HistoryOrder::OldestFirst, 100))?;
    let text = |message: &Message| message.as_text().unwrap_or_default().to_owned();
    Ok(page.publications.iter().map(|publication| (publication.offset, text(&publication.message))).collect())
}

#[test]
fn what_was_lost_with_a_life_of_the_group_comes_when_the_next_one_begins() -> Result {
    let cluster = builder().start();
    let [near, far] = ["near", "far"].map(|client| subscribe(&cluster, client));
    let first = publish(&cluster, DURABLE, "1")?;
    cluster.cut_off_replica(far.replica());
    publish(&cluster, DURABLE, "2")?;
    assert!(cluster.restart_group::<Hall>(MAIN));
    cluster.heal();
    // The next life begins because somebody comes. Nothing is published that would show the gap.
    let third = connect(&cluster, "third");
    cluster.advance(NOTICED_WITHIN);
    assert_eq!(far.received_texts(), ["1", "2"]);
    let next = publish(&cluster, DURABLE, "3")?;
    assert_eq!((next.epoch(), next.offset()), (first.epoch(), 3));
    assert_eq!(
        (near.received_texts(), far.received_texts()),
        (vec!["1".into(), "2".into(), "3".into()], vec!["3".into()])
    );
    assert!(third.received_texts().is_empty(), "it is not subscribed");
    Ok(())
}

#[test]
fn a_publication_that_could_not_be_stored_is_not_seen_and_has_no_offset() -> Result {
    let cluster = builder().start();
    let socket = subscribe(&cluster, "a");
    publish(&cluster, DURABLE, "1")?;
    cluster.fail_writes(true);
    let failed = publish(&cluster, DURABLE, NewPublication::new("lost").key("k")).unwrap_err();
    assert!(failed.is_storage(), "{failed}");
    cluster.fail_writes(false);
    assert_eq!(kept(&cluster)?, [(1, "1".into())]);
    assert_eq!(publish(&cluster, DURABLE, NewPublication::new("2").key("k"))?.offset(), 2);
    assert_eq!(socket.received_texts(), ["1", "2"]);
    cluster.restart_group::<Hall>(MAIN);
    assert_eq!(kept(&cluster)?, [(1, "1".into()), (2, "2".into())]);
    Ok(())
}

#[test]
fn nobody_is_told_an_epoch_that_is_not_stored() -> Result {
    let cluster = builder().start();
    let group = cluster.group::<Hall>(MAIN);
    let page = || cluster.wait_for(group.history(DURABLE, None, HistoryOrder::OldestFirst, 100));
    cluster.fail_writes(true);
    let failed = page().unwrap_err();
    assert!(failed.is_storage(), "{failed}");
    cluster.fail_writes(false);
    let head = page()?.head;
    assert_eq!(head.offset(), 0);
    let records = cluster.entries_on_disk();
    assert!(cluster.restart_group::<Hall>(MAIN));
    assert_eq!(page()?.head, head);
    assert_eq!(cluster.entries_on_disk(), records, "it is written once");
    assert_eq!(publish(&cluster, DURABLE, "1")?, Position::new(head.epoch().clone(), 1));
    assert!(cluster.restart_group::<Hall>(MAIN));
    assert_eq!(kept(&cluster)?, [(1, "1".into())]);
    Ok(())
}

#[test]
fn nothing_is_seen_before_it_is_stored_and_what_comes_meanwhile_is_stored_together() -> Result {
    const WRITE: Duration = Duration::from_millis(50);
    let cluster = builder().write_delay(WRITE).start();
    let socket = subscribe(&cluster, "a");
    cluster.advance(Duration::from_secs(1));
    let group = cluster.group::<Hall>(MAIN);
    let before = cluster.entries_on_disk();
    let all = (1..=200).map(|number| group.publish(DURABLE, number.to_string()));
    let positions = cluster.wait_for(futures_util::future::try_join_all(all))?;
    cluster.run();
    assert_eq!(positions.iter().map(Position::offset).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    assert_eq!(socket.received_texts(), (1..=200).map(|number| number.to_string()).collect::<Vec<_>>());
    let written = cluster.entries_on_disk() - before;
    // Its name, the first commit, and one or two for those that came while that was under way.
    assert!(written <= 4, "{written} records");
    Ok(())
}

#[test]
fn a_group_with_a_durable_log_may_leave_memory_and_keys_outlive_it() -> Result {
    let cluster = builder().hibernate_after(Duration::from_secs(1)).start();
    let keyed = || NewPublication::new("1").key("k");
    let first = publish(&cluster, DURABLE, keyed())?;
    cluster.advance(Duration::from_secs(5));
    assert!(!cluster.is_group_awake::<Hall>(MAIN));
    assert_eq!(publish(&cluster, DURABLE, keyed())?, first);
    cluster.advance(Duration::from_secs(5 * 60));
    let second = publish(&cluster, DURABLE, keyed())?;
    assert_eq!((second.epoch(), second.offset()), (first.epoch(), 2), "a key is known for 5 minutes");
    Ok(())
}

#[test]
fn a_durable_log_keeps_to_its_bounds_and_deletes_what_is_older() -> Result {
    let cluster = builder().start();
    for number in 1..=1100 {
        publish(&cluster, DURABLE, number.to_string())?;
    }
    let expected: Vec<_> = (101..=200).map(|number: u64| (number, number.to_string())).collect();
    assert_eq!(kept(&cluster)?, expected, "the first page of the newest 1,000");
    assert!(cluster.entries_on_disk() < 1100, "old records are deleted");
    cluster.restart_group::<Hall>(MAIN);
    assert_eq!(kept(&cluster)?, expected);
    cluster.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(kept(&cluster)?, []);
    assert_eq!(publish(&cluster, DURABLE, "next")?.offset(), 1101);
    Ok(())
}

#[test]
fn a_transaction_publishes_if_it_is_made_and_others_wait_for_it() -> Result {
    let cluster = builder().write_delay(Duration::from_millis(20)).start();
    let socket = subscribe(&cluster, "a");
    cluster.advance(Duration::from_secs(1));
    let group = cluster.group::<Hall>(MAIN);
    let mut offsets = Vec::new();
    let others = futures_util::future::try_join_all((0..10).map(|number| group.publish(DURABLE, number.to_string())));
    let (position, others) = cluster.wait_for(futures_util::future::try_join(group.call(&Outbox::Keep), others))?;
    offsets.extend(others.iter().map(Position::offset));
    offsets.push(position);
    offsets.sort_unstable();
    cluster.run();
    assert_eq!(offsets, (1..=11).collect::<Vec<u64>>());
    assert_eq!(socket.received_texts().len(), 11);
    cluster.fail_writes(true);
    assert!(cluster.wait_for(group.call(&Outbox::Keep)).is_err());
    cluster.fail_writes(false);
    assert_eq!(kept(&cluster)?.len(), 11);
    assert_eq!(cluster.stored_by_group::<Hall, u64>(MAIN, "kept"), Some(1));
    assert_eq!(cluster.wait_for(group.call(&Outbox::Keep))?, 12);
    Ok(())
}

#[test]
fn a_reset_that_is_lost_on_the_way_is_told_within_a_second() -> Result {
    for topic in ["t", DURABLE] {
        let cluster = builder().start();
        let patient = connect(&cluster, "patient");
        patient.send(format!("subscribe {topic}"));
        cluster.run();
        let before = publish(&cluster, topic, "before")?;
        cluster.cut_off_replica(patient.replica());
        let start = cluster.wait_for(cluster.group::<Hall>(MAIN).reset_log(topic))?;
        cluster.heal();
        assert!(start.epoch() != before.epoch() && start.offset() == 0);
        assert_eq!(patient.received_texts(), ["before"]);
        cluster.advance(NOTICED_WITHIN);
        assert_eq!(patient.received_texts(), [format!("lost of {topic:?}: epoch_unknown")]);
        assert_eq!(publish(&cluster, topic, "after")?, Position::new(start.epoch().clone(), 1));
        assert_eq!(patient.received_texts(), ["after"]);
    }
    Ok(())
}
