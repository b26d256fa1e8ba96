//! Who is measured in clusters, and with which settings: [`ClusterSettings`], [`Contender`].

use std::time::Duration;

use anyhow::Result;

use crate::harness::options::Timing;
use crate::harness::sample::Series;
use crate::load::connection::Connection;
use crate::load::deliveries::Recipients;
use crate::load::generator::LoadGenerator;
use crate::load::workload::Pace;
use crate::scenarios::messages::{self, Messages};
use crate::servers::deployment::Deployment;
use crate::servers::entrant::{BrokerKind, Entrant, Program};

/// Sizes of clusters.
pub const NODES: [usize; 3] = [1, 2, 3];

/// Sockets that send, in turn: two at each of three nodes.
pub const SENDERS: usize = 6;

/// Messages in flight where there are many.
pub const MANY: Pace = Pace::InFlight(32);

/// How long the clients of a new cluster send before anything is counted, node messages included: each node looks up
/// meanwhile where the Replicas of the others live.
const FIRST_LOOKUPS: Duration = Duration::from_millis(100);

/// The settings of a run.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSettings {
    /// Sockets of the room, over all nodes.
    pub sockets: usize,
    /// The length of a message, in bytes.
    pub bytes: usize,
    /// The pace where latency is measured.
    pub rate: Pace,
    /// How often and how long.
    pub timing: Timing,
}

/// A server on a number of nodes.
#[derive(Clone, Debug)]
pub struct Contender {
    /// The server. Its name is that of the row in tables.
    pub entrant: Entrant,
    /// The number of nodes.
    pub nodes: usize,
}

impl Contender {
    /// Its series in a scenario.
    pub fn series(&self, scenario: &str) -> Series {
        series(scenario, &self.entrant.name, self.nodes)
    }
}

/// The series of a server on a number of nodes.
pub fn series(scenario: &str, name: &str, nodes: usize) -> Series {
    Series::new(scenario, format!("{name}, nodes: {nodes}"))
}

/// One of our programs as a node. `limit` is the number of seats per Replica; without it one Replica has room for all.
pub fn ours(name: &str, program: Program, limit: Option<usize>) -> Entrant {
    let limit = limit.unwrap_or(100_000).to_string();
    Entrant::new(name, program).with(&["--admin", "127.0.0.1:0", "--limit", &limit]).over(BrokerKind::Nats)
}

impl ClusterSettings {
    /// The load generator for clients that are connected, all in one room.
    ///
    /// # Errors
    /// When the workload is impossible.
    pub fn load(
        &self,
        deployment: &Deployment,
        entrant: &Entrant,
        streams: Vec<Connection>,
        recipients: Recipients,
    ) -> Result<LoadGenerator> {
        let messages = Messages {
            sockets: streams.len(),
            rooms: 1,
            senders: SENDERS,
            pace: Pace::InFlight(1),
            bytes: self.bytes,
            recipients,
        };
        let load = LoadGenerator::new(streams, messages.workload(entrant, self.timing))?;
        Ok(load.spread_over(deployment.nodes()))
    }

    /// Lets clients send until every node has looked up all Replicas.
    ///
    /// # Errors
    /// When the servers do not do what they should.
    pub fn settle(&self, deployment: &Deployment, load: &mut LoadGenerator) -> Result<()> {
        load.count_for(FIRST_LOOKUPS);
        messages::measure_at(deployment, load, Pace::InFlight(1))?;
        load.count_for(self.timing.measured);
        Ok(())
    }
}
