//! The way to the Groups of a server from the rest of its process.

use std::cell::Cell;
use std::future::{pending, ready};
use std::ops::RangeInclusive;
use std::thread::JoinHandle;
use std::time::Duration;

use dog::{
    ClientId, CloseCode, Context, Failure, Group, GroupContext, HistoryOrder, Limit, Log, NewPublication, Policy,
    Presence, ROOM, Replica, Request, Response, Result, Socket,
};
use dog_native::{Handle, Server};
use dog_test_support::app::{House, Plain};
use dog_test_support::client::Client;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Builder;
use tokio_tungstenite::tungstenite::Message;

/// Adds to a sum.
struct Sum {
    sum: Cell<u64>,
}

impl Group for Sum {
    type Replica = Listeners;
    type Call = u64;
    type Reply = u64;
    const NAME: &'static str = "sum";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self { sum: Cell::default() })
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    fn policy(&self) -> Policy {
        Policy { call_deadline: Duration::from_millis(100), presence: Some(Presence::default()), ..Policy::default() }
    }

    fn has_presence(topic: &str) -> bool {
        topic == "ann"
    }

    fn log(&self, topic: &str) -> Log {
        if topic == ROOM { Log::memory() } else { Log::none() }
    }

    async fn on_call(&self, _: &GroupContext, number: u64) -> Result<u64> {
        match number {
            13 => Err(Failure::new("the secret")),
            99 => pending().await,
            number => {
                self.sum.update(|sum| sum + number);
                Ok(self.sum.get())
            }
        }
    }
}

/// Each socket is subscribed to a topic with the name of its client.
struct Listeners;

impl Replica for Listeners {
    type Group = Sum;
    type Gossip = ();
    type Answer = usize;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, _: &Context<Self>, socket: &Socket) -> Result {
        socket.subscribe(socket.client().as_str()).await?;
        Ok(socket.send("subscribed")?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, (): ()) -> Result<usize> {
        Ok(cx.sockets().count())
    }
}

/// A Group that the App does not run.
struct Elsewhere;

impl Group for Elsewhere {
    type Replica = Plain<Self>;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "elsewhere";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }
}

fn server() -> Server<House<Sum>> {
    Server::new(House::new()).bind("127.0.0.1:0").workers(2)
}

/// Calls with each of `numbers`, on a thread of its own. So everything that is used there must be `Send`.
fn calls(handle: &Handle<House<Sum>>, name: &'static str, numbers: RangeInclusive<u64>) -> JoinHandle<usize> {
    let group = handle.group::<Sum>(name);
    std::thread::spawn(move || {
        let answers = numbers.map(|number| group.call(&number)).collect::<FuturesUnordered<_>>();
        let runtime = Builder::new_current_thread().build().expect("the system has room for a runtime");
        runtime.block_on(answers.filter(|answer| ready(answer.is_ok())).count())
    })
}

#[tokio::test]
async fn groups_are_called_from_any_thread() {
    let server = server();
    let handle = server.handle();
    let running = server.start().await.expect("the server starts");
    let threads = ["one", "two", "one"].map(|name| calls(&handle, name, 14..=63));
    for thread in threads {
        assert_eq!(thread.join().ok(), Some(50));
    }
    let sum: u64 = (14..=63).sum();
    assert_eq!(handle.group::<Sum>("one").call(&0).await.ok(), Some(2 * sum));
    assert_eq!(running.handle().group::<Sum>("two").call(&0).await.ok(), Some(sum));
    running.shutdown().await;
}

#[tokio::test]
async fn sockets_are_reached_counted_and_closed_without_a_seat() {
    let server = server();
    let handle = server.handle();
    let running = server.start().await.expect("the server starts");
    let group = handle.group::<Sum>("main");
    let (ann, bob) = (ClientId::new("ann").expect("valid"), ClientId::new("bob").expect("valid"));
    assert_eq!(group.count().await.expect("an answer").sockets, 0);
    assert_eq!(group.broadcast_confirmed("nobody").await.expect("an answer").sockets, 0);
    // One seat per Replica: each has its own.
    let mut first = Client::connect(running.local_addr(), "/?u=ann").await;
    let mut second = Client::connect(running.local_addr(), "/?u=bob").await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.next_raw().await, Message::text("subscribed"));
    }
    let counted = async { while group.count().await.expect("an answer").sockets < 2 {} };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("the books follow the sockets");
    assert_eq!(group.broadcast_confirmed("all").await.expect("an answer").sockets, 2);
    group.broadcast("again").expect("the server runs");
    assert!(group.broadcast_to("", "no topic").unwrap_err().is_invalid_topic());
    group.broadcast_to("bob", "topic").expect("the server runs");
    assert_eq!(group.whisper(&bob, "bob").await.expect("an answer").sockets, 1);
    assert_eq!(group.gossip(&()).await.expect("an answer").into_answers().sum::<usize>(), 2);
    for (client, texts) in [(&mut first, &["all", "again"][..]), (&mut second, &["all", "again", "topic", "bob"])] {
        for text in texts {
            assert_eq!(client.next_raw().await, Message::text(*text));
        }
    }
    let page = group.clients(None, 10).await.expect("an answer");
    assert_eq!((page.clients, page.next), (vec![(ann.clone(), 1), (bob, 1)], None));
    assert_eq!(group.disconnect(&ann, CloseCode::POLICY, "removed").await.expect("an answer").sockets, 1);
    assert!(matches!(first.next_raw().await, Message::Close(Some(close)) if close.reason.as_str() == "removed"));
    drop((first, second));
    running.shutdown().await;
}

#[tokio::test]
async fn those_who_are_there_are_listed_without_a_seat() {
    let server = server();
    let handle = server.handle();
    let running = server.start().await.expect("the server starts");
    let group = handle.group::<Sum>("main");
    assert_eq!(group.presence_counts().await.expect("an answer").clients, 0);
    let mut client = Client::connect(running.local_addr(), "/?u=ann").await;
    assert_eq!(client.next_raw().await, Message::text("subscribed"));
    let counted = async { while group.presence_counts().await.expect("an answer").clients < 1 {} };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("the presence follows the sockets");
    let page = group.presence(None, 10).await.expect("an answer");
    let there: Vec<_> = page.clients.iter().map(|each| (each.client.as_str(), each.connections.len())).collect();
    assert_eq!((there, page.next), (vec![("ann", 1)], None));
    let counted = async { while group.presence_counts_of("ann").await.expect("an answer").clients < 1 {} };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("the topic has a presence");
    let page = group.presence_of("ann", None, 10).await.expect("an answer");
    let there: Vec<_> = page.clients.iter().map(|each| (each.client.as_str(), each.connections.len())).collect();
    assert_eq!((there, page.next), (vec![("ann", 1)], None));
    assert!(group.presence_counts_of("other").await.expect_err("it has none").is_no_presence());
    assert!(group.presence_of("", None, 10).await.expect_err("it is no topic").is_invalid_topic());
    drop(client);
    running.shutdown().await;
}

#[tokio::test]
async fn publications_have_the_order_of_their_calls_and_are_in_the_history() {
    let server = server();
    let handle = server.handle();
    let running = server.start().await.expect("the server starts");
    let group = handle.group::<Sum>("main");
    let mut client = Client::connect(running.local_addr(), "/?u=ann").await;
    assert_eq!(client.next_raw().await, Message::text("subscribed"));
    let publish = |number: u64| group.publish(ROOM, NewPublication::new(number.to_string()).key(number.to_string()));
    let positions = futures_util::future::try_join_all((1..=20).map(publish)).await.expect("published");
    for (number, position) in (1..=20).zip(&positions) {
        assert_eq!((position.epoch(), position.offset()), (positions[0].epoch(), number));
        assert_eq!(client.next_raw().await, Message::text(number.to_string()));
    }
    assert_eq!(publish(7).await.expect("published before"), positions[6]);
    let page = group.history(ROOM, Some(&positions[4]), HistoryOrder::NewestFirst, 2).await.expect("a page");
    let texts: Vec<_> = page.publications.iter().filter_map(|publication| publication.message.as_text()).collect();
    assert_eq!((texts, page.more, page.last().as_ref()), (vec!["4", "3"], true, Some(&positions[2])));
    let report = group.publish_confirmed(ROOM, "counted").await.expect("published");
    assert_eq!((report.position.offset(), report.sockets, report.missing.len()), (21, 1, 0));
    assert_eq!(client.next_raw().await, Message::text("counted"));
    let long = vec![0; dog::MAX_PUBLICATION + 1];
    assert!(group.publish_confirmed(ROOM, long).await.unwrap_err().is_too_large());
    for error in [group.publish("t", "").await.map(drop), group.publish_confirmed("t", "").await.map(drop)] {
        let error = error.unwrap_err();
        assert!(error.is_no_log() && error.to_string().contains("Group::log"), "{error}");
    }
    assert!(group.publish(ROOM, vec![0; dog::MAX_PUBLICATION + 1]).await.unwrap_err().is_too_large());
    drop(client);
    running.shutdown().await;
}

#[tokio::test]
async fn what_goes_wrong_is_a_typed_error() {
    let running = server().start().await.expect("the server starts");
    let handle = running.handle();
    let sum = handle.group::<Sum>("main");
    let error = sum.call(&13).await.unwrap_err();
    assert!(error.is_handler() && !error.to_string().contains("secret"), "{error}");
    assert!(sum.call(&99).await.unwrap_err().is_deadline());
    assert!(handle.group::<Elsewhere>("main").call(&()).await.unwrap_err().is_unknown_group());
    assert_eq!(sum.call(&5).await.ok(), Some(5));
    running.shutdown().await;
}

#[tokio::test]
async fn a_server_that_does_not_run_cannot_be_reached() {
    let server = server();
    let handle = server.handle();
    assert!(handle.group::<Sum>("main").broadcast("too early").unwrap_err().is_unreachable());
    let early = handle.group::<Sum>("main").call(&1).await.unwrap_err();
    assert!(early.is_unreachable() && early.to_string().contains("not been started"), "{early}");
    let running = server.start().await.expect("the server starts");
    assert_eq!(handle.group::<Sum>("main").call(&1).await.ok(), Some(1));
    running.shutdown().await;
    let late = handle.group::<Sum>("main").call(&1).await.unwrap_err();
    assert!(late.is_unreachable() && late.to_string().contains("has ended"), "{late}");
}

#[tokio::test]
async fn a_service_has_handles_that_do_not_keep_it_alive() {
    let server = server();
    let handle = server.handle();
    let service = server.service().expect("the configuration is valid");
    assert_eq!(handle.group::<Sum>("main").call(&1).await.ok(), Some(1));
    assert_eq!(service.handle().group::<Sum>("main").call(&1).await.ok(), Some(2));
    service.shutdown().await;
    drop(service);
    assert!(handle.group::<Sum>("main").call(&1).await.unwrap_err().is_unreachable());
}
