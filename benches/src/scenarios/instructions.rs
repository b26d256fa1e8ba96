//! The instructions of a delivery, without those of the kernel: the family [`InstructionsFamily`]. The relay runs under
//! valgrind's callgrind twice, with few messages and with many. What the second run has executed in addition, divided by the
//! deliveries that it has made in addition, is what a delivery costs: the start, the handshakes and the end cost both the
//! same. Unlike processor time, the result hardly depends on the machine or on what else it does.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::harness::comparison::comparison;
use crate::harness::family::Family;
use crate::harness::options::{BenchOptions, Timing};
use crate::harness::report::Section;
use crate::harness::rounds::{Turn, TurnGroup};
use crate::harness::sample::{Figure, Sample, Series};
use crate::harness::store::Store;
use crate::load::generator::LoadGenerator;
use crate::load::workload::Workload;
use crate::measure::as_float;
use crate::servers::entrant::{Entrant, Program};
use crate::servers::programs::Programs;

use super::builds::{Builds, RELAY};
use super::messages::Messages;

/// What is shown.
const FIGURES: &[Figure] = &[Figure { key: "instructions", title: "user-space instructions per delivery", digits: 1 }];

/// Messages of both runs. Memory has grown to its size after them.
const FEW: u64 = 500;

/// Sockets. Each message has as many deliveries, so a fiftieth of what a message costs is part of each delivery.
const SOCKETS: usize = 50;

const ONE: Messages = Messages { sockets: SOCKETS, ..Messages::ROOM };
const MANY: Messages = Messages { sockets: SOCKETS, ..Messages::BUSY };

/// What is counted.
struct Scenario {
    name: &'static str,
    title: &'static str,
    /// What clients do.
    messages: Messages,
    /// The server that is counted. `None`: the relays of the builds.
    verbs: Option<&'static str>,
}

static SCENARIOS: [Scenario; 5] = [
    Scenario { name: "one", title: "One message in flight", messages: ONE, verbs: None },
    Scenario { name: "many", title: "32 messages in flight", messages: MANY, verbs: None },
    Scenario { name: "limits", title: "Limits that are not reached", messages: ONE, verbs: Some(LIMITED) },
    Scenario { name: "recorded", title: "Publications in memory, one in flight", messages: ONE, verbs: Some(RECORDED) },
    Scenario { name: "recorded-many", title: "The same, 32 in flight", messages: MANY, verbs: Some(RECORDED) },
];

const UNRECORDED: &str = "broadcast";
const LIMITED: &str = "broadcast with limits";
const RECORDED: &str = "publication";

/// The servers that are no relays, and their command lines.
const VERBS: [(&str, &[&str]); 3] = [
    (UNRECORDED, &["--verb", "broadcast"]),
    (LIMITED, &["--verb", "broadcast", "--messages-per-second", MOST, "--requests-per-second", MOST]),
    (RECORDED, &["--verb", "publish"]),
];

/// A rate that is not reached.
const MOST: &str = "1000000";

impl Scenario {
    /// Whether a server takes part. `UNRECORDED` is what the others are compared with.
    fn has(&self, entrant: &Entrant) -> bool {
        match self.verbs {
            None => entrant.program == Program::Relay,
            Some(name) => entrant.name == name || entrant.name == UNRECORDED,
        }
    }

    /// What is compared with the others.
    fn ours(&self) -> &'static str {
        self.verbs.unwrap_or(RELAY)
    }
}

/// The flags of this family.
#[derive(Args, Clone, Debug)]
pub struct InstructionsFlags {
    /// Messages that are counted [default: 5000, or 500 with --quick]
    #[arg(long)]
    messages: Option<u64>,
    /// The folder of another build's `relay`, for example an earlier commit's
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
}

/// The family.
pub struct InstructionsFamily {
    messages: u64,
    timing: Timing,
    builds: Builds,
    entrants: Vec<Entrant>,
}

impl InstructionsFamily {
    /// The family with these flags.
    ///
    /// # Errors
    /// When a flag is out of range, or valgrind is missing.
    pub fn new(flags: &InstructionsFlags, programs: Programs, options: &BenchOptions, timing: Timing) -> Result<Self> {
        let messages = flags.messages.unwrap_or(if options.quick { 500 } else { 5_000 });
        ensure!((1..=1_000_000).contains(&messages), "--messages: give 1 to 1,000,000");
        let builds = Builds::new(programs, flags.against.as_deref(), options.pin)?;
        let mut entrants = builds.relays(&[]);
        entrants.extend(VERBS.map(|(name, arguments)| Entrant::new(name, Program::Verbs).with(arguments)));
        Ok(Self { messages, timing, builds, entrants })
    }

    fn measure(&self, entrant: &Entrant, messages: Messages) -> Result<Sample> {
        let workload = messages.workload(entrant, self.timing);
        let few = self.count(entrant, workload.clone(), FEW)?;
        let many = self.count(entrant, workload, FEW + self.messages)?;
        let instructions = as_float(many.instructions.saturating_sub(few.instructions));
        let deliveries = as_float(many.deliveries - few.deliveries);
        Ok(Sample::from([(FIGURES[0], instructions / deliveries)]))
    }

    /// What a relay executes from its start to its end, while at least this many messages are sent.
    fn count(&self, entrant: &Entrant, workload: Workload, messages: u64) -> Result<Count> {
        let server = self.builds.launcher(entrant).start_counted(entrant)?;
        let mut load = LoadGenerator::connect(&server.endpoint(), workload)?;
        let deliveries = load.send_messages(messages)?.deliveries;
        drop(load);
        Ok(Count { deliveries, instructions: server.stop()? })
    }
}

/// What one run has done.
struct Count {
    deliveries: u64,
    instructions: u64,
}

impl Family for InstructionsFamily {
    fn command(&self) -> &'static str {
        "cargo xtask bench instructions"
    }

    fn scenarios(&self) -> Vec<(&'static str, String)> {
        let scenario =
            |Scenario { name, title, messages, .. }: &Scenario| (*name, format!("{title}: {}", messages.describe()));
        SCENARIOS.iter().map(scenario).collect()
    }

    fn settings(&self) -> String {
        format!("{} messages are counted, after {FEW} that are not", self.messages)
    }

    fn missing(&self) -> Vec<String> {
        self.builds.missing(&self.entrants)
    }

    fn sockets(&self) -> usize {
        SOCKETS
    }

    fn groups(&self) -> Result<Vec<TurnGroup<'_>>> {
        let builds = "`cargo build --release -p relay -p dog-benches` builds them";
        ensure!(self.missing().is_empty(), "the servers are not built: {builds}");
        let group = |scenario: &'static Scenario| {
            let turn = |entrant: &'_ Entrant| {
                let (series, entrant) = (Series::new(scenario.name, entrant.name.as_str()), entrant.clone());
                Turn::one(series, FIGURES, move || self.measure(&entrant, scenario.messages))
            };
            let entrants = self.entrants.iter().filter(|entrant| scenario.has(entrant));
            TurnGroup { name: scenario.name, turns: entrants.map(turn).collect() }
        };
        Ok(SCENARIOS.iter().map(group).collect())
    }

    fn sections(&self, store: &Store) -> Vec<Section> {
        SCENARIOS.iter().filter_map(|scenario| self.section(store, scenario)).collect()
    }
}

impl InstructionsFamily {
    /// The table of a scenario, if it was measured.
    fn section(&self, store: &Store, scenario: &Scenario) -> Option<Section> {
        let Scenario { name, title, messages, .. } = scenario;
        let ours = scenario.ours();
        let entrants = self.entrants.iter().filter(|entrant| scenario.has(entrant) && entrant.name != ours);
        let others: Vec<&str> = entrants.map(|entrant| entrant.name.as_str()).collect();
        store.has(&Series::new(*name, ours), 0).then(|| Section {
            title: (*title).to_owned(),
            about: format!("{}. Median (minimum–maximum) of all rounds.", messages.describe()),
            plot: None,
            table: comparison(store, name, FIGURES, &others, ours),
            failures: store.failures(name),
        })
    }
}
