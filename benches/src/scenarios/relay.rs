//! Our server beside the floor, with settings from the command line: [`RelayFamily`].

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::harness::comparison::comparison;
use crate::harness::family::Family;
use crate::harness::options::{BenchOptions, Timing};
use crate::harness::report::Section;
use crate::harness::rounds::{Turn, TurnGroup};
use crate::harness::sample::{Figure, Sample, Series};
use crate::harness::store::Store;
use crate::load::deliveries::Recipients;
use crate::load::generator::LoadGenerator;
use crate::load::workload::{Pace, Workload};
use crate::measure::as_float;
use crate::servers::entrant::{Entrant, Program};
use crate::servers::programs::Programs;

use super::builds::{Builds, RELAY};
use super::figures;
use super::messages::{self, Messages, SETTLED};

const NAME: &str = "relay";

/// What is shown.
const FIGURES: &[Figure] = &[
    figures::CPU,
    figures::USER,
    figures::OWN_CPU,
    figures::RATE,
    figures::P50,
    figures::P99,
    figures::LAST_P50,
    figures::LAST_P99,
    figures::RESIDENT,
];

/// The flags of this family.
#[derive(Args, Clone, Debug)]
pub struct RelayFlags {
    /// Sockets
    #[arg(long, default_value_t = 500)]
    sockets: usize,
    /// Length of a message
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages in flight
    #[arg(long, value_name = "MESSAGES", default_value_t = 1)]
    in_flight: usize,
    /// Sockets that send, in turn [default: 1, or 4 with several messages in flight, or one per room]
    #[arg(long, value_name = "SOCKETS")]
    senders: Option<usize>,
    /// Rooms that the sockets are spread over
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// How long the load generator waits for more deliveries, in µs; 0 wakes it for each one, which costs both sides more
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 100)]
    pause: u64,
    /// The relay's seats per Replica [default: the relay's own]
    #[arg(long, value_name = "SEATS")]
    limit: Option<usize>,
    /// The relay's worker threads
    #[arg(long, value_name = "THREADS", default_value_t = 1)]
    workers: usize,
    /// The folder of another build's `relay`, for example an earlier commit's: measured in the same rounds
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
}

/// The family.
pub struct RelayFamily {
    flags: RelayFlags,
    messages: Messages,
    timing: Timing,
    builds: Builds,
    entrants: Vec<Entrant>,
}

impl RelayFamily {
    /// The family with these flags.
    ///
    /// # Errors
    /// When the flags do not fit together.
    pub fn new(flags: RelayFlags, programs: Programs, options: &BenchOptions, timing: Timing) -> Result<Self> {
        ensure!(flags.in_flight >= 1 && flags.rooms >= 1, "--in-flight, --rooms: give 1 or more");
        let usual = if flags.in_flight == 1 { 1 } else { 4 };
        let messages = Messages {
            sockets: flags.sockets,
            rooms: flags.rooms,
            senders: flags.senders.unwrap_or_else(|| usual.max(flags.rooms).min(flags.sockets)),
            pace: Pace::InFlight(flags.in_flight),
            bytes: flags.bytes,
            recipients: Recipients::Room,
        };
        let builds = Builds::new(programs, flags.against.as_deref(), options.pin)?;
        let (workers, limit) = (flags.workers.to_string(), flags.limit.map(|limit| limit.to_string()));
        let mut arguments = vec!["--workers", &workers];
        arguments.extend(limit.iter().flat_map(|limit| ["--limit", limit]));
        let mut entrants = vec![Entrant::new("floor", Program::Floor)];
        if flags.in_flight > 1 {
            entrants.push(Entrant::new("joined floor", Program::Floor).with(&["--joined"]));
        }
        entrants.extend(builds.relays(&arguments));
        messages.workload(&entrants[0], timing).check()?;
        Ok(Self { flags, messages, timing, builds, entrants })
    }

    fn measure(&self, entrant: &Entrant) -> Result<Sample> {
        let deployment = self.builds.launcher(entrant).start(entrant, 1)?;
        let empty = deployment.resident_bytes()?;
        let pause = Duration::from_micros(self.flags.pause);
        let workload = Workload { pause, ..self.messages.workload(entrant, self.timing) };
        let mut load = LoadGenerator::connect(deployment.endpoint(0), workload)?;
        sleep(SETTLED);
        let added = deployment.resident_bytes()?.saturating_sub(empty);
        let mut sample = messages::measure(&deployment, &mut load)?;
        sample.set(&figures::RESIDENT, as_float(added) / as_float(self.messages.sockets as u64));
        Ok(sample)
    }
}

impl Family for RelayFamily {
    fn command(&self) -> &'static str {
        "cargo xtask bench relay"
    }

    fn scenarios(&self) -> Vec<(&'static str, String)> {
        vec![(NAME, self.messages.describe())]
    }

    fn settings(&self) -> String {
        let limit = self.flags.limit.map_or_else(|| "the relay's own".into(), |limit| limit.to_string());
        format!("{}; limit {limit}, workers {}", self.messages.describe(), self.flags.workers)
    }

    fn missing(&self) -> Vec<String> {
        self.builds.missing(&self.entrants)
    }

    fn sockets(&self) -> usize {
        self.messages.sockets
    }

    fn groups(&self) -> Result<Vec<TurnGroup<'_>>> {
        ensure!(self.missing().is_empty(), "the relay is not built: `cargo build --release -p relay` builds it");
        let turns = self.entrants.iter().map(|entrant| {
            let series = Series::new(NAME, entrant.name.as_str());
            Turn::one(series, FIGURES, move || self.measure(entrant))
        });
        Ok(vec![TurnGroup { name: NAME, turns: turns.collect() }])
    }

    fn sections(&self, store: &Store) -> Vec<Section> {
        let floors: Vec<&str> =
            self.entrants.iter().map(|entrant| entrant.name.as_str()).filter(|name| *name != RELAY).collect();
        vec![Section {
            title: "The relay beside the floor".into(),
            about: "Median (minimum–maximum) of all rounds; ratios are of the same round. The memory per socket includes what \
                    the first socket of a server costs."
                .into(),
            plot: None,
            table: comparison(store, NAME, FIGURES, &floors, RELAY),
            failures: store.failures(NAME),
        }]
    }
}
