//! The parameters of a run, which its seed determines.

use std::time::Duration;

use dog::{Placement, Policy};
use dog_engine::host::LivenessChecks;
use dog_testing::world::{Bug, DiskConfig, Random, Weather, WorldConfig};

use crate::env::Rules;
use crate::late_identity::UNASSIGNED;
use crate::presence;

/// What happens in a run, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: WorldConfig,
    pub(crate) rules: Rules,
    pub(crate) groups: usize,
    pub(crate) clients: usize,
    pub(crate) rounds: usize,
    pub(crate) actions: usize,
    /// How many of 1,000 actions crash a life or a node.
    pub(crate) crashes: u32,
    /// How many of 1,000 actions cut two nodes off from each other.
    pub(crate) cuts: u32,
    /// How many of 1,000 actions pause or isolate a node, mostly for longer than its lease.
    pub(crate) outages: u32,
    /// How many of 1,000 actions let a handler fail or panic.
    pub(crate) faults: u32,
    /// How many of 1,000 activations fail.
    pub(crate) activations_fail: u32,
    /// How many of 1,000 actions are about publications.
    pub(crate) publications: u32,
    /// Whether logs are reset and purged. In half of the runs they are not, because what such a run has lost may be gone with its log.
    pub(crate) begins_again: bool,
    /// How many of 1,000 actions are about presence.
    pub(crate) presence: u32,
}

impl Plan {
    /// Returns the plan of a seed.
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed ^ 0x0064_6f67);
        // A third of the runs is calm, because some promises can be checked only there.
        let weather = *random.pick(&[Weather::CALM, Weather::STORM, Weather::STORM]);
        let cuts = if weather.lost > 0 { *random.pick(&[0, 30]) } else { 0 };
        let nodes = *random.pick(&[1, 2, 3]);
        let outages = if nodes > 1 { *random.pick(&[0, 0, 40, 80]) } else { 0 };
        Self {
            config: WorldConfig {
                seed,
                nodes,
                weather,
                disk: disk(&mut random),
                outbox: 64 * 1024,
                hibernate_after: hibernate_after(&mut random),
                liveness: *random.pick(&[LivenessChecks::Timed, LivenessChecks::Timed, LivenessChecks::OnDemand]),
                bug,
            },
            rules: Rules { doubles: weather.doubled > 0, ..rules(&mut random, seed) },
            groups: *random.pick(&[1, 1, 2]),
            clients: *random.pick(&[3, 6, 10]),
            rounds: *random.pick(&[1, 2]),
            actions: *random.pick(&[15, 30, 60]),
            crashes: *random.pick(&[0, 30, 80]),
            cuts,
            outages,
            faults: *random.pick(&[0, 30, 80]),
            activations_fail: if cuts > 0 { *random.pick(&[0, 50]) } else { 0 },
            // A log in memory keeps its Group there, so that most runs are without one.
            publications: if seed % 5 < 2 { 300 } else { 0 },
            begins_again: (seed / 30) % 2 == 1,
            presence: if presence::of_seed(seed).is_some() { 200 } else { 0 },
        }
    }
}

fn disk(random: &mut Random) -> DiskConfig {
    *random.pick(&[
        DiskConfig::default(),
        DiskConfig { delay: 5_000, fails: 0, doubts: 0 },
        DiskConfig { delay: 5_000, fails: 0, doubts: 60 },
        DiskConfig { delay: 200_000, fails: 30, doubts: 60 },
    ])
}

fn hibernate_after(random: &mut Random) -> Option<Duration> {
    // A Group asks its members every 30 s, which must not keep them from hibernating. So one of these times is longer.
    let some = Duration::from_secs(*random.pick(&[1, 3, 10, 45]));
    *random.pick(&[None, None, Some(Duration::ZERO), Some(some)])
}

fn rules(random: &mut Random, seed: u64) -> Rules {
    let policy = Policy {
        ticket_lifetime: Duration::from_secs(random.within(1..=8)),
        sticky_for: Duration::from_secs(random.within(1..=20)),
        park_after: Duration::from_secs(random.within(2..=20)),
        assign_deadline: Duration::from_secs(random.within(1..=8)),
        unassigned_code: UNASSIGNED,
        max_seats_per_client: (seed % 4 == 1).then_some(3),
        presence: presence::of_seed(seed),
        placement: if seed % 4 == 3 { Placement::FillFirst } else { Placement::LeastUsed },
        ..Policy::default()
    };
    Rules { limit: u32::try_from(random.within(1..=4)).unwrap_or(1), policy, doubles: false }
}
