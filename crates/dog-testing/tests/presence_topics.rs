//! The presence of topics in the test kit: what is told of those who subscribe and unsubscribe, what it costs, and its bounds.

use std::time::Duration;

use dog::{
    ClientId, CloseCode, Context, Group, GroupContext, Limit, MAX_PRESENCE_TOPICS, MAX_PRESENCE_TOPICS_OF_SOCKET,
    Message, Policy, Presence, PresenceChange, PresenceNews, Replica, Request, Response, Result, Socket, TopicChange,
};
use dog_test_support::app::{House, MAIN};
use dog_testing::{Builder, ClientSocket, Cluster};

/// Topics that begin with `doc/` have a presence.
struct Library;

impl Group for Library {
    type Replica = Desk;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "library";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(200)
    }

    fn policy(&self) -> Policy {
        Policy { presence: Some(Presence::default()), ..Policy::default() }
    }

    fn has_presence(topic: &str) -> bool {
        topic.starts_with("doc/")
    }

    async fn on_topic_arrive(&self, cx: &GroupContext, topic: &str, client: &ClientId) -> Result {
        Ok(cx.broadcast_to("hooks", format!("hook {topic} +{client}"))?)
    }

    async fn on_topic_leave(&self, cx: &GroupContext, topic: &str, client: &ClientId) -> Result {
        Ok(cx.broadcast_to("hooks", format!("hook {topic} -{client}"))?)
    }
}

struct Desk;

impl Replica for Desk {
    type Group = Library;
    type Gossip = ();
    type Answer = ();
    const FOLLOWS_PRESENCE: bool = true;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    /// Subscribes to a topic, unsubscribes from it, shows a value, or says who reads a topic as far as this Replica knows.
    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let (verb, of) = message.as_text().and_then(|text| text.split_once(' ')).unwrap_or_default();
        let done = match verb {
            "subscribe" => socket.subscribe(of).await,
            "unsubscribe" => socket.unsubscribe(of),
            "show" => socket.set_presence(&of),
            _ => match cx.presence_of(of, None, 100).await {
                Ok(page) => {
                    let names: Vec<_> = page.clients.iter().map(|present| present.client.as_str()).collect();
                    socket.send(format!("there: {}", names.join(",")))
                }
                Err(error) => Err(error),
            },
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) if error.is_too_many() => Ok(socket.send("too many")?),
            Err(error) if error.is_no_presence() => Ok(socket.send("no presence")?),
            Err(error) => Err(error.into()),
        }
    }

    async fn on_presence(&self, cx: &Context<Self>, news: PresenceNews) -> Result {
        let PresenceNews::Changed { in_topics, .. } = news else { return Ok(()) };
        for TopicChange { topic, change } in in_topics {
            let client = change.client();
            cx.emit_to(
                "changes",
                match &change {
                    PresenceChange::Arrived { .. } => format!("{topic} +{client}"),
                    PresenceChange::Opened { .. } => format!("{topic} {client} opens"),
                    PresenceChange::Updated { .. } => format!("{topic} {client} is {:?}", change.value::<String>()?),
                    PresenceChange::Closed { .. } => format!("{topic} {client} closes"),
                    PresenceChange::Left { .. } => format!("{topic} -{client}"),
                },
            )?;
        }
        Ok(())
    }
}

fn builder() -> Builder<House<Library>> {
    Cluster::builder(House::new())
}

/// Long enough for a tick, and far shorter than the grace time.
const SOON: Duration = Duration::from_millis(500);

const GRACE: Duration = Duration::from_secs(5);

fn connect(cluster: &Cluster, client: &str) -> ClientSocket {
    let socket = cluster.connect(&format!("/ws?u={client}"));
    cluster.advance(SOON);
    socket
}

/// Does it, and waits until all are told.
fn act(cluster: &Cluster, socket: &ClientSocket, acts: &[&str]) {
    acts.iter().for_each(|act| socket.send(*act));
    cluster.advance(SOON);
}

/// A socket that sees what is told of topics.
fn watch(cluster: &Cluster) -> ClientSocket {
    let watcher = connect(cluster, "watcher");
    act(cluster, &watcher, &["subscribe changes", "subscribe hooks"]);
    let _ = watcher.received_texts();
    watcher
}

fn counts(cluster: &Cluster, topic: &str) -> (usize, usize) {
    let counts = cluster.wait_for(cluster.group::<Library>(MAIN).presence_counts_of(topic)).expect("an answer");
    (counts.clients, counts.connections)
}

#[test]
fn a_client_arrives_with_its_first_subscription_and_leaves_after_its_last() {
    let cluster = builder().start();
    let watcher = watch(&cluster);
    let [ann, second] = [connect(&cluster, "ann"), connect(&cluster, "ann")];
    act(&cluster, &ann, &["subscribe doc/a", "subscribe without"]);
    assert_eq!(watcher.received_texts(), ["doc/a +ann", "doc/a ann opens", "hook doc/a +ann"]);
    act(&cluster, &second, &["subscribe doc/a", "show cursor"]);
    let value = r#"doc/a ann opens"#;
    assert_eq!(watcher.received_texts(), [value]);
    assert_eq!(counts(&cluster, "doc/a"), (1, 2));
    act(&cluster, &second, &["show away"]);
    assert_eq!(watcher.received_texts(), [r#"doc/a ann is Some("away")"#]);
    act(&cluster, &ann, &["unsubscribe doc/a"]);
    act(&cluster, &second, &["unsubscribe doc/a", "subscribe doc/a"]);
    assert_eq!(watcher.received_texts(), ["doc/a ann closes"], "within a tick nothing has happened to the second");
    second.close();
    cluster.advance(GRACE - SOON);
    assert_eq!(watcher.received_texts(), ["doc/a ann closes"]);
    assert_eq!(counts(&cluster, "doc/a"), (1, 0));
    cluster.advance(SOON * 2);
    assert_eq!(watcher.received_texts(), ["doc/a -ann", "hook doc/a -ann"]);
    assert_eq!(counts(&cluster, "doc/a"), (0, 0));
}

#[test]
fn the_end_of_a_socket_and_a_disconnect_end_it_in_all_its_topics() {
    let cluster = builder().start();
    let watcher = watch(&cluster);
    let [ann, bob] = [connect(&cluster, "ann"), connect(&cluster, "bob")];
    for socket in [&ann, &bob] {
        act(&cluster, socket, &["subscribe doc/a", "subscribe doc/b"]);
    }
    bob.close();
    cluster.advance(SOON);
    let _ = watcher.received_texts();
    for client in ["ann", "bob"] {
        let client = ClientId::new(client).unwrap();
        let group = cluster.group::<Library>(MAIN);
        cluster.wait_for(group.disconnect(&client, CloseCode::POLICY, "removed")).unwrap();
        cluster.advance(SOON);
    }
    let mut told = watcher.received_texts();
    told.sort_unstable();
    let lines = |text: &str| ["doc/a", "doc/b"].map(|topic| text.replace("doc", topic));
    let mut expected: Vec<_> = ["doc ann closes", "doc -ann", "doc -bob", "hook doc -ann", "hook doc -bob"]
        .iter()
        .flat_map(|text| lines(text))
        .collect();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn a_life_of_the_group_goes_on_with_the_topics() {
    let cluster = builder().start();
    let watcher = watch(&cluster);
    let [ann, bob] = [connect(&cluster, "ann"), connect(&cluster, "bob")];
    act(&cluster, &ann, &["subscribe doc/a"]);
    act(&cluster, &bob, &["subscribe doc/a", "subscribe doc/b"]);
    let _ = watcher.received_texts();
    assert!(cluster.restart_group::<Library>(MAIN));
    bob.send("unsubscribe doc/a");
    assert_eq!(counts(&cluster, "doc/b"), (1, 1));
    cluster.advance(GRACE + SOON * 2);
    assert_eq!(watcher.received_texts(), ["doc/a bob closes", "doc/a -bob", "hook doc/a -bob"]);
    assert_eq!((counts(&cluster, "doc/a"), counts(&cluster, "doc/b")), ((1, 1), (1, 1)));
}

#[test]
fn a_replica_that_hibernates_keeps_its_topics_and_reads_them_itself() {
    let cluster = builder().hibernate_after(Duration::from_secs(1)).start();
    let ann = connect(&cluster, "ann");
    act(&cluster, &ann, &["subscribe doc/a"]);
    cluster.advance(Duration::from_secs(10));
    assert!(!cluster.is_awake(ann.replica()));
    let bob = connect(&cluster, "bob");
    act(&cluster, &bob, &["subscribe doc/a", "read doc/a", "read without"]);
    assert_eq!(bob.received_texts(), ["there: ann", "no presence"], "the Replica is told of bob with the next tick");
    act(&cluster, &bob, &["read doc/a"]);
    assert_eq!(bob.received_texts(), ["there: ann,bob"]);
}

#[test]
fn a_topic_without_a_presence_costs_nothing() {
    let cluster = builder().count_traffic().start();
    let ann = connect(&cluster, "ann");
    cluster.advance(SOON);
    let _ = cluster.take_traffic();
    act(&cluster, &ann, &["subscribe without", "unsubscribe without"]);
    let traffic = format!("{:?}", cluster.take_traffic());
    assert!(!traffic.contains("connections") && !traffic.to_lowercase().contains("presence"), "{traffic}");
    act(&cluster, &ann, &["subscribe doc/a"]);
    let traffic = format!("{:?}", cluster.take_traffic());
    assert!(traffic.contains("Report of connections") && traffic.contains("\"Presence\""), "{traffic}");
    let error = cluster.wait_for(cluster.group::<Library>(MAIN).presence_of("without", None, 1)).unwrap_err();
    assert!(error.is_no_presence() && error.to_string().contains("Group::has_presence"), "{error}");
}

#[test]
fn a_group_has_10_000_topics_with_a_presence_at_a_time() {
    let cluster = builder().start();
    let each = MAX_PRESENCE_TOPICS_OF_SOCKET;
    let sockets: Vec<_> =
        (0..MAX_PRESENCE_TOPICS.div_ceil(each)).map(|number| cluster.connect(&format!("/ws?u=u{number}"))).collect();
    for (number, socket) in sockets.iter().enumerate() {
        let first = number * each;
        let topics = first..(first + each).min(MAX_PRESENCE_TOPICS);
        topics.for_each(|topic| socket.send(format!("subscribe doc/{topic}")));
    }
    cluster.advance(Duration::from_secs(5));
    assert!(sockets.iter().all(|socket| socket.received_texts().is_empty()));
    let last = connect(&cluster, "last");
    act(&cluster, &last, &["subscribe doc/more", "subscribe doc/7", "subscribe without"]);
    assert_eq!(last.received_texts(), ["too many"], "it may subscribe to one that others are in");
    assert_eq!(counts(&cluster, "doc/7"), (2, 2));
    act(&cluster, &sockets[1], &[&format!("unsubscribe doc/{each}")]);
    act(&cluster, &last, &["subscribe doc/more"]);
    assert_eq!(last.received_texts(), ["too many"], "its client is in its grace time");
    cluster.advance(GRACE);
    act(&cluster, &last, &["subscribe doc/more"]);
    assert_eq!(last.received_texts(), [""; 0]);
    assert_eq!(counts(&cluster, "doc/more"), (1, 1));
}
