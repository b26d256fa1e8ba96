//! One nats-server, which is killed at the end of the benchmark.

use std::fs;

use dog_test_support::nats::{NatsServers, Settings};

/// The unit of the processor times in `/proc`, in microseconds. It is 10 ms on every Linux.
const TICK: f64 = 10_000.0;

pub(crate) struct NatsServer(NatsServers);

impl NatsServer {
    /// Starts a server. `sync` is JetStream's `sync_interval`.
    pub(crate) fn start(sync: &str) -> Self {
        Self(NatsServers::start(1, Settings { jetstream: Some(sync), ..Settings::default() }))
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// Returns the processor time of the server process so far, in microseconds.
    pub(crate) fn time(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id(0))).expect("the server");
        let fields = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace();
        let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        ticks * TICK
    }
}
