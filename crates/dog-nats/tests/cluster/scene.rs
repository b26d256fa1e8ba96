//! Three NATS servers and three nodes, each on its own host.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::child::Child;
use crate::network::Network;
use crate::server::NatsServers;

/// The numbers of the servers' hosts. Those of the nodes' hosts follow.
pub(crate) const SERVERS: [usize; 3] = [0, 1, 2];

/// The hosts and the processes on them. Fields are dropped in this order, so the network goes last.
pub(crate) struct Scene {
    pub(crate) nodes: Vec<Child>,
    pub(crate) nats: NatsServers,
    pub(crate) network: Network,
    lease: Duration,
}

/// Returns the number of a node's host.
pub(crate) fn host(node: usize) -> usize {
    SERVERS.len() + node
}

impl Scene {
    pub(crate) fn start(lease: Duration) -> Self {
        let network = Network::of(6);
        let nats = NatsServers::start_on(&SERVERS.map(|server| network.host(server).clone()), "");
        // Each node connects to its own server first. That server tells it about the others.
        let start = |node| Child::start_on(network.host(host(node)), &nats.url_of(node), lease);
        let nodes = (0..3).map(start).collect();
        Self { nodes, nats, network, lease }
    }

    pub(crate) fn entries(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// Shuts a node down gracefully and starts another one at its address. Returns how long that took.
    pub(crate) async fn replace(&mut self, node: usize) -> Duration {
        let began = Instant::now();
        let ended = self.nodes.remove(node);
        // `terminate` blocks its thread, and the tasks of the clients must run meanwhile.
        tokio::task::spawn_blocking(|| ended.terminate()).await.expect("it ends");
        let (host, url, lease) = (self.network.host(host(node)).clone(), self.nats.url_of(node), self.lease);
        let next = tokio::task::spawn_blocking(move || Child::start_on(&host, &url, lease)).await.expect("a node");
        next.until_ready(true).await;
        self.nodes.insert(node, next);
        began.elapsed()
    }
}
