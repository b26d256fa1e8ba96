//! Typed calls to a Group, from an App, from a Replica and from another Group.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use dog::{Context, Failure, Group, GroupContext, Limit, Message, Policy, Replica, Request, Response, Result, Socket};
use dog_test_support::app::{House, Plain};
use dog_testing::Cluster;
use serde::{Deserialize, Serialize};

/// What a Shop can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Order {
    /// The number of orders in this life, this one included.
    Count,
    /// Waits until `Release` has come, and returns the number of orders that came before it.
    Wait,
    Release,
    /// A reply of this many bytes.
    Long(usize),
    Fail,
    Panic,
    Never,
    /// Asks the other Shop for `Endless` again.
    Endless {
        here: String,
        other: String,
    },
    /// Asks a Group that the App does not run.
    Unknown,
    /// Any text.
    Text(String),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Bill {
    Number(u64),
    Long(String),
    Unknown { text: String, is_unknown: bool },
}

struct Shop {
    orders: Cell<u64>,
    released: Rc<Cell<bool>>,
}

impl Group for Shop {
    type Replica = Counter;
    type Call = Order;
    type Reply = Bill;
    const NAME: &'static str = "shop";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self { orders: Cell::default(), released: Rc::default() })
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    fn policy(&self) -> Policy {
        Policy { call_deadline: Duration::from_secs(4), ..Policy::default() }
    }

    async fn on_call(&self, cx: &GroupContext, order: Order) -> Result<Bill> {
        self.orders.update(|orders| orders + 1);
        let number = self.orders.get();
        match order {
            Order::Count | Order::Text(_) => {}
            Order::Wait => {
                while !self.released.get() {
                    cx.storage().put("waits", &number).await?;
                }
            }
            Order::Release => self.released.set(true),
            Order::Long(length) => return Ok(Bill::Long("x".repeat(length))),
            Order::Fail => return Err(Failure::new("the secret")),
            Order::Panic => panic!("the secret"),
            Order::Never => pending().await,
            Order::Endless { here, other } => {
                let again = Order::Endless { here: other.clone(), other: here };
                return Ok(cx.dog().group::<Shop>(&other).call(&again).await?);
            }
            Order::Unknown => {
                let called = cx.dog().group::<Elsewhere>("anywhere").call(&()).await;
                let Err(error) = called else { return Err(Failure::new("it is known")) };
                return Ok(Bill::Unknown { text: error.to_string(), is_unknown: error.is_unknown_group() });
            }
        }
        Ok(Bill::Number(number))
    }
}

struct Counter;

impl Replica for Counter {
    type Group = Shop;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    /// `count` asks the own Group, everything else names another Group to ask.
    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let bill = match message.as_text().unwrap_or_default() {
            "count" => cx.call_group(&Order::Count).await?,
            other => cx.dog().group::<Shop>(other).call(&Order::Count).await?,
        };
        Ok(socket.send(format!("{bill:?}"))?)
    }
}

/// A Group that is not among those of the App.
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

fn count(cluster: &Cluster, group: &str) -> u64 {
    match cluster.call::<Shop>(group, &Order::Count) {
        Ok(Bill::Number(number)) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_activates_its_group_and_makes_no_replica() {
    let cluster = Cluster::new(House::<Shop>::new());
    assert!(!cluster.is_group_awake::<Shop>("main"));
    assert_eq!((count(&cluster, "main"), count(&cluster, "main"), count(&cluster, "other")), (1, 2, 1));
    assert!(cluster.is_group_awake::<Shop>("main"));
    assert_eq!(cluster.members::<Shop>("main").map(|members| members.len()), Some(0));
    assert!(cluster.replicas::<Shop>("main").is_empty());
}

#[test]
fn a_replica_calls_its_own_group_and_others() {
    let cluster = Cluster::builder(House::<Shop>::new()).nodes(3).start();
    let ann = cluster.connect("/ws?u=ann");
    let bob = cluster.connect("/ws?u=bob");
    for (client, message) in [(&ann, "count"), (&bob, "count"), (&ann, "other"), (&bob, "other")] {
        client.send(message);
        cluster.run();
    }
    assert_eq!(ann.received_texts(), ["Number(1)", "Number(1)"]);
    assert_eq!(bob.received_texts(), ["Number(2)", "Number(2)"]);
}

#[test]
fn calls_of_one_group_interleave_where_they_wait() {
    let cluster = Cluster::builder(House::<Shop>::new()).write_delay(Duration::from_millis(10)).start();
    let group = cluster.group::<Shop>("main");
    let (waits, releases) = cluster.wait_for(async {
        futures_util::future::join(group.call(&Order::Wait), async { group.call(&Order::Release).await }).await
    });
    assert_eq!((waits.unwrap(), releases.unwrap()), (Bill::Number(1), Bill::Number(2)));
}

#[test]
fn what_is_too_long_is_an_error_and_the_group_goes_on() {
    let cluster = Cluster::new(House::<Shop>::new());
    let long = "x".repeat(dog::MAX_CALL);
    assert!(cluster.call::<Shop>("main", &Order::Text(long)).unwrap_err().is_too_large());
    assert!(!cluster.is_group_awake::<Shop>("main"), "it was not sent");
    assert!(cluster.call::<Shop>("main", &Order::Long(dog::MAX_CALL)).unwrap_err().is_too_large());
    assert_eq!(cluster.failures().len(), 1, "{:?}", cluster.failures());
    let longest = cluster.call::<Shop>("main", &Order::Long(dog::MAX_CALL - 100)).unwrap();
    assert_eq!(longest, Bill::Long("x".repeat(dog::MAX_CALL - 100)));
    assert_eq!(count(&cluster, "main"), 3);
}

#[test]
fn a_call_that_fails_shows_nothing_of_the_inside() {
    let cluster = Cluster::new(House::<Shop>::new());
    let error = cluster.call::<Shop>("main", &Order::Fail).unwrap_err();
    assert!(error.is_handler() && !error.to_string().contains("secret"), "{error}");
    assert_eq!(count(&cluster, "main"), 2, "the Group lives");
    assert!(cluster.failures()[0].contains("the secret"), "{:?}", cluster.failures());
}

#[test]
fn a_call_that_panics_ends_the_life_of_its_group_and_the_calls_in_progress() {
    let cluster = Cluster::new(House::<Shop>::new());
    let group = cluster.group::<Shop>("main");
    let (never, panics) = cluster
        .wait_for(async { futures_util::future::join(group.call(&Order::Never), group.call(&Order::Panic)).await });
    assert!(panics.unwrap_err().is_handler());
    assert!(never.unwrap_err().is_unreachable());
    assert_eq!(count(&cluster, "main"), 1, "a new life");
}

#[test]
fn a_call_that_never_returns_ends_at_the_deadline_of_its_group() {
    let cluster = Cluster::new(House::<Shop>::new());
    let began = cluster.now();
    assert!(cluster.call::<Shop>("main", &Order::Never).unwrap_err().is_deadline());
    assert_eq!(cluster.now().since(began), Duration::from_secs(4));
    assert!(cluster.failures()[0].contains("on_call has not ended within 4s"), "{:?}", cluster.failures());
    assert_eq!(count(&cluster, "main"), 2, "the Group lives");
}

#[test]
fn a_call_whose_group_cannot_be_heard_ends() {
    let cluster = Cluster::builder(House::<Shop>::new()).nodes(2).start();
    assert_eq!(count(&cluster, "main"), 1);
    cluster.cut_off_group::<Shop>("main");
    let began = cluster.now();
    let error = cluster.call::<Shop>("main", &Order::Count).unwrap_err();
    assert!(error.is_deadline() || error.is_unreachable(), "{error:?}");
    assert!(cluster.now().since(began) <= Duration::from_secs(31));
}

#[test]
fn a_cycle_of_calls_ends_by_its_deadline() {
    let cluster = Cluster::builder(House::<Shop>::new())
        .nodes(2)
        .network_delay(Duration::from_millis(5), Duration::from_millis(20))
        .start();
    let began = cluster.now();
    let endless = Order::Endless { here: "main".into(), other: "other".into() };
    let error = cluster.call::<Shop>("main", &endless).unwrap_err();
    assert!(error.is_handler() || error.is_deadline(), "{error:?}");
    assert!(cluster.now().since(began) <= Duration::from_secs(4));
    // Nothing of it is left: no call is made any more.
    let (main, other) = (count(&cluster, "main"), count(&cluster, "other"));
    assert!((20..100).contains(&(main + other)), "{main} and {other}");
    cluster.advance(Duration::from_secs(10));
    assert_eq!((count(&cluster, "main"), count(&cluster, "other")), (main + 1, other + 1));
    assert!(cluster.failures().iter().any(|failure| failure.contains("on_call could not begin")));
}

#[test]
fn a_group_that_the_app_does_not_run_is_an_error_at_use() {
    let cluster = Cluster::new(House::<Shop>::new());
    let bill = cluster.call::<Shop>("main", &Order::Unknown).unwrap();
    let Bill::Unknown { text, is_unknown } = bill else { panic!("{bill:?}") };
    assert!(is_unknown && text.contains("elsewhere"), "{text}");
}

#[test]
fn a_group_that_answers_no_calls_says_so_in_its_log() {
    let cluster = Cluster::new(House::<Elsewhere>::new());
    assert!(cluster.call::<Elsewhere>("main", &()).unwrap_err().is_handler());
    assert!(cluster.failures()[0].contains("implement on_call"), "{:?}", cluster.failures());
}
