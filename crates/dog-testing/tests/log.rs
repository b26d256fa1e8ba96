//! Publications in the test kit: what is lost on the way, what cannot be repaired, and how long a log keeps its Group in memory.

use std::time::Duration;

use dog::{
    Context, Error, Group, GroupContext, Limit, Log, Message, NewPublication, Position, ROOM, Replica, Request,
    Response, Result, Socket, Unrecovered,
};
use dog_test_support::app::{House, MAIN};
use dog_testing::{Builder, ClientSocket, Cluster};

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
        if topic == ROOM { Log::memory() } else { Log::memory().publications(3) }
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
