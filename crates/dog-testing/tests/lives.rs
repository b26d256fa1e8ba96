//! Regression tests of faults that the simulation has found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dog::{App, ClientId, Context, Dog, Env, Group, GroupContext, Limit, Replica, Request, Response, Result};
use dog_testing::Cluster;

/// The number of lives of the Group so far.
type Lives = Arc<AtomicU32>;

struct Hall;

impl Group for Hall {
    type Replica = Desk;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        if let Some(lives) = cx.env().get::<Lives>() {
            lives.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }
}

struct Desk;

impl Replica for Desk {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }
}

struct Market;

impl App for Market {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        Ok(dog.group::<Hall>("main").identify(&client).await?.fetch(request).await?)
    }
}

/// Otherwise, messages that the Group owes its members, such as a view with a new sibling, would never be sent unless a
/// client called it.
#[test]
fn a_group_that_has_crashed_is_woken_by_members_with_seats() {
    let lives = Lives::default();
    let cluster = Cluster::builder(Market).env(Env::new().with(Arc::clone(&lives))).start();
    let ann = cluster.connect("/ws?u=ann");
    cluster.restart_group::<Hall>("main");
    cluster.advance(Duration::from_mins(1));
    assert_eq!(lives.load(Ordering::Relaxed), 2, "the Group lives, although no client has called it");

    cluster.restart_group::<Hall>("main");
    ann.close();
    cluster.advance(Duration::from_mins(1));
    let woken = lives.load(Ordering::Relaxed);
    cluster.restart_group::<Hall>("main");
    cluster.advance(Duration::from_mins(10));
    assert_eq!(lives.load(Ordering::Relaxed), woken, "members without seats do not wake it");
}
