//! Tickets that nobody uses, and tickets that live for less time than the activation of a Replica takes.

use std::task::Poll;
use std::time::Duration;

use dog::{App, ClientId, Context, Dog, Group, GroupContext, Limit, Policy, Replica, Request, Response, Result};
use dog_testing::{Builder, Cluster};

/// A Group whose tickets live for this many milliseconds.
struct Hall<const LIFETIME: u64>;

/// Its tickets live for a short time.
type Hasty = Hall<1>;
/// Its tickets live for longer than its test takes.
type Patient = Hall<60_000>;

impl<const LIFETIME: u64> Group for Hall<LIFETIME> {
    type Replica = Slow<LIFETIME>;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = if LIFETIME == 1 { "hasty" } else { "patient" };

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(if LIFETIME == 1 { 2 } else { 4 })
    }

    fn policy(&self) -> Policy {
        Policy { ticket_lifetime: Duration::from_millis(LIFETIME), ..Policy::default() }
    }
}

struct Slow<const LIFETIME: u64>;

impl<const LIFETIME: u64> Replica for Slow<LIFETIME> {
    type Group = Hall<LIFETIME>;
    type Gossip = ();
    type Answer = ();

    /// Takes as long as a write to disk.
    async fn activate(cx: &Context<Self>) -> Result<Self> {
        cx.storage().put("woken", &true).await?;
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        if request.uri().path() == "/close" {
            cx.close_to_newcomers()?;
            return Ok(dog::text_response(dog::http::StatusCode::OK, ""));
        }
        Ok(cx.connect(request))
    }
}

struct House;

impl App for House {
    type Groups = (Hasty, Patient);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        if request.uri().path() == "/leave" {
            let group = dog.group::<Hasty>("main");
            let mut identify = Box::pin(group.identify(&client));
            // The request is dropped before it is answered.
            let answered = std::future::poll_fn(|cx| Poll::Ready(identify.as_mut().poll(cx).is_ready())).await;
            assert!(!answered, "the request was answered before it was dropped");
            return Ok(dog::text_response(dog::http::StatusCode::OK, ""));
        }
        if request.uri().path() == "/late" {
            let group = dog.group::<Patient>("main");
            let seat = group.identify(&client).await?;
            // The Replica closes between the ticket and its use.
            let known = group.identify(&ClientId::new("ann")?).await?;
            known.fetch(dog::http::Request::get("/close").body(dog::Body::empty())?).await?;
            return Ok(seat.fetch(request).await?);
        }
        if request.uri().path() == "/patient" {
            return Ok(dog.group::<Patient>("main").identify(&client).await?.fetch(request).await?);
        }
        Ok(dog.group::<Hasty>("main").identify(&client).await?.fetch(request).await?)
    }
}

/// Returns clusters with different seeds, whose writes take up to one second. With some seeds they take nearly that
/// long.
fn clusters() -> impl Iterator<Item = Cluster> {
    let builder = |seed| -> Builder<House> { Cluster::builder(House).seed(seed) };
    (0..10).map(move |seed| builder(seed).write_delay(Duration::from_secs(1)).start())
}

#[test]
fn its_time_begins_when_its_replica_has_joined() {
    for cluster in clusters() {
        let [ann, bob] = ["ann", "bob"].map(|name| cluster.connect(&format!("/ws?u={name}")));
        assert_eq!(ann.replica(), bob.replica(), "the second seat is free");
        assert_eq!(cluster.replicas::<Hasty>("main"), [ann.replica()]);
    }
}

#[test]
fn ticket_is_good_while_its_replica_hibernates() {
    for cluster in clusters() {
        let ann = cluster.connect("/ws?u=ann");
        cluster.advance(Duration::from_secs(10));
        assert!(cluster.evict_replica(ann.replica()));
        let bob = cluster.connect("/ws?u=bob");
        assert_eq!(ann.replica(), bob.replica(), "the second seat is free");
        assert_eq!(cluster.replicas::<Hasty>("main"), [ann.replica()]);
    }
}

#[test]
fn one_whose_asker_has_gone_is_given_back_at_once() {
    for cluster in clusters() {
        for client in 0..50 {
            cluster.get(&format!("/leave?u=client-{client}"));
            // This is long enough to create the Replica, and much shorter than the lifetime of a ticket.
            cluster.advance(Duration::from_millis(100));
        }
        // The last Replicas still wait for the disk.
        cluster.advance(Duration::from_secs(4));
        let members = cluster.members::<Hasty>("main").expect("the Group is awake");
        let promised: u32 = members.iter().map(|member| member.reserved).sum();
        assert_eq!(promised, 0, "{members:?}");
        // Only clients that waited at the same time had seats reserved.
        assert!(members.len() <= 15, "{} Replicas were created", members.len());
    }
}

#[test]
fn one_that_a_closed_replica_refuses_is_given_back_at_once() {
    for cluster in clusters() {
        let ann = cluster.connect("/patient?u=ann");
        let bob = cluster.connect("/late?u=bob");
        assert_ne!(ann.replica(), bob.replica(), "a newcomer came to a Replica that is closed");
        // Much shorter than the lifetime of a ticket.
        cluster.advance(Duration::from_secs(2));
        let members = cluster.members::<Patient>("main").expect("the Group is awake");
        assert!(members.iter().all(|member| member.reserved == 0), "{members:?}");
    }
}
