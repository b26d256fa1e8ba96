//! A room without clients uses no memory and no disk after a few minutes, unless it has stored something.

use std::task::Poll;
use std::time::Duration;

use dog::{App, ClientId, Context, Dog, Replica, Request, Response, Result, query_param};
use dog_test_support::app::Bare;
use dog_testing::Cluster;

type Hall = Bare<Room, 2>;

struct Room;

impl Replica for Room {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        match query_param(&request, "keep").as_deref() {
            Some("entry") => cx.storage().put("kept", &true).await?,
            Some("alarm") => cx.set_alarm("kept", cx.now() + Duration::from_secs(3_600), &()).await?,
            _ => {}
        }
        Ok(cx.connect(request))
    }
}

struct House;

impl App for House {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
        let group = dog.group::<Hall>(&query_param(&request, "room").unwrap_or_default());
        if request.uri().path() == "/leave" {
            // The request is dropped before it is answered.
            let mut identify = Box::pin(group.identify(&client));
            let _answered = std::future::poll_fn(|cx| Poll::Ready(identify.as_mut().poll(cx).is_ready())).await;
            return Ok(dog::text_response(dog::http::StatusCode::OK, ""));
        }
        if let Some(refusal) = dog.refuse_websocket(&request) {
            return Ok(refusal);
        }
        Ok(group.identify(&client).await?.fetch(request).await?)
    }
}

fn cluster() -> Cluster {
    Cluster::builder(House).hibernate_after(Duration::from_secs(60)).start()
}

/// Long enough for all steps: after one minute the Replicas are parked, after another the Group forgets the clients,
/// and after a third the Group hibernates.
const LEFT: Duration = Duration::from_secs(4 * 60);

#[test]
fn abandoned_rooms_cost_neither_memory_nor_disk() {
    let cluster = cluster();
    let clients: Vec<_> = (0..100).map(|room| cluster.connect(&format!("/ws?room=r{room}&u=ann"))).collect();
    assert!(cluster.entries_on_disk() >= 100, "their members are on disk while they serve");
    clients.iter().for_each(dog_testing::ClientSocket::close);
    cluster.advance(LEFT);
    assert_eq!((cluster.objects_in_memory(), cluster.entries_on_disk()), (0, 0));
    // A client that comes back gets a working room.
    assert!(cluster.connect("/ws?room=r7&u=ann").is_open());
}

#[test]
fn what_a_room_has_stored_is_found_again() {
    for keep in ["entry", "alarm"] {
        let cluster = cluster();
        let ann = cluster.connect(&format!("/ws?room=main&u=ann&keep={keep}"));
        let [bob, cid] = ["bob", "cid"].map(|name| cluster.connect(&format!("/ws?room=main&u={name}")));
        assert_eq!(ann.replica(), bob.replica(), "the second seat is free");
        [&ann, &bob, &cid].into_iter().for_each(dog_testing::ClientSocket::close);
        cluster.advance(LEFT);
        assert_eq!(cluster.objects_in_memory(), 0);
        let back = cluster.connect("/ws?room=main&u=dan");
        assert_eq!(back.replica(), ann.replica(), "the Replica that keeps an {keep} is still a member");
        assert_eq!(cluster.replicas::<Hall>("main"), [ann.replica()], "and the one that keeps nothing is not");
    }
}

#[test]
fn replicas_that_never_served_anybody_leave_no_record() {
    let cluster = Cluster::builder(House).write_delay(Duration::from_millis(500)).start();
    let [ann, bob] = ["ann", "bob"].map(|name| cluster.connect(&format!("/ws?room=main&u={name}")));
    assert_eq!(ann.replica(), bob.replica(), "both its seats are taken now");
    for client in 0..20 {
        cluster.get(&format!("/leave?room=main&u=client-{client}"));
    }
    cluster.advance(Duration::from_secs(2));
    let made = cluster.replicas::<Hall>("main").len();
    assert!(made > 1, "some Replicas are created for clients that are gone");
    // The room still works. Replicas that no client has used are parked and forgotten.
    cluster.advance(Duration::from_secs(70));
    assert_eq!(cluster.members::<Hall>("main").map(|members| members.len()), Some(1));
    assert_eq!(cluster.entries_on_disk(), 1);
    assert!(ann.is_open() && bob.is_open());
}

#[test]
fn a_request_that_can_only_fail_creates_nothing() {
    let cluster = cluster();
    for room in 0..100 {
        let refused = cluster.get(&format!("/ws?room=r{room}&u=u"));
        assert_eq!(refused.status(), 426);
    }
    assert_eq!((cluster.objects_in_memory(), cluster.entries_on_disk()), (0, 0));
}
