//! Publications in the formats of their sockets in the test kit: how often they are rendered, and what else that costs.

use std::cell::RefCell;
use std::time::Duration;

use dog::{
    App, ClientId, Context, Dog, Format, Group, GroupContext, Limit, Log, LogEpoch, Message, NewPublication, Position,
    Publication, ROOM, Replica, Request, Response, Result, Socket, query_param,
};
use dog_testing::{Builder, Cluster};

const NAME: &str = "main";
const PANICS: &str = "render panics";

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
        Limit::new(4)
    }

    fn log(&self, topic: &str) -> Log {
        if topic == ROOM { Log::memory() } else { Log::none() }
    }
}

struct House;

impl App for House {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
        Ok(dog.group::<Hall>(NAME).identify(&client).await?.fetch(request).await?)
    }
}

thread_local! {
    /// What was rendered: offsets and formats.
    static RENDERED: RefCell<Vec<(u64, u8)>> = const { RefCell::new(Vec::new()) };
}

fn take_rendered() -> Vec<(u64, u8)> {
    RENDERED.take()
}

struct Room;

async fn resume(socket: &Socket, since: &Position) -> Result {
    socket.resume(ROOM, since).await?.expect("the log has it");
    Ok(())
}

impl Replica for Room {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();
    const RENDERS: bool = true;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let format = query_param(&request, "f").map(|format| format.parse()).transpose()?;
        let since = query_param(&request, "since").map(|since| since.parse::<Position>()).transpose()?;
        let is_stream = request.uri().path() == "/events";
        let accept = cx.accept(request).attachment(&since).format(Format::new(format.unwrap_or(0)));
        Ok(if is_stream { accept.event_stream()? } else { accept.connect()? })
    }

    async fn on_open(&self, _: &Context<Self>, socket: &Socket) -> Result {
        match socket.attachment::<Option<Position>>()?.flatten() {
            Some(since) => resume(socket, &since).await,
            None => Ok(()),
        }
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let since = message.as_text().unwrap_or_default().parse()?;
        resume(socket, &since).await
    }

    fn render(topic: &str, epoch: &LogEpoch, publication: &Publication, format: Format) -> Message {
        assert_eq!((topic, epoch.as_str().len()), (ROOM, 32));
        let (offset, text) = (publication.offset, publication.message.as_text().unwrap_or_default());
        assert_ne!(text, PANICS);
        RENDERED.with_borrow_mut(|rendered| rendered.push((offset, format.number())));
        let metadata = String::from_utf8_lossy(&publication.metadata);
        Message::text(format!("{format} {offset} {metadata} {text}"))
    }
}

fn builder() -> Builder<House> {
    Cluster::builder(House)
}

/// Publishes these texts, each with the metadata `by ann`. Returns the last position.
fn publish<const COUNT: usize>(cluster: &Cluster, texts: [&str; COUNT]) -> Position {
    let group = cluster.group::<Hall>(NAME);
    let publication = |text: &str| NewPublication::new(text).metadata("by ann");
    let publish = |text| cluster.wait_for(group.publish(ROOM, publication(text))).expect("it has a log");
    let last = texts.map(publish).into_iter().next_back().expect("there are some");
    cluster.run();
    last
}

fn at(position: &Position, offset: u64) -> Position {
    Position::new(position.epoch().clone(), offset)
}

#[test]
fn each_replica_renders_a_publication_once_per_format() {
    let cluster = builder().start();
    let sockets: Vec<_> = [0, 1, 1, 7, 1, 1].iter().enumerate().collect();
    let sockets: Vec<_> = sockets.iter().map(|(u, f)| (**f, cluster.connect(&format!("/ws?u=c{u}&f={f}")))).collect();
    assert_eq!(cluster.replicas::<Hall>(NAME).len(), 2);
    publish(&cluster, ["hello"]);
    for (format, socket) in &sockets {
        assert_eq!(socket.received_texts(), [format!("{format} 1 by ann hello")]);
    }
    let mut rendered = take_rendered();
    rendered.sort_unstable();
    assert_eq!(rendered, [(1, 0), (1, 1), (1, 1), (1, 7)], "two Replicas have sockets of format 1");
    // Those that come back get the same bytes, at no cost.
    let first = sockets[0].1.replica();
    let head = publish(&cluster, ["again"]);
    take_rendered();
    sockets.iter().for_each(|(_, socket)| socket.vanish());
    cluster.run();
    for (number, format) in [0, 1, 7].into_iter().enumerate() {
        let back = cluster.connect(&format!("/ws?u=c{number}&f={format}&since={}", at(&head, 0)));
        assert_eq!(back.replica(), first, "clients return to their Replica");
        let expected = [format!("{format} 1 by ann hello"), format!("{format} 2 by ann again")];
        assert_eq!(back.received_texts(), expected);
    }
    assert_eq!(take_rendered(), [], "the Replica has kept what was rendered");
}

#[test]
fn an_event_stream_has_a_format_too() {
    let cluster = builder().start();
    let [first, second] = ["a&f=2", "b"].map(|query| cluster.open_events(&format!("/events?u={query}")));
    publish(&cluster, ["hello"]);
    assert_eq!(first.received_texts(), ["2 1 by ann hello"]);
    assert_eq!(second.received_texts(), ["0 1 by ann hello"]);
}

#[test]
fn a_replica_that_hibernates_is_not_woken_and_keeps_the_formats_of_its_sockets() {
    let cluster = builder().start();
    let [first, second] = ["a&f=2", "b"].map(|query| cluster.connect(&format!("/ws?u={query}")));
    assert!(cluster.evict_replica(first.replica()));
    let head = publish(&cluster, ["hello"]);
    assert!(!cluster.is_awake(first.replica()), "nobody has woken it");
    assert_eq!(first.received_texts(), ["2 1 by ann hello"]);
    assert_eq!(second.received_texts(), ["0 1 by ann hello"]);
    assert!(cluster.evict_replica(first.replica()));
    first.send(at(&head, 0).to_string());
    cluster.run();
    assert_eq!(first.received_texts(), ["2 1 by ann hello"], "the same bytes");
}

/// Messages wait for it until too much does, and it goes on from the log.
#[test]
fn a_slow_client_gets_its_format_too() {
    let cluster = builder().max_outbox(8 * 1024).start();
    let socket = cluster.connect("/ws?u=a&f=3");
    socket.stop_reading();
    let long = "x".repeat(1000);
    let head = publish(&cluster, [long.as_str(); 4]);
    socket.send(at(&head, 0).to_string());
    cluster.run();
    publish(&cluster, [long.as_str(); 20]);
    socket.read_on();
    cluster.run();
    cluster.advance(Duration::from_secs(1));
    let line = |offset: u64| format!("3 {offset} by ann {long}");
    let expected: Vec<_> = (1..=4).chain(1..=24).map(line).collect();
    assert_eq!(socket.received_texts(), expected);
}

/// The life of one Replica ends. Its siblings and the Group go on.
#[test]
fn a_panic_of_render_costs_the_object_that_has_called_it() {
    let cluster = builder().start();
    let sockets: Vec<_> = (0..5).map(|number| cluster.connect(&format!("/ws?u=c{number}"))).collect();
    let (alone, others) = sockets.split_last().expect("there are five");
    cluster.cut_off_replica(alone.replica());
    publish(&cluster, [PANICS]);
    assert!(others.iter().all(|socket| socket.closed().is_some_and(|close| close.code().as_u16() == 1011)));
    assert!(alone.is_open());
    let failures = cluster.failures();
    assert!(failures.len() == 1 && failures[0].contains("a panic"), "{failures:?}");
    let back = cluster.connect("/ws?u=c0");
    publish(&cluster, ["after"]);
    assert_eq!(back.received_texts(), ["0 2 by ann after"]);
}
