//! `dog_native::Handle` in a cluster: the Group lives on another node than the one whose handle is used.

use std::net::SocketAddr;

use dog::{ClientCount, ClientId, CloseCode, GroupId, Message};
use dog_conformance::app::protocol::{GroupAsk, GroupReply};
use dog_conformance::app::{Single, TestApp};
use dog_conformance::{Client, Outcome};
use dog_engine::address::{ClassIndex, GroupAddress, Object};
use dog_native::cluster::object_name;
use dog_native::{Handle, Running, Server};
use dog_nats::Nats;
use dog_test_support::client::within;

use crate::server::NatsServers;

type Room = dog_native::RemoteGroup<Single>;

/// Nodes of one cluster, each with a handle to it.
struct Cluster {
    nats: NatsServers,
    nodes: Vec<(Running, Handle<TestApp>)>,
}

impl Cluster {
    async fn start() -> Self {
        let nats = NatsServers::start(1, "");
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let server = Server::new(TestApp).bind("127.0.0.1:0").workers(2).cluster(Nats::connect(nats.url()));
            let handle = server.handle();
            nodes.push((server.start().await.expect("the node starts"), handle));
        }
        Self { nats, nodes }
    }

    /// The room of this name, as each node sees it.
    fn rooms(&self, name: &str) -> Vec<Room> {
        self.nodes.iter().map(|(_, handle)| handle.group::<Single>(name)).collect()
    }

    fn entry(&self, node: usize) -> SocketAddr {
        self.nodes[node].0.local_addr()
    }

    /// What is stored of a Group and of its Replicas.
    async fn stored(&self, group: GroupId) -> Vec<String> {
        let name = object_name(Object::Group(GroupAddress { class: ClassIndex(0), group }));
        let mut subjects = self.nats.subjects("dog_objects").await;
        // Those of its Replicas contain its id too.
        subjects.retain(|subject| subject.contains(&name[1..]));
        subjects
    }

    async fn end(self) {
        for (node, _) in self.nodes {
            node.shutdown().await;
        }
    }
}

async fn join(entry: SocketAddr, room: &str, client: &str) -> Outcome<Client> {
    Client::connect(entry, &format!("/single/{room}/ws?u={client}"), ClientId::new(client)?).await
}

/// Waits until the books of the Group have this many sockets.
async fn counted(room: &Room, sockets: usize) -> ClientCount {
    let counting = async {
        loop {
            let count = room.count().await.expect("an answer");
            if count.sockets == sockets {
                return count;
            }
        }
    };
    within("the books to follow the sockets", counting).await
}

async fn verbs(cluster: &Cluster) -> Outcome {
    let rooms = cluster.rooms("handles");
    // The Group is made by the first node that needs it. Each client has a Replica of its own.
    let mut clients = Vec::new();
    for (node, name) in ["ann", "bob", "ann"].into_iter().enumerate() {
        clients.push(join(cluster.entry(node), "handles", name).await?);
    }
    clients[1].subscribe("news").await?;
    let bob = ClientId::new("bob")?;
    for (node, room) in rooms.iter().enumerate() {
        let count = counted(room, 3).await;
        assert_eq!((count.clients, count.missing), (2, vec![]), "by node {node}");
        let page = room.clients(None, 1).await?;
        assert_eq!((page.clients, page.next.clone()), (vec![(ClientId::new("ann")?, 2)], Some(ClientId::new("ann")?)));
        assert_eq!(room.clients(page.next.as_ref(), 1).await?.clients, [(bob.clone(), 1)]);
        room.broadcast(format!("all {node}"))?;
        room.broadcast_to("news", format!("news {node}"))?;
        assert_eq!(room.whisper(&bob, Message::text(format!("bob {node}"))).await?.sockets, 1);
        assert_eq!(room.broadcast_confirmed(format!("end {node}")).await?.sockets, 3);
        for client in &mut clients {
            let mut due = vec![format!("all {node}")];
            if *client.id() == bob {
                due.extend([format!("news {node}"), format!("bob {node}")]);
            }
            assert_eq!(client.hear_until(&format!("end {node}")).await?, due, "what {} hears", client.id());
        }
        let kept = room.call(&GroupAsk::Keep(node.to_string())).await?;
        let all: Vec<String> = (0..=node).map(|node| node.to_string()).collect();
        assert_eq!(kept, GroupReply::Kept(all), "one Group has all calls");
        assert!(room.call(&GroupAsk::Fail).await.expect_err("on_call fails").is_handler());
    }
    assert_eq!(rooms[2].disconnect(&bob, CloseCode::POLICY, "removed").await?.sockets, 1);
    assert_eq!(clients[1].ended().await?.reason, "removed");
    counted(&rooms[1], 2).await;
    Ok(())
}

#[tokio::test]
async fn a_handle_reaches_a_group_on_another_node() {
    let cluster = Cluster::start().await;
    if let Err(failure) = verbs(&cluster).await {
        panic!("{failure}");
    }
    cluster.end().await;
}

#[tokio::test]
async fn verbs_to_a_group_that_does_not_exist_write_no_claim() {
    let cluster = Cluster::start().await;
    let ann = ClientId::new("ann").expect("valid");
    let (rooms, name) = (cluster.rooms("nobody"), "nobody");
    for room in &rooms {
        room.broadcast("hello").expect("the node runs");
        room.broadcast_to("news", "hello").expect("the node runs");
        assert_eq!(room.broadcast_confirmed("hello").await.expect("an answer").sockets, 0);
        assert_eq!(room.whisper(&ann, "hello").await.expect("an answer").sockets, 0);
        assert_eq!(room.disconnect(&ann, CloseCode::POLICY, "").await.expect("an answer").sockets, 0);
        assert_eq!(room.count().await.expect("an answer"), ClientCount::default());
        assert!(room.clients(None, 10).await.expect("an answer").clients.is_empty());
    }
    let group = rooms[0].id();
    assert_eq!(cluster.stored(group).await, Vec::<String>::new());
    // One that exists is found in this way.
    let _ann = join(cluster.entry(0), name, "ann").await.expect("a socket");
    let stored = cluster.stored(group).await;
    assert!(stored.iter().any(|subject| subject.ends_with(".owner")), "{stored:?}");
    cluster.end().await;
}
