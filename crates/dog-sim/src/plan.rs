//! What a run is like: all of it follows from the seed.

use std::time::Duration;

use dog::Policy;

use crate::app::Rules;
use dog_testing::world::{Bug, Disk, Making, Random, Weather};

/// What may happen in a run, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) making: Making,
    pub(crate) rules: Rules,
    pub(crate) groups: usize,
    pub(crate) clients: usize,
    pub(crate) rounds: usize,
    pub(crate) actions: usize,
    /// Of a thousand actions: a life or a node crashes.
    pub(crate) crashes: u32,
    /// Of a thousand actions: nodes are cut off from each other.
    pub(crate) cuts: u32,
    /// Of a thousand actions: a handler fails or panics.
    pub(crate) faults: u32,
    pub(crate) fails_to_wake: u32,
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed ^ 0x0064_6f67);
        // A third of the runs is calm, so that everything that is promised then can be asked for.
        let weather = *random.pick(&[Weather::CALM, Weather::STORM, Weather::STORM]);
        let cuts = if weather.lost > 0 { *random.pick(&[0, 30]) } else { 0 };
        let disk = *random.pick(&[
            Disk::default(),
            Disk { delay: 5_000, fails: 0 },
            Disk { delay: 5_000, fails: 0 },
            Disk { delay: 200_000, fails: 30 },
        ]);
        let policy = Policy {
            ticket_lifetime: Duration::from_secs(random.within(1..=8)),
            sticky_for: Duration::from_secs(random.within(1..=20)),
            park_after: Duration::from_secs(random.within(2..=20)),
            ..Policy::default()
        };
        let limit = u32::try_from(random.within(1..=4)).unwrap_or(1);
        let nodes = *random.pick(&[1, 2, 3]);
        // The Group asks its members every thirty seconds: that is to keep nobody from resting.
        let some = Duration::from_secs(*random.pick(&[1, 3, 10, 45]));
        let hibernate_after = *random.pick(&[None, None, Some(Duration::ZERO), Some(some)]);
        let mut plan = Self {
            making: Making { seed, nodes, weather, disk, outbox: 64 * 1024, hibernate_after, keeps_watch: true, bug },
            rules: Rules { limit, policy },
            groups: *random.pick(&[1, 1, 2]),
            clients: *random.pick(&[3, 6, 10]),
            rounds: *random.pick(&[1, 2]),
            actions: *random.pick(&[15, 30, 60]),
            crashes: *random.pick(&[0, 30, 80]),
            cuts,
            faults: *random.pick(&[0, 30, 80]),
            fails_to_wake: if cuts > 0 { *random.pick(&[0, 50]) } else { 0 },
        };
        // As on Workers. Drawn last: what a seed meant before it still does.
        plan.making.keeps_watch = *random.pick(&[true, true, false]);
        plan
    }
}
