//! Regression tests of faults that the simulation has found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dog::{Env, Group, GroupContext, Limit, Result};
use dog_test_support::app::{House, MAIN, Plain};
use dog_testing::Cluster;

/// The number of lives of the Group so far.
type Lives = Arc<AtomicU32>;

struct Hall;

impl Group for Hall {
    type Replica = Plain<Self>;
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

/// Otherwise, messages that the Group owes its members, such as a view with a new sibling, would never be sent unless a
/// client called it.
#[test]
fn a_group_that_has_crashed_is_woken_by_members_with_seats() {
    let lives = Lives::default();
    let cluster = Cluster::builder(House::<Hall>::new()).env(Env::new().with(Arc::clone(&lives))).start();
    let ann = cluster.connect("/ws?u=ann");
    cluster.restart_group::<Hall>(MAIN);
    cluster.advance(Duration::from_mins(1));
    assert_eq!(lives.load(Ordering::Relaxed), 2, "the Group lives, although no client has called it");

    cluster.restart_group::<Hall>(MAIN);
    ann.close();
    cluster.advance(Duration::from_mins(1));
    let woken = lives.load(Ordering::Relaxed);
    cluster.restart_group::<Hall>(MAIN);
    cluster.advance(Duration::from_mins(10));
    assert_eq!(lives.load(Ordering::Relaxed), woken, "members without seats do not wake it");
}
