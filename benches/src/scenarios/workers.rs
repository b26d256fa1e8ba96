//! The relay on workerd beside the same on npm's `dog`: the family [`WorkersFamily`].

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::harness::comparison::comparison;
use crate::harness::family::Family;
use crate::harness::options::{BenchOptions, Timing};
use crate::harness::report::Section;
use crate::harness::rounds::{Turn, TurnGroup};
use crate::harness::sample::{Figure, Sample, Series};
use crate::harness::store::Store;
use crate::load::connect;
use crate::load::generator::LoadGenerator;
use crate::load::workload::Pace;
use crate::servers::deployment::Deployment;
use crate::servers::entrant::{Entrant, Program};
use crate::servers::launcher::Launcher;
use crate::servers::programs::Programs;

use super::memory::{self, Idle};
use super::messages::{self, Messages};
use super::{connects, figures};

const OURS: &str = "ours";
const PEER: &str = "npm dog";

/// Sockets that send.
const SENDERS: usize = 4;

/// Clients that connect at the same time.
const AT_ONCE: usize = 8;

/// Clients that connect and leave before anything is counted: workerd has compiled the code by then.
const WARM: usize = 1_000;

/// Silent sockets that are connected before the measured ones.
const BEFORE: usize = 100;

/// How long after clients have come or gone workerd is measured.
const SETTLED: Duration = Duration::from_secs(1);

const CPU_MANY: Figure = Figure { key: "cpu_many", title: "CPU per delivery, 32 in flight, µs", digits: 2 };
const CPU_ONE: Figure = Figure { key: "cpu", title: "CPU per delivery, 1 in flight, µs", digits: 2 };
const CONNECT_CPU: Figure = Figure { key: "connect_cpu", title: "CPU per connect, µs", digits: 0 };

/// What is shown of clients that send, and of clients that are silent.
const SENDING: &[Figure] = &[CPU_ONE, CPU_MANY, figures::P50, figures::P99, CONNECT_CPU, figures::CONNECT_TIME];
const SILENT: &[Figure] = &[figures::RESIDENT, figures::RESIDENT_HIBERNATED];

// Of one broadcast to all sockets, of which none has done anything since their objects hibernated; and while they are awake.
const WAKING_TIME: Figure =
    Figure { key: "waking_time", title: "broadcast that wakes: until the last has it, ms", digits: 0 };
const WAKING_CPU: Figure = Figure { key: "waking_cpu", title: "broadcast that wakes: CPU, ms", digits: 0 };
const AWAKE_TIME: Figure =
    Figure { key: "awake_time", title: "the same while awake: until the last has it, ms", digits: 0 };
const AWAKE_CPU: Figure = Figure { key: "awake_cpu", title: "the same while awake: CPU, ms", digits: 0 };

/// What is shown of sockets that hibernate and are woken.
const WAKING: &[Figure] = &[WAKING_TIME, WAKING_CPU, AWAKE_TIME, AWAKE_CPU];

/// Something that is measured of both.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    title: &'static str,
    /// Seats per Replica.
    limit: usize,
    activity: Activity,
}

/// What clients do.
#[derive(Clone, Copy)]
enum Activity {
    Send,
    BeSilent,
    /// They are silent until their objects hibernate, and then one of them sends a message to all.
    Wake,
}

impl Activity {
    fn figures(self) -> &'static [Figure] {
        match self {
            Self::Send => SENDING,
            Self::BeSilent => SILENT,
            Self::Wake => WAKING,
        }
    }
}

/// The flags of this family.
#[derive(Args, Clone, Debug)]
pub struct WorkersFlags {
    /// Sockets that are not silent
    #[arg(long, default_value_t = 500)]
    sockets: usize,
    /// Seats per Replica where there are several Replicas
    #[arg(long, value_name = "SEATS", default_value_t = 50)]
    limit: usize,
    /// Silent sockets whose memory is measured, and that are woken [default: 5000, or 500 with --quick]
    #[arg(long, value_name = "SOCKETS")]
    silent: Option<usize>,
    /// Length of a message
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages per second where latency is measured
    #[arg(long, value_name = "MESSAGES", default_value_t = 20.0)]
    rate: f64,
    /// How long silent sockets are left alone until their objects hibernate, which workerd does after ten seconds [default:
    /// 14, or 1 with --quick]
    #[arg(long, value_name = "SECONDS")]
    hibernate: Option<f64>,
}

/// The family.
pub struct WorkersFamily {
    flags: WorkersFlags,
    messages: Messages,
    rate: Pace,
    idle: Idle,
    timing: Timing,
    launcher: Launcher,
}

impl WorkersFamily {
    /// The family with these flags.
    ///
    /// # Errors
    /// When a flag is out of range.
    pub fn new(flags: WorkersFlags, programs: Programs, options: &BenchOptions, timing: Timing) -> Result<Self> {
        let silent = flags.silent.unwrap_or(if options.quick { 500 } else { 5_000 });
        let hibernate = flags.hibernate.unwrap_or(if options.quick { 1.0 } else { 14.0 });
        ensure!((0.0..=600.0).contains(&hibernate), "--hibernate: give 0 to 600");
        ensure!(flags.sockets >= SENDERS, "--sockets: give {SENDERS} or more");
        ensure!(silent >= 1 && flags.limit >= 1, "--silent, --limit: give 1 or more");
        let hibernate = Some(Duration::from_secs_f64(hibernate));
        let (sockets, bytes) = (flags.sockets, flags.bytes);
        Ok(Self {
            rate: Pace::per_second(flags.rate).context("--rate")?,
            messages: Messages { sockets, bytes, senders: SENDERS, ..Messages::ROOM },
            idle: Idle { before: BEFORE, sockets: silent, at_once: AT_ONCE, settle: SETTLED, hibernate },
            flags,
            timing,
            launcher: Launcher::new(programs, options.pin)?,
        })
    }

    /// Ours and the peer, with this many seats per Replica.
    fn entrants(limit: usize) -> [Entrant; 2] {
        let limit = limit.to_string();
        [(OURS, Program::Worker), (PEER, Program::NpmDog)]
            .map(|(name, program)| Entrant::new(name, program).with(&["--limit", &limit]))
    }

    fn all(&self) -> [Scenario; 5] {
        let scenario = |name, title, limit, activity| Scenario { name, title, limit, activity };
        let (several, silent) = (self.flags.limit, self.idle.sockets);
        [
            scenario("one", "1 Replica", self.flags.sockets, Activity::Send),
            scenario("several", "Several Replicas", several, Activity::Send),
            scenario("silent", "Silent sockets", BEFORE + silent, Activity::BeSilent),
            scenario("wake", "Waking silent sockets, 1 Replica", silent, Activity::Wake),
            scenario("wake-several", "Waking silent sockets, several Replicas", several, Activity::Wake),
        ]
    }

    /// Every measurement has a workerd of its own, so that none is affected by another one.
    fn measure(&self, entrant: &Entrant, activity: Activity) -> Result<Sample> {
        let deployment = self.launcher.start(entrant, 1)?;
        match activity {
            Activity::Send => self.send(&deployment, entrant),
            Activity::BeSilent => memory::measure(&deployment, self.idle),
            Activity::Wake => self.wake(&deployment, entrant),
        }
    }

    fn wake(&self, deployment: &Deployment, entrant: &Entrant) -> Result<Sample> {
        let messages = Messages { sockets: self.idle.sockets, senders: 1, ..self.messages };
        let workload = messages.workload(entrant, self.timing);
        let query = |number| workload.query(number);
        let streams = connect::all(deployment.endpoint(0), 0..messages.sockets, query, AT_ONCE)?;
        let mut load = LoadGenerator::new(streams, workload.clone())?;
        // The first one compiles code.
        load.send_messages(1)?;
        sleep(SETTLED);
        let (awake_time, awake_cpu) = broadcast(deployment, &mut load)?;
        sleep(self.idle.hibernate.unwrap_or_default());
        let (waking_time, waking_cpu) = broadcast(deployment, &mut load)?;
        Ok(Sample::from([
            (WAKING_TIME, waking_time),
            (WAKING_CPU, waking_cpu),
            (AWAKE_TIME, awake_time),
            (AWAKE_CPU, awake_cpu),
        ]))
    }

    fn send(&self, deployment: &Deployment, entrant: &Entrant) -> Result<Sample> {
        let endpoint = deployment.endpoint(0);
        drop(connect::all(endpoint, 0..WARM, |number| connect::query(number, 1), AT_ONCE)?);
        sleep(SETTLED);
        let (workload, mut streams) = (self.messages.workload(entrant, self.timing), Vec::new());
        let mut sample = connects::cost(deployment, || {
            streams = connect::all(endpoint, 0..self.messages.sockets, |number| workload.query(number), AT_ONCE)?;
            Ok(streams.len())
        })?;
        let mut load = LoadGenerator::new(streams, workload.clone())?;
        for (figure, pace) in [(CPU_ONE, Pace::InFlight(1)), (CPU_MANY, Pace::InFlight(32))] {
            let cpu = messages::measure_at(deployment, &mut load, pace)?.get(&figures::CPU);
            sample.set(&figure, cpu.context("no processor time was measured")?);
        }
        let latency = messages::measure_at(deployment, &mut load, self.rate)?;
        for figure in [figures::P50, figures::P99] {
            sample.set(&figure, latency.get(&figure).context("no latency was measured")?);
        }
        Ok(sample)
    }
}

/// Sends one message. Returns how long it took until the last socket had it, and workerd's processor time, in ms.
fn broadcast(deployment: &Deployment, load: &mut LoadGenerator) -> Result<(f64, f64)> {
    let before = deployment.usage()?;
    let arrivals = load.send_messages(1)?;
    let used = deployment.usage()?.since(before);
    Ok((messages::quantile(&arrivals.last, 1.0) / 1e3, used.nodes_micros() / 1e3))
}

impl Family for WorkersFamily {
    fn command(&self) -> &'static str {
        "cargo xtask bench workers"
    }

    fn scenarios(&self) -> Vec<(&'static str, String)> {
        self.all().map(|scenario| (scenario.name, scenario.title.to_owned())).to_vec()
    }

    fn settings(&self) -> String {
        let WorkersFlags { sockets, limit, bytes, rate, .. } = &self.flags;
        format!(
            "{sockets} sockets, {bytes} bytes of text; several Replicas: of {limit} seats; {rate} messages per second for \
             latency; {} silent sockets",
            self.idle.sockets
        )
    }

    fn missing(&self) -> Vec<String> {
        self.launcher.missing(&Self::entrants(1))
    }

    fn sockets(&self) -> usize {
        // workerd has the same limit of open files, and needs some beside its sockets.
        WARM.max(self.flags.sockets).max(BEFORE + self.idle.sockets) + 1_000
    }

    fn groups(&self) -> Result<Vec<TurnGroup<'_>>> {
        let missing = self.missing();
        ensure!(missing.is_empty(), "--workerd, --worker or --npm-dog are missing; `{}` supplies them", self.command());
        let group = |Scenario { name, limit, activity, .. }| {
            let turn = |entrant: Entrant| {
                let series = Series::new(name, entrant.name.as_str());
                Turn::one(series, activity.figures(), move || self.measure(&entrant, activity))
            };
            let turns = Self::entrants(limit).into_iter().filter(|entrant| self.launcher.has(entrant)).map(turn);
            TurnGroup { name, turns: turns.collect() }
        };
        Ok(self.all().into_iter().map(group).collect())
    }

    fn sections(&self, store: &Store) -> Vec<Section> {
        let section = |Scenario { name, title, activity, .. }| Section {
            title: title.to_owned(),
            about: "Median (minimum–maximum) of all rounds; ratios are of the same round. Less is better.".into(),
            plot: None,
            table: comparison(store, name, activity.figures(), &[PEER], OURS),
            failures: store.failures(name),
        };
        self.all().into_iter().map(section).collect()
    }
}
