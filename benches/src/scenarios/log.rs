//! What is recorded beside what is not, sockets that resume, and presence: [`LogFamily`].

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::harness::comparison::comparison;
use crate::harness::family::Family;
use crate::harness::options::{BenchOptions, Timing};
use crate::harness::report::Section;
use crate::harness::rounds::{Turn, TurnGroup};
use crate::harness::sample::{Figure, Sample, Series};
use crate::harness::store::Store;
use crate::load::connect;
use crate::load::deliveries::Recipients;
use crate::load::generator::LoadGenerator;
use crate::load::workload::Pace;
use crate::measure::{as_float, micros};
use crate::servers::deployment::Deployment;
use crate::servers::entrant::{BrokerKind, Entrant, Program};
use crate::servers::launcher::Launcher;
use crate::servers::programs::Programs;

use super::connects::{Visits, visits};
use super::figures;
use super::messages::{self, Messages, SETTLED, play};
use super::resumes::{self, Resumes};

const DELIVERIES: &[Figure] = &[figures::CPU, figures::USER, figures::RATE, figures::P50, figures::P99];
const STORED: &[Figure] = &[figures::PUBLICATION_RATE, figures::PUBLICATION_CPU, figures::P50, figures::P99];
const RETURNED: &[Figure] = &[figures::RESUME_TIME, figures::RESUME_CPU, figures::CPU, figures::CORE];
const VISITED: &[Figure] = &[figures::CONNECT_CPU, figures::CONNECT_RATE];

/// 64 clients that publish, each when its last publication is stored. Nobody subscribes.
const PUBLISHERS: Messages = Messages {
    sockets: 64,
    rooms: 1,
    senders: 64,
    pace: Pace::InFlight(64),
    bytes: 128,
    recipients: Recipients::Sender,
};

const RESUMES: Resumes = Resumes { sockets: 5_000, missed: 50, bytes: 128, at_once: 4 };

/// Few at a time: a client keeps eight tickets at most.
const VISITS: Visits = Visits { batch: 48, at_once: 4 };

/// Clients that connect at the same time before the others visit.
const AT_ONCE: usize = 8;

const UNRECORDED: &str = "broadcast";
const RECORDED: &str = "publication in memory";
const IN_MEMORY: &str = "stored in memory";
const ON_DISK: &str = "stored on disk";
const IN_CLUSTER: &str = "one node, one NATS server";
const RETURNING: &str = "relay of publications";
const WITHOUT: &str = "without a presence";
const WITH: &str = "with a presence";

/// What a scenario measures.
#[derive(Clone, Copy)]
enum Activity {
    Send(Messages),
    Store(Messages),
    Resume(Resumes),
    /// Clients come and go while this many are there.
    Visit(usize),
}

struct Scenario {
    name: &'static str,
    title: &'static str,
    activity: Activity,
}

const SCENARIOS: [Scenario; 7] = [
    Scenario { name: "one", title: "One message in flight", activity: Activity::Send(Messages::ROOM) },
    Scenario {
        name: "many",
        title: "32 messages in flight",
        activity: Activity::Send(Messages { senders: 32, ..Messages::BUSY }),
    },
    Scenario { name: "durable", title: "Durable publications of one Group", activity: Activity::Store(PUBLISHERS) },
    Scenario {
        name: "durable-100",
        title: "Durable publications of 100 Groups",
        activity: Activity::Store(Messages {
            sockets: 200,
            rooms: 100,
            senders: 200,
            pace: Pace::InFlight(200),
            ..PUBLISHERS
        }),
    },
    Scenario { name: "resume", title: "Sockets that come back", activity: Activity::Resume(RESUMES) },
    Scenario { name: "presence", title: "Presence of a small room", activity: Activity::Visit(100) },
    Scenario { name: "presence-15000", title: "Presence of a large room", activity: Activity::Visit(15_000) },
];

impl Activity {
    fn figures(self) -> &'static [Figure] {
        match self {
            Self::Send(_) => DELIVERIES,
            Self::Store(_) => STORED,
            Self::Resume(_) => RETURNED,
            Self::Visit(_) => VISITED,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Send(messages) => messages.describe(),
            Self::Store(messages) => format!("{}; nobody subscribes", messages.describe()),
            Self::Resume(resumes) => resumes.describe(),
            Self::Visit(members) => format!(
                "clients open a WebSocket and leave, in batches of {}, {} at a time, while {members} others are there",
                VISITS.batch, VISITS.at_once
            ),
        }
    }

    /// The entrants, the last of which is compared with the others.
    fn entrants(self) -> &'static [&'static str] {
        match self {
            Self::Send(_) => &[UNRECORDED, RECORDED],
            Self::Store(_) => &[IN_MEMORY, IN_CLUSTER, ON_DISK],
            Self::Resume(_) => &[RETURNING],
            Self::Visit(_) => &[WITHOUT, WITH],
        }
    }
}

/// The family.
pub struct LogFamily {
    launcher: Launcher,
    timing: Timing,
    entrants: Vec<Entrant>,
    /// The data of [`ON_DISK`].
    disk: TempDir,
}

impl LogFamily {
    /// The family.
    ///
    /// # Errors
    /// When there is one processor only, and the servers are to be pinned, or there is no room for a folder beside this program.
    pub fn new(programs: Programs, options: &BenchOptions, timing: Timing) -> Result<Self> {
        let program = std::env::current_exe()?;
        let folder = program.parent().context("this program has no folder")?;
        let disk = tempfile::Builder::new().prefix("dog-bench-").tempdir_in(folder)?;
        let entrant = |name, verb| Entrant::new(name, Program::Verbs).with(&["--limit", "20000", "--verb", verb]);
        let entrants = vec![
            entrant(UNRECORDED, "broadcast"),
            entrant(RECORDED, "publish"),
            entrant(IN_MEMORY, "record"),
            entrant(IN_CLUSTER, "record").over(BrokerKind::Nats),
            entrant(ON_DISK, "record"),
            entrant(RETURNING, "resume"),
            entrant(WITHOUT, "tick"),
            entrant(WITH, "presence"),
        ];
        Ok(Self { launcher: Launcher::new(programs, options.pin)?, timing, entrants, disk })
    }

    fn measure(&self, entrant: &Entrant, activity: Activity) -> Result<Sample> {
        // Each run begins without data.
        let folder =
            tempfile::tempdir_in(if entrant.name == ON_DISK { self.disk.path() } else { "/dev/shm".as_ref() })?;
        let data = folder.path().display().to_string();
        let started = match entrant.broker {
            Some(_) => entrant.clone(),
            None => entrant.clone().with(&["--data", &data]),
        };
        let deployment = self.launcher.start(&started, 1)?;
        match activity {
            Activity::Send(messages) => play(&deployment, messages.workload(entrant, self.timing)),
            Activity::Store(messages) => self.store(&deployment, entrant, messages),
            Activity::Resume(resumes) => resumes::measure(&deployment, resumes),
            Activity::Visit(members) => self.visit(&deployment, members),
        }
    }

    fn store(&self, deployment: &Deployment, entrant: &Entrant, messages: Messages) -> Result<Sample> {
        let mut load = LoadGenerator::connect(deployment.endpoint(0), messages.workload(entrant, self.timing))?;
        std::thread::sleep(SETTLED);
        let run = messages::run(deployment, &mut load)?;
        let used = run.probes.1.since(run.probes.0);
        let (publications, each) = (as_float(run.arrivals.messages), &run.arrivals.each);
        Ok(Sample::from([
            (figures::PUBLICATION_RATE, publications / run.elapsed.as_secs_f64()),
            (figures::PUBLICATION_CPU, used.nodes_micros() / publications),
            (figures::P50, micros(each.quantile(0.5))),
            (figures::P99, micros(each.quantile(0.99))),
        ]))
    }

    fn visit(&self, deployment: &Deployment, members: usize) -> Result<Sample> {
        let member = |number: usize| format!("u=m{number}&room=r0");
        let present = connect::all(deployment.endpoint(0), 0..members, member, AT_ONCE)?;
        std::thread::sleep(Duration::from_secs(1));
        let sample = visits(deployment, 0, VISITS, self.timing.measured, |number| connect::query(number, 0))?;
        drop(present);
        Ok(sample)
    }

    fn turns<'a>(&'a self, scenario: &Scenario) -> Vec<Turn<'a>> {
        let Scenario { name, activity, .. } = *scenario;
        let takes_part =
            |entrant: &&Entrant| activity.entrants().contains(&entrant.name.as_str()) && self.launcher.has(entrant);
        let turn = |entrant: &'a Entrant| {
            let series = Series::new(name, entrant.name.as_str());
            Turn::one(series, activity.figures(), move || self.measure(entrant, activity))
        };
        self.entrants.iter().filter(takes_part).map(turn).collect()
    }
}

impl Family for LogFamily {
    fn command(&self) -> &'static str {
        "cargo xtask bench log"
    }

    fn scenarios(&self) -> Vec<(&'static str, String)> {
        SCENARIOS.iter().map(|scenario| (scenario.name, scenario.activity.describe())).collect()
    }

    fn settings(&self) -> String {
        "one worker".into()
    }

    fn missing(&self) -> Vec<String> {
        self.launcher.missing(&self.entrants)
    }

    fn sockets(&self) -> usize {
        15_000 + VISITS.batch
    }

    fn groups(&self) -> Result<Vec<TurnGroup<'_>>> {
        let single = self.entrants.iter().filter(|entrant| entrant.broker.is_none());
        let built = single.into_iter().all(|entrant| self.launcher.has(entrant));
        ensure!(built, "the server is not built: `cargo build --release -p dog-benches` builds it");
        let group = |scenario: &Scenario| TurnGroup { name: scenario.name, turns: self.turns(scenario) };
        Ok(SCENARIOS.iter().map(group).collect())
    }

    fn sections(&self, store: &Store) -> Vec<Section> {
        SCENARIOS.iter().filter_map(|scenario| section(store, scenario)).collect()
    }
}

/// The table of a scenario, if it was measured.
fn section(store: &Store, scenario: &Scenario) -> Option<Section> {
    let Scenario { name, title, activity } = scenario;
    let figures = activity.figures();
    let was_measured = |entrant: &&str| store.spread(&Series::new(*name, *entrant), &figures[0]).is_some();
    let measured: Vec<&str> = activity.entrants().iter().copied().filter(was_measured).collect();
    let (ours, others) = measured.split_last()?;
    Some(Section {
        title: (*title).to_owned(),
        about: format!(
            "{}. Median (minimum–maximum) of all rounds; ratios are of the same round.",
            activity.describe()
        ),
        plot: None,
        table: comparison(store, name, figures, others, ours),
        failures: store.failures(name),
    })
}
