//! How a world is made.

use std::time::Duration;

use dog_engine::host::LivenessChecks;

use super::bugs::Bug;
use super::clock::Micros;
use super::network::Weather;

/// How the disk behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskConfig {
    /// The longest time of a write, in microseconds.
    pub delay: Micros,
    /// How many of 1,000 writes fail.
    pub fails: u32,
    /// How many of 1,000 writes with records of logs fail for their object, and are on disk nevertheless.
    pub doubts: u32,
}

/// How a world is made.
#[derive(Clone, Copy, Debug)]
pub struct WorldConfig {
    /// The seed of all random choices.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: usize,
    /// How the network behaves.
    pub weather: Weather,
    /// How the disk behaves.
    pub disk: DiskConfig,
    /// How many bytes may wait for one client.
    pub outbox: usize,
    /// How long an object may be idle before it leaves memory. `None`: it stays in memory.
    pub hibernate_after: Option<Duration>,
    /// When Groups and Replicas check on each other.
    pub liveness: LivenessChecks,
    /// A bug to plant.
    pub bug: Option<Bug>,
}

impl Default for WorldConfig {
    /// Returns a world of one node without delays, for tests that move the clock themselves.
    fn default() -> Self {
        Self {
            seed: 0,
            nodes: 1,
            weather: Weather::STILL,
            disk: DiskConfig::default(),
            outbox: 1024 * 1024,
            hibernate_after: None,
            liveness: LivenessChecks::Timed,
            bug: None,
        }
    }
}
