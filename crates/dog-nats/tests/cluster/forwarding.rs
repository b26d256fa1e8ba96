//! Sockets whose bytes one node forwards to another node.

use std::time::Duration;

use crate::child::Child;
use crate::record::{Recorder, Victim};
use crate::server::NatsServers;

const LEASE: Duration = Duration::from_secs(15);
const CLIENTS: usize = 10;

#[tokio::test]
async fn a_node_that_shuts_down_closes_the_sockets_that_it_forwards() {
    let nats = NatsServers::start(1, "");
    let record = Recorder::new(LEASE);
    let mut nodes: Vec<Child> = (0..3).map(|_| Child::start(&nats.url(), LEASE)).collect();
    let mut witness = record.join(nodes[0].address, "passed", "witness").await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = record.join(nodes[1].address, "passed", &format!("client-{number}")).await;
        assert_eq!((client.at, client.replica == witness.replica), (nodes[0].id(), true), "a node forwards its bytes");
        clients.push(client);
    }
    assert_eq!(witness.count_until(1 + CLIENTS).await, 1 + CLIENTS);
    let passes = nodes.remove(1);
    record.fault(Victim::Node(passes.id()));
    let ended = tokio::task::spawn_blocking(|| passes.terminate());
    for client in &mut clients {
        while client.hear().await.is_some() {}
        assert_eq!(client.close_code(), Some(1012));
    }
    ended.await.expect("the node shuts down gracefully");
    assert_eq!(witness.count_until(1).await, 1, "their Replica has noticed the ends");
    for (number, client) in clients.iter_mut().enumerate() {
        *client = record.join(nodes[1].address, "passed", &format!("client-{number}")).await;
        assert_eq!(client.replica, witness.replica);
        assert!(client.put(u32::try_from(number).expect("the number fits")).await);
    }
    assert_eq!(witness.all().await.len(), CLIENTS);
    println!(
        "cluster: a node that forwards sockets shut down: {CLIENTS} of {CLIENTS} closed with 1012, and served through another node; {}",
        record.check()
    );
}
