//! Our server beside all peers, and beside the floor: the family [`PeersFamily`]. Its report is docs/performance.md.
//!
//! In reading order: [`scenario`], a scenario as data; [`catalog`], all of them; [`goals`], what the project wants to reach;
//! [`sections`], the report.

pub mod catalog;
pub mod goals;
pub mod scenario;
pub mod sections;

use anyhow::Result;

use crate::harness::family::Family;
use crate::harness::options::{BenchOptions, Timing};
use crate::harness::report::Section;
use crate::harness::rounds::{Turn, TurnGroup};
use crate::harness::sample::{Sample, Series};
use crate::harness::store::Store;
use crate::load::connect;
use crate::servers::entrant::Entrant;
use crate::servers::launcher::Launcher;
use crate::servers::programs::Programs;

use super::{connects, memory, messages, slow_reader, timers};
use scenario::{Activity, PeerScenario};

/// The most sockets that a scenario opens.
const SOCKETS: usize = 15_500;

/// How many times longer ticks are counted than messages: there are 20 per second, and one more or less is chance.
const LONGER: u32 = 5;

/// The family.
pub struct PeersFamily {
    scenarios: Vec<PeerScenario>,
    timing: Timing,
    launcher: Launcher,
}

impl PeersFamily {
    /// The family with these programs.
    ///
    /// # Errors
    /// When there is one processor only, and the servers are to be pinned.
    pub fn new(programs: Programs, options: &BenchOptions, timing: Timing) -> Result<Self> {
        Ok(Self { scenarios: catalog::scenarios(), timing, launcher: Launcher::new(programs, options.pin)? })
    }

    fn group<'a>(&'a self, scenario: &'a PeerScenario) -> TurnGroup<'a> {
        let there = scenario.entrants.iter().filter(|entrant| self.launcher.has(entrant));
        let turns = there.map(|entrant| {
            let series = Series::new(scenario.name, entrant.name.as_str());
            Turn::one(series, scenario.activity.figures(), move || self.measure(scenario, entrant))
        });
        TurnGroup { name: scenario.name, turns: turns.collect() }
    }

    fn measure(&self, scenario: &PeerScenario, entrant: &Entrant) -> Result<Sample> {
        let deployment = self.launcher.start(entrant, 1)?;
        match scenario.activity {
            Activity::Messages(messages) | Activity::Compressed(messages) => {
                messages::play(&deployment, messages.workload(entrant, self.timing))
            }
            Activity::SlowReader(messages) => {
                slow_reader::measure(&deployment, messages.workload(entrant, self.timing))
            }
            Activity::Visits(visits) => {
                let query = |number| connect::query(number, 0);
                connects::visits(&deployment, 0, visits, self.timing.measured, query)
            }
            Activity::Idle(idle) => memory::measure(&deployment, idle),
            Activity::Intervals(intervals) => timers::measure(&deployment, intervals, self.timing.measured * LONGER),
        }
    }
}

impl Family for PeersFamily {
    fn command(&self) -> &'static str {
        "cargo xtask bench"
    }

    fn scenarios(&self) -> Vec<(&'static str, String)> {
        self.scenarios.iter().map(|scenario| (scenario.name, scenario.title.to_owned())).collect()
    }

    fn settings(&self) -> String {
        String::new()
    }

    fn missing(&self) -> Vec<String> {
        self.launcher.missing(self.scenarios.iter().flat_map(|scenario| &scenario.entrants))
    }

    fn sockets(&self) -> usize {
        SOCKETS
    }

    fn groups(&self) -> Result<Vec<TurnGroup<'_>>> {
        Ok(self.scenarios.iter().map(|scenario| self.group(scenario)).collect())
    }

    fn sections(&self, store: &Store) -> Vec<Section> {
        sections::sections(store, &self.scenarios)
    }
}
