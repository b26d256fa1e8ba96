//! Sockets whose `on_open` sends first, in the test kit: what others send waits, and not without a bound.

use std::time::Duration;

use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, HistoryOrder, Limit, Log, Message, ROOM, Replica, Request,
    Response, Result, Socket, SocketError, To, query_param,
};
use dog_testing::{ClientSocket, Cluster};

const NAME: &str = "main";

struct House;

impl App for House {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
        Ok(dog.group::<Hall>(NAME).identify(&client).await?.fetch(request).await?)
    }
}

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
        Limit::new(1001)
    }

    fn log(&self, _: &str) -> Log {
        Log::durable()
    }
}

struct Room;

/// How long `on_open` waits.
const THOUGHT: Duration = Duration::from_secs(2);

impl Replica for Room {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let client = query_param(&request, "u").unwrap_or_default();
        let accept = if client == "plain" { cx.accept(request) } else { cx.accept(request).on_open_first() };
        Ok(accept.connect()?)
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        let client = socket.client().as_str();
        match client {
            "never" => {
                cx.stopping().await;
                return Ok(());
            }
            _ if client.starts_with("reader") => {
                let page = cx.history(ROOM, None, HistoryOrder::NewestFirst, 50).await?;
                socket.send(format!("{} until {}", page.publications.len(), page.head.offset()))?;
                socket.resume(ROOM, &page.head).await?.map_err(|reason| dog::Failure::new(reason.as_str()))?;
                return Ok(());
            }
            "plain" => return Ok(()),
            _ => {}
        }
        socket.send("1")?;
        cx.sleep(THOUGHT).await;
        if client == "failing" {
            return Err(dog::Failure::new("on purpose"));
        }
        socket.send("2")?;
        Ok(socket.broadcast("of itself", To::Everyone)?)
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        Ok(socket.broadcast(message, To::Everyone)?)
    }

    async fn on_error(&self, cx: &Context<Self>, socket: &Socket, error: &SocketError) -> Result {
        Ok(cx.emit(format!("{}: {}, {}", socket.client(), error.is_handler(), error.close().reason()))?)
    }
}

fn connect(cluster: &Cluster, client: &str) -> ClientSocket {
    cluster.connect(&format!("/ws?u={client}"))
}

fn say(cluster: &Cluster, socket: &ClientSocket, text: &str) {
    socket.send(text);
    cluster.run();
}

#[test]
fn what_others_send_follows_what_on_open_sends() {
    let cluster = Cluster::new(House);
    let plain = connect(&cluster, "plain");
    let first = connect(&cluster, "first");
    for text in ["a", "b"] {
        say(&cluster, &plain, text);
    }
    assert_eq!((first.received_texts(), plain.received_texts()), (vec!["1".into()], vec!["a".into(), "b".into()]));
    cluster.advance(THOUGHT);
    assert_eq!(first.received_texts(), ["2", "a", "b", "of itself"]);
    say(&cluster, &plain, "c");
    assert_eq!(first.received_texts(), ["c"]);
    assert_eq!(plain.received_texts(), ["of itself", "c"]);
}

#[test]
fn what_waits_for_an_on_open_that_fails_or_whose_socket_closes_is_dropped() {
    let cluster = Cluster::new(House);
    let plain = connect(&cluster, "plain");
    let [failing, removed] = ["failing", "removed"].map(|client| connect(&cluster, client));
    say(&cluster, &plain, "a");
    let group = cluster.group::<Hall>(NAME);
    let closed = cluster.wait_for(group.disconnect(
        &ClientId::new("removed").expect("it is a name"),
        dog::CloseCode::POLICY,
        "removed",
    ));
    assert_eq!(closed.expect("the Group answers").sockets, 1);
    cluster.advance(THOUGHT);
    assert_eq!((failing.received_texts(), removed.received_texts()), (vec!["1".into()], vec!["1".into()]));
    let code = |socket: &ClientSocket| socket.closed().map(|close| close.code().as_u16());
    assert_eq!([code(&failing), code(&removed)], [Some(1011), Some(1008)]);
}

/// The other sockets notice nothing.
#[test]
fn an_on_open_for_which_too_much_waits_or_for_too_long_costs_its_socket() {
    let long = "x".repeat(64 * 1024);
    for (texts, seconds) in [(vec!["x"; 1001], 0), (vec![&*long; 5], 0), (vec!["x"], 10)] {
        let cluster = Cluster::new(House);
        let plain = connect(&cluster, "plain");
        let never = connect(&cluster, "never");
        texts.iter().for_each(|text| say(&cluster, &plain, text));
        assert_eq!(never.is_open(), seconds > 0, "{} messages", texts.len());
        cluster.advance(Duration::from_secs(seconds));
        let close = never.closed().map(|close| (close.code().as_u16(), close.reason().to_owned()));
        assert_eq!(close, Some((1013, "on_open took too long".into())));
        assert!(never.received().is_empty());
        assert_eq!(plain.received_texts().len(), texts.len());
        assert!(plain.is_open());
    }
}

/// A question for the newest page that is under way may be older than what a client has seen, so the next ones share another.
#[test]
fn a_thousand_that_open_at_once_and_read_the_history_cost_the_group_two_calls() {
    let cluster = Cluster::builder(House).count_traffic().start();
    let publish = |number: u64| {
        let group = cluster.group::<Hall>(NAME);
        cluster.wait_for(group.publish(ROOM, number.to_string())).expect("it has a log");
    };
    (1..=60).for_each(publish);
    let path = |number: usize| format!("/ws?u=reader{number}");
    let requests: Vec<_> = (0..1000).map(|number| cluster.begin(dog_testing::websocket(&path(number)))).collect();
    drop(cluster.take_traffic());
    cluster.run();
    let traffic = cluster.take_traffic();
    let calls = |name| traffic.get(name).map_or(0, |amount| amount.messages);
    assert!((1..=2).contains(&calls("Log")), "{traffic:?}");
    assert_eq!(calls("Tail"), 1);
    publish(61);
    cluster.run();
    for (number, request) in requests.iter().enumerate() {
        let Some(Ok(socket)) = request.answer() else { panic!("{number} has no socket") };
        assert_eq!(socket.received_texts(), ["50 until 60", "61"], "client {number}");
    }
}

#[test]
fn a_question_waits_for_the_publications_before_it_if_they_store_the_epoch() -> Result {
    let cluster = Cluster::builder(House).write_delay(Duration::from_millis(50)).start();
    let group = cluster.group::<Hall>(NAME);
    let history = group.history(ROOM, None, HistoryOrder::OldestFirst, 100);
    let both = futures_util::future::try_join(group.publish(ROOM, "1"), history);
    let (position, page) = cluster.wait_for(both)?;
    assert_eq!((page.head, page.publications.len()), (position, 1));
    Ok(())
}
