//! Two nodes over NATS: what one is told to revoke, the other obeys.

use dog_native::Running;
use dog_nats::Nats;
use dog_test_support::client::{Client, handshake, http, within};
use dog_test_support::nats::{NatsServers, Settings};

use crate::app::{self, PerClient, path, token};
use crate::tokens::is_told_not_to_come_back;

async fn node(servers: &NatsServers) -> Running {
    app::server(PerClient::default()).cluster(Nats::connect(servers.url())).start().await.expect("the node starts")
}

/// The status of the refusal, once the node knows what was revoked.
async fn enter(node: &Running, token: &str) -> Result<Client, u16> {
    let entering = async {
        loop {
            match Client::open(handshake(node.local_addr(), &path(token))).await {
                Err(503) => {}
                other => return other,
            }
        }
    };
    within("an answer", entering).await
}

#[tokio::test]
async fn every_node_obeys_what_one_was_told_also_after_a_restart_of_all() {
    let servers = NatsServers::start(1, Settings::default());
    let nodes = [node(&servers).await, node(&servers).await];
    let (first, second) = (token("ann", "a-1"), token("bob", "b-1"));
    let mut sockets = Vec::new();
    for node in &nodes {
        for token in [&first, &second] {
            sockets.push(enter(node, token).await.expect("a valid token"));
        }
    }
    // Told on one node each.
    for (node, what) in nodes.iter().zip(["id=a-1", "client=bob"]) {
        assert_eq!(http(node.local_addr(), "POST", &format!("/revoke?{what}"), "").await.status, 200);
    }
    for socket in &mut sockets {
        is_told_not_to_come_back(socket).await;
    }
    for node in &nodes {
        for token in [&first, &second] {
            assert_eq!(enter(node, token).await.err(), Some(403));
        }
    }
    drop(sockets);
    for node in nodes {
        node.shutdown().await;
    }
    let again = node(&servers).await;
    assert_eq!(enter(&again, &first).await.err(), Some(403));
    assert!(enter(&again, &token("cid", "c-1")).await.is_ok());
    again.shutdown().await;
}
