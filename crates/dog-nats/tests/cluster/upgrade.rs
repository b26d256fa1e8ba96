//! Nodes with different versions of the node protocol: during a rolling update, and with a release that is too far
//! ahead.

use std::time::Duration;

use dog_native::cluster::Versions;

use crate::app::{Client, History};
use crate::child::Child;
use crate::record::{Recorder, Victim};
use crate::server::NatsServers;

const LEASE: Duration = Duration::from_secs(15);
/// The versions of the previous release.
const BEFORE: Versions = Versions { oldest: 7, newest: 7 };
/// The versions of a release that does not exist yet.
const FAR_AHEAD: Versions = Versions { oldest: 9, newest: 9 };

/// One client per node. Each sends bursts of messages and receives those of all. Messages of one burst share one list
/// of addresses if both nodes support that. Otherwise each is sent with its own list.
struct Talk {
    record: Recorder,
    clients: Vec<Client>,
    histories: Vec<History>,
    said: u32,
}

impl Talk {
    async fn start(record: Recorder, nodes: &[Child]) -> Self {
        let mut clients = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let client = record.join(node.address, "upgrade", &format!("wide-{number}")).await;
            assert_eq!(client.at, node.id(), "each node has its own Replica");
            clients.push(client);
        }
        let histories = clients.iter().map(|_| History::default()).collect();
        Self { record, clients, histories, said: 0 }
    }

    /// Sends 100 messages from each client at once. Waits until all clients have received all of them.
    async fn go_on(&mut self) {
        for (number, client) in self.clients.iter_mut().enumerate() {
            for message in 1..=100 {
                assert!(client.say(&format!("speaker-{number} {}", self.said + message)).await);
            }
        }
        self.said += 100;
        let wanted = 100 * self.clients.len();
        for (client, history) in self.clients.iter_mut().zip(&mut self.histories) {
            let before = history.heard;
            while history.heard < before + wanted {
                history.note(&client.hear().await.expect("its node is not replaced now"));
            }
        }
    }

    /// Waits until a client's socket has ended with 1012, then reconnects the client through `node`.
    async fn come_back(&mut self, number: usize, node: &Child) {
        while self.clients[number].hear().await.is_some() {}
        assert_eq!(self.clients[number].close_code(), Some(1012));
        self.clients[number] = self.record.join(node.address, "upgrade", &format!("wide-{number}")).await;
    }
}

#[tokio::test]
async fn nodes_are_replaced_one_by_one_by_nodes_with_a_newer_protocol() {
    let nats = NatsServers::start(1, "");
    let record = Recorder::new(LEASE);
    let mut nodes: Vec<Child> = (0..3).map(|_| Child::start_speaking(&nats.url(), LEASE, BEFORE)).collect();
    let mut talk = Talk::start(record.clone(), &nodes).await;
    let mut keeper = record.join(nodes[2].address, "kept", "keeper").await;
    talk.go_on().await;
    assert!(keeper.put(0).await);
    for number in 0..3 {
        let new = Child::start(&nats.url(), LEASE);
        record.fault(Victim::Node(nodes[number].id()));
        std::mem::replace(&mut nodes[number], new).terminate();
        talk.come_back(number, &nodes[number]).await;
        if number == 2 {
            keeper = record.join(nodes[0].address, "kept", "keeper").await;
        }
        talk.go_on().await;
        assert!(keeper.put(1 + u32::try_from(number).expect("the number fits")).await);
        assert_eq!(talk.clients[number].count_until(3).await, 3, "gossip reaches all nodes");
    }
    assert_eq!(keeper.all().await, (0..=3).collect());
    println!(
        "cluster: three nodes replaced by nodes with a newer protocol: {} messages received by each of 3 sockets, in order; {}",
        talk.said * 3,
        record.check()
    );
}

#[tokio::test]
async fn a_node_without_a_common_protocol_version_is_refused_and_serves_its_own_objects() {
    let nats = NatsServers::start(1, "");
    let record = Recorder::new(LEASE);
    let node = Child::start(&nats.url(), LEASE);
    let stranger = Child::start_speaking(&nats.url(), LEASE, FAR_AHEAD);
    let mut here = record.join(node.address, "here", "here").await;
    let refused = record.try_to_join(stranger.address, "here", "stranger").await.err();
    assert!(refused.as_deref().is_some_and(|refused| refused.contains("503")), "{refused:?}");
    let mut there = record.join(stranger.address, "there", "there").await;
    for client in [&mut here, &mut there] {
        assert!(client.put(1).await, "both nodes serve clients");
        assert_eq!(client.all().await.len(), 1);
    }
    println!(
        "cluster: a node without a common protocol version: 503 for objects of other nodes, its own are served; {}",
        record.check()
    );
}
