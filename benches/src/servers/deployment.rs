//! An entrant that runs: [`Deployment`], its nodes and their broker; and what it has used: [`Usage`].

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use crate::load::connect::{self, Endpoint};
use crate::load::connection::Connection;
use crate::measure::{CpuTime, as_float, micros, resident_bytes};

use super::broker::{Broker, BrokerTraffic};
use super::http;
use super::process::ServerProcess;

/// One node, or the only server.
pub struct DeployedNode {
    server: ServerProcess,
    endpoint: Endpoint,
    /// Where it serves its metrics.
    admin: Option<SocketAddr>,
}

/// Running nodes and their broker. When this is dropped they are killed, in this order.
pub struct Deployment {
    nodes: Vec<DeployedNode>,
    broker: Option<Broker>,
}

/// Processor time that a deployment has used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// All nodes together.
    pub nodes: CpuTime,
    /// The broker.
    pub broker: CpuTime,
}

impl Usage {
    /// What was used after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { nodes: self.nodes.since(earlier.nodes), broker: self.broker.since(earlier.broker) }
    }

    /// The nodes' processor time in µs.
    pub fn nodes_micros(self) -> f64 {
        micros(self.nodes.total)
    }

    /// The broker's processor time in µs.
    pub fn broker_micros(self) -> f64 {
        micros(self.broker.total)
    }
}

impl DeployedNode {
    /// A server that listens.
    pub fn new(server: ServerProcess, endpoint: Endpoint, admin: Option<SocketAddr>) -> Self {
        Self { server, endpoint, admin }
    }
}

impl Deployment {
    /// Nodes that communicate through `broker`.
    pub fn new(nodes: Vec<DeployedNode>, broker: Option<Broker>) -> Self {
        Self { nodes, broker }
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// How to connect to a node.
    pub fn endpoint(&self, node: usize) -> &Endpoint {
        &self.nodes[node].endpoint
    }

    /// Whether there is a broker.
    pub fn has_broker(&self) -> bool {
        self.broker.is_some()
    }

    /// Connects clients 0 to `sockets` one after the other: client `i` to node `i` modulo the number of nodes.
    ///
    /// # Errors
    /// When one of them is not accepted.
    pub fn connect(&self, sockets: usize, query: impl Fn(usize) -> String) -> Result<Vec<Connection>> {
        let connect = |number: usize| {
            let node = number % self.nodes.len();
            let connected = connect::connect(&self.nodes[node].endpoint, &query(number));
            connected.with_context(|| format!("client {number} was not accepted at node {node}"))
        };
        (0..sockets).map(connect).collect()
    }

    /// What was used so far.
    ///
    /// # Errors
    /// When a node or the broker has ended.
    pub fn usage(&self) -> Result<Usage> {
        let nodes = self.nodes.iter().map(|node| CpuTime::of(node.server.process())).collect::<Result<Vec<_>>>()?;
        let broker = self.broker.as_ref().map(Broker::cpu_time).transpose()?.unwrap_or_default();
        Ok(Usage { nodes: CpuTime::sum(nodes), broker })
    }

    /// What the broker has forwarded so far; nothing without a broker.
    ///
    /// # Errors
    /// When the broker does not say.
    pub fn traffic(&self) -> Result<BrokerTraffic> {
        self.broker.as_ref().map_or(Ok(BrokerTraffic::default()), Broker::traffic)
    }

    /// The resident memory of all nodes, in bytes.
    ///
    /// # Errors
    /// When a node has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.nodes.iter().map(|node| resident_bytes(node.server.process())).sum()
    }

    /// Replicas per node, 0 if no node serves metrics. Checks that `sockets` are spread evenly over the nodes.
    ///
    /// # Errors
    /// When they are not, or a node does not answer.
    pub fn replicas(&self, sockets: usize) -> Result<f64> {
        let mut replicas = 0.0;
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(admin) = node.admin else { continue };
            let metrics = http::get(admin, "/metrics")?;
            let expected = as_float((sockets - number).div_ceil(self.nodes.len()) as u64);
            let open = sum(&metrics, "dog_sockets", "state=\"open\"");
            ensure!((open - expected).abs() < 0.5, "node {number} has {open} sockets instead of {expected}");
            replicas += sum(&metrics, "dog_objects", "kind=\"replica\"");
        }
        Ok(replicas / as_float(self.nodes.len() as u64))
    }
}

/// The sum of a metric over the series with this label.
fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let values = series.filter_map(|series| series.split_once("} "));
    values.filter(|(labels, _)| labels.contains(label)).filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_series() {
        let metrics = "# TYPE dog_sockets gauge\ndog_sockets{worker=\"0\",state=\"open\"} 3\n\
                       dog_sockets{worker=\"1\",state=\"open\"} 4\ndog_sockets{worker=\"1\",state=\"closing\"} 9\n\
                       dog_sockets_opened_total{state=\"open\"} 50\n";
        assert_eq!(sum(metrics, "dog_sockets", "state=\"open\""), 7.0);
        assert_eq!(sum(metrics, "dog_none", "x"), 0.0);
    }
}
