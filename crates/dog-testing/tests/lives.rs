//! Regression tests of faults that the simulation has found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dog::{ClientId, Env, Group, GroupContext, Limit, Result};
use dog_test_support::app::{House, MAIN, Plain};
use dog_testing::{Cluster, websocket};

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

/// Otherwise, what the Group sends would miss the socket until its Replica has reported it.
#[test]
fn a_socket_with_a_ticket_of_an_earlier_life_of_its_group_is_known_when_it_opens() {
    for seed in 0..100 {
        let delay = [1, 50].map(Duration::from_millis);
        let cluster = Cluster::builder(House::<Hall>::new()).seed(seed).network_delay(delay[0], delay[1]).start();
        let (hall, ann) = (cluster.group::<Hall>(MAIN), ClientId::new("ann").unwrap());
        let replica = cluster.wait_for(hall.identify(&ann)).unwrap();
        cluster.restart_group::<Hall>(MAIN);
        // Half of the Groups are activated before the ticket is used. The others only count their members.
        let bob = (seed % 2 == 0).then(|| cluster.connect("/ws?u=bob"));
        if bob.is_none() {
            assert_eq!(cluster.wait_for(hall.count()).unwrap().sockets, 0, "seed {seed}");
        }
        let opened = cluster.wait_for(replica.fetch(websocket("/ws"))).unwrap();
        let reached = cluster.wait_for(hall.whisper(&ann, "psst")).unwrap();
        assert_eq!(reached.sockets, 1, "seed {seed}");
        drop(opened);
    }
}
