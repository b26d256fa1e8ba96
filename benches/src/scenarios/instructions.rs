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
use crate::servers::entrant::Entrant;
use crate::servers::programs::Programs;

use super::builds::{Builds, RELAY};
use super::messages::Messages;

/// What is shown.
const FIGURES: &[Figure] = &[Figure { key: "instructions", title: "user-space instructions per delivery", digits: 1 }];

/// Messages of both runs. Memory has grown to its size after them.
const FEW: u64 = 500;

/// Sockets. Each message has as many deliveries, so a fiftieth of what a message costs is part of each delivery.
const SOCKETS: usize = 50;

/// The scenarios: their names and titles, and what clients do.
const SCENARIOS: [(&str, &str, Messages); 2] = [
    ("one", "One message in flight", Messages { sockets: SOCKETS, ..Messages::ROOM }),
    ("many", "32 messages in flight", Messages { sockets: SOCKETS, ..Messages::BUSY }),
];

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
        let entrants = builds.relays(&[]);
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
        SCENARIOS.map(|(name, title, messages)| (name, format!("{title}: {}", messages.describe()))).to_vec()
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
        ensure!(self.missing().is_empty(), "the relay is not built: `cargo build --release -p relay` builds it");
        let group = |(name, _, messages): (&'static str, _, Messages)| {
            let turn = |entrant: &'_ Entrant| {
                let (series, entrant) = (Series::new(name, entrant.name.as_str()), entrant.clone());
                Turn::one(series, FIGURES, move || self.measure(&entrant, messages))
            };
            TurnGroup { name, turns: self.entrants.iter().map(turn).collect() }
        };
        Ok(SCENARIOS.into_iter().map(|(name, title, messages)| group((name, title, messages))).collect())
    }

    fn sections(&self, store: &Store) -> Vec<Section> {
        let others: Vec<&str> =
            self.entrants.iter().map(|entrant| entrant.name.as_str()).filter(|name| *name != RELAY).collect();
        let measured = |(name, ..): &(&str, &str, Messages)| store.has(&Series::new(*name, RELAY), 0);
        let section = |(name, title, messages): (&str, &str, Messages)| Section {
            title: title.to_owned(),
            about: format!("{}. Median (minimum–maximum) of all rounds.", messages.describe()),
            plot: None,
            table: comparison(store, name, FIGURES, &others, RELAY),
            failures: store.failures(name),
        };
        SCENARIOS.into_iter().filter(measured).map(section).collect()
    }
}
