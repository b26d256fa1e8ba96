//! The conformance suite on three nodes. Its clients connect to all of them.

use std::net::SocketAddr;
use std::time::Duration;

use dog_conformance::app::TestApp;
use dog_conformance::{Capability, Harness, Lack};
use dog_native::{Running, Server};
use dog_nats::Nats;
use dog_test_support::certificates::Authority;

use crate::server::NatsServers;

struct Cluster {
    hibernates: bool,
    entries: Vec<SocketAddr>,
}

impl Harness for Cluster {
    fn name(&self) -> String {
        let hibernates = if self.hibernates { ", hibernating after every event" } else { "" };
        format!("{} nodes over NATS{hibernates}", self.entries.len())
    }

    fn entries(&self) -> Vec<SocketAddr> {
        self.entries.clone()
    }

    fn lacks(&self) -> Vec<Lack> {
        let stays = Lack { capability: Capability::Hibernation, reason: "objects stay in memory in this run" };
        if self.hibernates { vec![] } else { vec![stays] }
    }
}

async fn conforms(servers: usize, hibernates: bool, encrypts: bool) {
    crate::child::log();
    let nats = NatsServers::start(servers, "");
    let authority = Authority::new();
    let mut nodes: Vec<Running> = Vec::new();
    for _ in 0..3 {
        let mut server = Server::new(TestApp).bind("127.0.0.1:0").workers(2).cluster(Nats::connect(nats.url()));
        if encrypts {
            let [certificate, key] = authority.vouches_for("node");
            server = server.node_tls(certificate, key, authority.root());
        }
        let server = server.hibernate_after(if hibernates { Duration::ZERO } else { Duration::from_secs(60) });
        nodes.push(server.start().await.expect("the node starts"));
    }
    let entries = nodes.iter().map(Running::local_addr).collect();
    let outcome = dog_conformance::run(&Cluster { hibernates, entries }).await;
    for node in nodes {
        node.shutdown().await;
    }
    if let Err(summary) = outcome {
        panic!("{summary}");
    }
}

#[tokio::test]
async fn three_nodes_over_one_server() {
    conforms(1, false, false).await;
}

#[tokio::test]
async fn three_nodes_that_speak_tls_with_each_other() {
    conforms(1, false, true).await;
}

#[tokio::test]
async fn three_nodes_over_three_servers() {
    conforms(3, false, false).await;
}

#[tokio::test]
async fn three_nodes_over_three_servers_hibernating_after_every_event() {
    conforms(3, true, false).await;
}
