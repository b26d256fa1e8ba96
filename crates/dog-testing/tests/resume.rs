//! Clients that come back in the test kit: what they are told, what they get, and what it costs their Group.

use std::marker::PhantomData;
use std::time::Duration;

use dog::{
    Anonymous, App, ClientId, Context, Dog, Group, GroupContext, HistoryOrder, Limit, Log, Message, NewPublication,
    Policy, Position, ROOM, Replica, Request, Response, Result, Socket, Unrecovered, query_param,
};
use dog_testing::{Builder, ClientSocket, Cluster};

const NAME: &str = "main";

/// A Group with this many seats per Replica.
struct Hall<const SEATS: u32>;

impl<const SEATS: u32> Group for Hall<SEATS> {
    type Replica = Room<Self>;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(SEATS)
    }

    fn policy(&self) -> Policy {
        Policy { resume_publications: 60, ..Policy::default() }
    }

    fn log(&self, topic: &str) -> Log {
        match topic {
            ROOM => Log::memory(),
            "short" => Log::memory().publications(3),
            _ => Log::none(),
        }
    }
}

/// A request of `/stranger` has a client that is never assigned.
struct House<G>(PhantomData<fn() -> G>);

impl<G: Group> App for House<G> {
    type Groups = (G,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let group = dog.group::<G>(NAME);
        let seat = match query_param(&request, "u") {
            Some(name) => group.identify(&ClientId::new(name)?).await?,
            None => group.identify_anonymous(Anonymous::UntilAssigned).await?,
        };
        Ok(seat.fetch(request).await?)
    }
}

struct Room<G>(PhantomData<fn() -> G>);

impl<G: Group<Replica = Self>> Replica for Room<G> {
    type Group = G;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self(PhantomData))
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let since = query_param(&request, "since").map(|since| since.parse::<Position>()).transpose()?;
        Ok(cx.connect_with(request, &since)?)
    }

    /// Goes on in the room where the client has been, or with the newest two.
    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        if socket.client().as_str().starts_with("thoughtful") {
            cx.sleep(THOUGHT).await;
        }
        match socket.attachment::<Option<Position>>()?.flatten() {
            Some(since) => go_on(socket, ROOM, &since).await,
            None if socket.client().as_str().starts_with("reader") => {
                let page = cx.history(ROOM, None, HistoryOrder::NewestFirst, 2).await?;
                cx.sleep(THOUGHT).await;
                page.publications.iter().rev().try_for_each(|each| socket.send(each.message.clone()))?;
                go_on(socket, ROOM, &page.head).await
            }
            None => Ok(()),
        }
    }

    /// `subscribe TOPIC`, or `resume TOPIC POSITION`.
    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let words: Vec<_> = message.as_text().unwrap_or_default().split(' ').collect();
        match words[..] {
            ["subscribe", topic] => Ok(socket.subscribe(topic).await?),
            ["resume", topic, since] => go_on(socket, topic, &since.parse()?).await,
            _ => panic!("{words:?}"),
        }
    }

    async fn on_lost(&self, _: &Context<Self>, _: &str, reason: Unrecovered, sockets: &[Socket]) -> Result {
        Ok(sockets.iter().try_for_each(|socket| socket.send(format!("lost: {reason}")))?)
    }
}

/// How long the `on_open` of some clients waits.
const THOUGHT: Duration = Duration::from_secs(2);

async fn go_on(socket: &Socket, topic: &str, since: &Position) -> Result {
    let told = match socket.resume(topic, since).await {
        Ok(Ok(recovered)) => format!("missed {} until {}", recovered.count, recovered.position.offset()),
        Ok(Err(reason)) => format!("not recovered: {reason}"),
        Err(error) => format!("error: {}", error.is_no_log()),
    };
    Ok(socket.send(told)?)
}

fn builder<const SEATS: u32>() -> Builder<House<Hall<SEATS>>> {
    Cluster::builder(House(PhantomData))
}

fn connect(cluster: &Cluster, client: &str, since: Option<&Position>) -> ClientSocket {
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    cluster.connect(&format!("/ws?u={client}{since}"))
}

fn publish<const SEATS: u32>(
    cluster: &Cluster,
    topic: &str,
    texts: impl IntoIterator<Item = impl ToString>,
) -> Position {
    let group = cluster.group::<Hall<SEATS>>(NAME);
    let publish =
        |text: String| cluster.wait_for(group.publish(topic, NewPublication::new(text))).expect("it has a log");
    let last = texts.into_iter().map(|text| publish(text.to_string())).last().expect("there are some");
    cluster.run();
    last
}

fn at(position: &Position, offset: u64) -> Position {
    Position::new(position.epoch().clone(), offset)
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn a_client_goes_on_where_it_was_and_others_notice_nothing() {
    let cluster = builder::<1>().start();
    let stays = connect(&cluster, "stays", None);
    let head = publish::<1>(&cluster, ROOM, 1..=5);
    let back = connect(&cluster, "back", Some(&at(&head, 2)));
    assert_eq!(back.received_texts(), ["missed 3 until 5", "3", "4", "5"]);
    publish::<1>(&cluster, ROOM, [6]);
    assert_eq!((back.received_texts(), stays.received_texts()), (numbers(6..=6), numbers(1..=6)));
    let current = connect(&cluster, "current", Some(&at(&head, 6)));
    publish::<1>(&cluster, ROOM, [7]);
    assert_eq!(current.received_texts(), ["missed 0 until 6", "7"]);
}

/// What is published while `on_open` waits comes after what the client has missed, and once.
#[test]
fn publications_to_the_room_wait_for_on_open() {
    let cluster = builder::<3>().start();
    let head = publish::<3>(&cluster, ROOM, 1..=3);
    let clients = ["thoughtful back", "thoughtful new", "reader"];
    let [back, new, reader] = clients.map(|client| client.replace(' ', "-"));
    let back = connect(&cluster, &back, Some(&at(&head, 1)));
    let [new, reader] = [&new, &reader].map(|client| connect(&cluster, client, None));
    publish::<3>(&cluster, ROOM, 4..=5);
    for socket in [&back, &new, &reader] {
        assert_eq!(socket.received_texts(), [""; 0]);
    }
    cluster.advance(THOUGHT);
    publish::<3>(&cluster, ROOM, [6]);
    assert_eq!(back.received_texts(), ["missed 4 until 5", "2", "3", "4", "5", "6"]);
    assert_eq!(new.received_texts(), numbers(4..=6), "those since it has opened");
    assert_eq!(reader.received_texts(), ["2", "3", "missed 2 until 5", "4", "5", "6"]);
}

#[test]
fn every_reason_is_told_and_changes_nothing() {
    let cluster = builder::<1>().start();
    let room = publish::<1>(&cluster, ROOM, 1..=70);
    let short = publish::<1>(&cluster, "short", 1..=9);
    let other: Position = "other:1".parse().expect("it is a position");
    let socket = connect(&cluster, "a", None);
    for (topic, since, told) in [
        ("short", at(&short, 1), "not recovered: expired"),
        ("short", at(&short, 100), "not recovered: future"),
        ("short", other, "not recovered: epoch_unknown"),
        (ROOM, at(&room, 1), "not recovered: gap_too_large"),
        ("none", at(&room, 1), "error: true"),
    ] {
        socket.send(format!("resume {topic} {since}"));
        cluster.run();
        assert_eq!(socket.received_texts(), [told], "{topic} {since}");
        publish::<1>(&cluster, "short", ["not subscribed"]);
        publish::<1>(&cluster, ROOM, ["room"]);
        assert_eq!(socket.received_texts(), ["room"]);
    }
    let stranger = cluster.connect(&format!("/ws?since={room}"));
    assert_eq!(stranger.received_texts(), ["not recovered: not_permitted"]);
    socket.send(format!("resume short {}", at(&short, 13)));
    cluster.run();
    publish::<1>(&cluster, "short", ["live"]);
    assert_eq!(socket.received_texts(), ["missed 1 until 14", "not subscribed", "live"]);
}

/// A thousand clients come back to one Replica at the same time.
#[test]
fn a_thousand_that_return_at_once_cost_the_group_one_call() {
    let cluster = builder::<1001>().count_traffic().start();
    let head = publish::<1001>(&cluster, ROOM, 1..=50);
    let path = |number: usize| format!("/ws?u=client{number}&since={}", at(&head, number as u64 % 50));
    let requests: Vec<_> = (0..1000).map(|number| cluster.begin(dog_testing::websocket(&path(number)))).collect();
    cluster.run();
    let traffic = cluster.take_traffic();
    let calls = |name| traffic.get(name).map_or(0, |amount| amount.messages);
    assert_eq!(["Tail", "Missed"].map(calls), [1, 0]);
    for (number, request) in requests.iter().enumerate() {
        let Some(Ok(socket)) = request.answer() else { panic!("{number} has no socket") };
        let since = number as u64 % 50;
        let mut expected = vec![format!("missed {} until 50", 50 - since)];
        expected.extend(numbers(since + 1..=50));
        assert_eq!(socket.received_texts(), expected, "client {number}");
    }
    // Now the Replica keeps them.
    let later = connect(&cluster, "client1", Some(&at(&head, 49)));
    assert_eq!(later.received_texts(), ["missed 1 until 50", "50"]);
    assert_eq!(cluster.take_traffic().get("Tail"), None);
}

/// More is published while a client does not read than its Replica keeps: it goes on from the log.
#[test]
fn a_client_that_does_not_read_is_never_slow_because_of_the_replay() {
    let cluster = builder::<2>().max_outbox(8 * 1024).count_traffic().start();
    let long = |number: u64| format!("{number:01000}");
    let head = publish::<2>(&cluster, ROOM, (1..=40).map(long));
    let socket = connect(&cluster, "back", None);
    socket.stop_reading();
    socket.send(format!("resume  {}", at(&head, 0)));
    cluster.run();
    publish::<2>(&cluster, ROOM, (41..=100).map(long));
    assert!(socket.is_open());
    socket.read_on();
    cluster.run();
    cluster.advance(Duration::from_secs(1));
    publish::<2>(&cluster, ROOM, [101].map(long));
    let mut expected = vec!["missed 40 until 40".to_owned()];
    expected.extend((1..=101).map(long));
    assert_eq!(socket.received_texts(), expected);
    let traffic = cluster.take_traffic();
    assert!(traffic.get("Missed").is_some_and(|calls| calls.messages <= 2), "{traffic:?}");
}

#[test]
fn a_replay_outlives_the_hibernation_of_its_replica() {
    let cluster = builder::<2>().max_outbox(8 * 1024).start();
    let long = |number: u64| format!("{number:01000}");
    let head = publish::<2>(&cluster, ROOM, (1..=40).map(long));
    let socket = connect(&cluster, "back", None);
    socket.stop_reading();
    socket.send(format!("resume  {}", at(&head, 0)));
    cluster.run();
    assert!(cluster.evict_replica(socket.replica()));
    socket.read_on();
    cluster.run();
    cluster.advance(Duration::from_secs(1));
    assert!(!cluster.is_awake(socket.replica()), "nobody has woken it");
    let mut expected = vec!["missed 40 until 40".to_owned()];
    expected.extend((1..=40).map(long));
    assert_eq!(socket.received_texts(), expected);
}

/// Whom `on_lost` leaves open gets what the new epoch has had before its Replica noticed it.
#[test]
fn a_new_epoch_is_heard_from_its_beginning() {
    let cluster = builder::<1>().start();
    let far = connect(&cluster, "far", None);
    publish::<1>(&cluster, ROOM, [1]);
    cluster.cut_off_replica(far.replica());
    assert!(cluster.restart_group::<Hall<1>>(NAME));
    publish::<1>(&cluster, ROOM, 11..=13);
    cluster.heal();
    cluster.advance(Duration::from_secs(5));
    publish::<1>(&cluster, ROOM, [14]);
    assert_eq!(far.received_texts(), ["1", "lost: epoch_unknown", "11", "12", "13", "14"]);
}
