//! Topics in the test kit: when a subscription counts, what it costs, and what it outlives.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::http::StatusCode;
use dog::{Context, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, To};
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
        Limit::new(2)
    }

    /// Sends to a topic of the Group that `to` names: `/say/TOPIC?to=GROUP`.
    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        let topic = request.uri().path().trim_start_matches("/say/");
        let to = dog::query_param(&request, "to").unwrap_or_else(|| MAIN.to_owned());
        cx.dog().group::<Hall>(&to).broadcast_to(topic, topic)?;
        Ok(dog::text_response(StatusCode::OK, ""))
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

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let mut words = message.as_text().unwrap_or_default().split(' ');
        let (command, topic) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match command {
            "subscribe" => match socket.subscribe(topic).await {
                Ok(()) => socket.send("subscribed")?,
                Err(error) if error.is_deadline() => socket.send("no answer")?,
                Err(error) => socket.send(format!("refused: {error}"))?,
            },
            "unsubscribe" => socket.unsubscribe(topic)?,
            "topics" => socket.send(socket.topics().iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(","))?,
            "say" => cx.broadcast_to(topic, topic)?,
            "others" => socket.broadcast_to(topic, topic, To::Others)?,
            _ => {}
        }
        Ok(())
    }
}

fn builder() -> Builder<House<Hall>> {
    Cluster::builder(House::new())
}

/// Sends a command. Returns what this socket receives.
fn tell(cluster: &Cluster, socket: &ClientSocket, command: &str) -> Vec<String> {
    socket.send(command);
    cluster.run();
    socket.received_texts()
}

/// Sockets of `a`, `b` and `c`: two on one Replica, one on another.
fn three(cluster: &Cluster) -> [ClientSocket; 3] {
    let sockets = ["a", "b", "c"].map(|name| cluster.connect(&format!("/ws?u={name}")));
    assert!(sockets[0].replica() == sockets[1].replica() && sockets[1].replica() != sockets[2].replica());
    sockets
}

/// What each socket hears when `speaker` sends to the topic `t`.
fn hear(cluster: &Cluster, sockets: &[ClientSocket], speaker: usize) -> Vec<bool> {
    sockets[speaker].send("say t");
    cluster.run();
    sockets.iter().map(|socket| !socket.received_texts().is_empty()).collect()
}

#[test]
fn a_subscription_waits_for_the_group_and_is_none_if_it_does_not_answer() {
    let cluster = builder().start();
    let sockets = three(&cluster);
    cluster.cut_off_group::<Hall>(MAIN);
    assert_eq!(tell(&cluster, &sockets[0], "subscribe t"), Vec::<String>::new(), "it waits");
    cluster.advance(Duration::from_secs(4));
    assert_eq!(sockets[0].received_texts(), ["no answer"]);
    assert_eq!(tell(&cluster, &sockets[0], "topics"), [""]);
    assert_eq!(hear(&cluster, &sockets, 2), [false, false, false]);
    cluster.heal();
    assert_eq!(
        tell(&cluster, &sockets[0], "subscribe t"),
        Vec::<String>::new(),
        "the report before it waits for its answer"
    );
    cluster.advance(Duration::from_secs(2));
    assert_eq!(sockets[0].received_texts(), ["subscribed"]);
    assert_eq!(hear(&cluster, &sockets, 2), [true, false, false]);
}

#[test]
fn only_the_first_subscriber_of_a_replica_asks_the_group() {
    let cluster = builder().count_traffic().start();
    let sockets = three(&cluster);
    cluster.advance(Duration::from_secs(2));
    let counts = |cluster: &Cluster| -> BTreeMap<&'static str, u64> {
        cluster.take_traffic().iter().map(|(name, amount)| (*name, amount.messages)).collect()
    };
    drop(counts(&cluster));
    let asked = BTreeMap::from([("Interest", 1), ("Interest, answered", 1)]);
    assert_eq!(tell(&cluster, &sockets[0], "subscribe t"), ["subscribed"]);
    assert_eq!(counts(&cluster), asked);
    for socket in &sockets[..2] {
        assert_eq!(tell(&cluster, socket, "subscribe t"), ["subscribed"]);
    }
    assert_eq!(counts(&cluster), BTreeMap::new());
    assert_eq!(tell(&cluster, &sockets[2], "subscribe t"), ["subscribed"]);
    assert_eq!(counts(&cluster), asked);
    tell(&cluster, &sockets[0], "unsubscribe t");
    cluster.advance(Duration::from_secs(2));
    assert_eq!(counts(&cluster), BTreeMap::new(), "another is left");
    tell(&cluster, &sockets[1], "unsubscribe t");
    cluster.advance(Duration::from_secs(2));
    assert_eq!(counts(&cluster), asked);
    assert_eq!(hear(&cluster, &sockets, 0), [false, false, true]);
    assert_eq!(counts(&cluster), BTreeMap::from([("Deliver to a topic", 1)]));
}

/// The Group is told to send to a topic: which of these sockets hear it, and how many messages go to Replicas.
fn group_says(cluster: &Cluster, sockets: &[ClientSocket], topic: &str) -> (Vec<bool>, u64) {
    drop(cluster.take_traffic());
    assert_eq!(cluster.get(&format!("/say/{topic}")).status(), StatusCode::OK);
    cluster.run();
    let sent = cluster.take_traffic().get("Deliver to a topic").map_or(0, |amount| amount.messages);
    (sockets.iter().map(|socket| socket.received_texts() == [topic]).collect(), sent)
}

#[test]
fn the_group_sends_to_replicas_with_subscribers_and_to_those_that_it_does_not_know() {
    let cluster = builder().count_traffic().start();
    let sockets = three(&cluster);
    assert_eq!(tell(&cluster, &sockets[0], "subscribe t"), ["subscribed"]);
    assert_eq!(group_says(&cluster, &sockets, "t"), (vec![true, false, false], 2), "the other Replica is unknown");
    assert_eq!(group_says(&cluster, &sockets, "t"), (vec![true, false, false], 1), "it was asked");
    assert_eq!(group_says(&cluster, &sockets, "u"), (vec![false; 3], 0));
    assert!(cluster.restart_group::<Hall>(MAIN));
    assert_eq!(group_says(&cluster, &sockets, "t"), (vec![true, false, false], 2));
    assert_eq!(group_says(&cluster, &sockets, "t"), (vec![true, false, false], 1));
    assert_eq!(tell(&cluster, &sockets[2], "subscribe t"), ["subscribed"]);
    for socket in [&sockets[0], &sockets[2]] {
        assert!(cluster.evict_replica(socket.replica()));
    }
    assert_eq!(group_says(&cluster, &sockets, "t"), (vec![true, false, true], 2));
    assert!(!cluster.is_awake(sockets[0].replica()), "a message does not need the value");
    assert_eq!(group_says(&cluster, &sockets, "u"), (vec![false; 3], 0));
    assert!(!cluster.is_awake(sockets[2].replica()));
}

#[test]
fn a_topic_of_a_group_that_does_not_exist_leaves_nothing_behind() {
    let cluster = builder().count_traffic().start();
    assert_eq!(group_says(&cluster, &[], "t"), (Vec::new(), 0), "this Group exists from now on");
    let before = (cluster.objects_in_memory(), cluster.entries_on_disk());
    assert_eq!(group_says(&cluster, &[], "t?to=nobody"), (Vec::new(), 0));
    assert_eq!((cluster.objects_in_memory(), cluster.entries_on_disk()), before);
}

#[test]
fn subscriptions_outlive_hibernation_and_lives_of_the_group() {
    let cluster = builder().start();
    let sockets = three(&cluster);
    for socket in &sockets[1..] {
        assert_eq!(tell(&cluster, socket, "subscribe t"), ["subscribed"]);
    }
    for round in 0..3 {
        for socket in [&sockets[0], &sockets[2]] {
            assert!(cluster.evict_replica(socket.replica()) && !cluster.is_awake(socket.replica()));
        }
        assert_eq!(hear(&cluster, &sockets, 2), [false, true, true], "round {round}");
        assert_eq!(tell(&cluster, &sockets[1], "topics"), ["t"]);
        assert!(cluster.restart_group::<Hall>(MAIN));
        assert_eq!(hear(&cluster, &sockets, 0), [false, true, true], "round {round}");
        assert_eq!(tell(&cluster, &sockets[0], "subscribe u"), ["subscribed"]);
        tell(&cluster, &sockets[0], "unsubscribe u");
    }
}

#[test]
fn the_sender_can_be_left_out() {
    let cluster = builder().start();
    let sockets = three(&cluster);
    for socket in &sockets {
        assert_eq!(tell(&cluster, socket, "subscribe t"), ["subscribed"]);
    }
    assert_eq!(tell(&cluster, &sockets[0], "others t"), Vec::<String>::new());
    assert_eq!((sockets[1].received_texts(), sockets[2].received_texts()), (vec!["t".into()], vec!["t".into()]));
}

#[test]
fn a_socket_that_has_gone_leaves_nothing_behind() {
    let cluster = builder().hibernate_after(Duration::from_secs(1)).start();
    let sockets = three(&cluster);
    for (socket, topic) in sockets.iter().zip(["t", "t", "u"]) {
        assert_eq!(tell(&cluster, socket, &format!("subscribe {topic}")), ["subscribed"]);
    }
    sockets[0].close();
    cluster.run();
    assert_eq!(hear(&cluster, &sockets[1..], 1), [true, false], "the other subscriber is still there");
    sockets[1].vanish();
    sockets[2].close();
    cluster.advance(Duration::from_secs(600));
    assert_eq!((cluster.objects_in_memory(), cluster.entries_on_disk()), (0, 0));
}
