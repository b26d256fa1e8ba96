//! TLS beside no TLS, of our server and of nginx: [`TlsFamily`].

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::comparison::comparison;
use crate::harness::family::Family;
use crate::harness::options::{BenchOptions, Timing};
use crate::harness::report::Section;
use crate::harness::rounds::{Turn, TurnGroup};
use crate::harness::sample::{Figure, Sample, Series};
use crate::harness::store::Store;
use crate::load::connect;
use crate::measure::as_float;
use crate::servers::deployment::Deployment;
use crate::servers::encryption::Encryption;
use crate::servers::entrant::{Entrant, Program};
use crate::servers::launcher::Launcher;
use crate::servers::programs::Programs;

use super::connects::{Visits, visits};
use super::figures;
use super::memory::{self, Idle};
use super::messages::{Messages, play};

/// What is shown of messages.
const MESSAGES: &[Figure] = &[figures::CPU, figures::USER, figures::OWN_CPU, figures::RATE, figures::P50, figures::P99];

/// What is shown of handshakes.
const HANDSHAKES: &[Figure] =
    &[figures::CONNECT_CPU, figures::CONNECT_RATE, figures::CONNECT_OWN_CPU, figures::RESUMED];

const IDLE: Idle = Idle { before: 500, sockets: 3_000, at_once: 4, settle: Duration::from_secs(1), hibernate: None };

/// Few at a time: a client keeps eight tickets at most.
const VISITS: Visits = Visits { batch: 48, at_once: 4 };

/// The longer messages.
const LONG: usize = 4096;

const RELAY: &str = "relay";
const RELAY_TLS: &str = "relay, TLS";
const RELAY_RESUMED: &str = "relay, TLS resumed";
const NGINX: &str = "nginx";
const NGINX_TLS: &str = "nginx, TLS";
const NGINX_RESUMED: &str = "nginx, TLS resumed";

/// What a scenario measures.
#[derive(Clone, Copy)]
enum Activity {
    Send(Messages),
    BeSilent,
    Visit,
}

struct Scenario {
    name: &'static str,
    title: &'static str,
    activity: Activity,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "one", title: "One message in flight", activity: Activity::Send(Messages::ROOM) },
    Scenario { name: "many", title: "32 messages in flight", activity: Activity::Send(Messages::BUSY) },
    Scenario {
        name: "long",
        title: "Messages of 4 KiB, 32 in flight",
        activity: Activity::Send(Messages { bytes: LONG, ..Messages::BUSY }),
    },
    Scenario { name: "idle", title: "Idle sockets", activity: Activity::BeSilent },
    Scenario { name: "handshakes", title: "Handshakes", activity: Activity::Visit },
];

impl Activity {
    fn figures(self) -> &'static [Figure] {
        match self {
            Self::Send(_) => MESSAGES,
            Self::BeSilent => &[figures::RESIDENT],
            Self::Visit => HANDSHAKES,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Send(messages) => messages.describe(),
            Self::BeSilent => format!("{} idle sockets after {} others", IDLE.sockets, IDLE.before),
            Self::Visit => format!(
                "clients open a WebSocket and leave, in batches of {}, {} at a time. The certificate is ECDSA P-256, which \
                 the clients verify",
                VISITS.batch, VISITS.at_once
            ),
        }
    }

    /// Each pair of a table: who is compared, and with whom.
    fn pairs(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Send(_) | Self::BeSilent => &[(RELAY_TLS, &[RELAY, NGINX_TLS]), (NGINX_TLS, &[NGINX])],
            Self::Visit => &[(RELAY_TLS, &[RELAY, RELAY_RESUMED, NGINX_TLS]), (RELAY_RESUMED, &[RELAY, NGINX_RESUMED])],
        }
    }
}

/// The family.
pub struct TlsFamily {
    launcher: Launcher,
    timing: Timing,
    entrants: Vec<Entrant>,
    /// The files that the servers read.
    _encryption: Encryption,
}

impl TlsFamily {
    /// The family.
    ///
    /// # Errors
    /// When there is one processor only, and the servers are to be pinned.
    pub fn new(programs: Programs, options: &BenchOptions, timing: Timing) -> Result<Self> {
        let encryption = Encryption::new();
        let mut entrants = Vec::new();
        for (program, plain, full, resumed) in
            [(Program::Relay, RELAY, RELAY_TLS, RELAY_RESUMED), (Program::Nchan, NGINX, NGINX_TLS, NGINX_RESUMED)]
        {
            entrants.push(Entrant::new(plain, program));
            entrants.push(Entrant::new(full, program).encrypted(&encryption, false));
            entrants.push(Entrant::new(resumed, program).encrypted(&encryption, true));
        }
        Ok(Self { launcher: Launcher::new(programs, options.pin)?, timing, entrants, _encryption: encryption })
    }

    fn measure(&self, entrant: &Entrant, activity: Activity) -> Result<Sample> {
        let deployment = self.launcher.start(entrant, 1)?;
        match activity {
            Activity::Send(messages) => play(&deployment, messages.workload(entrant, self.timing)),
            Activity::BeSilent => memory::measure(&deployment, IDLE),
            Activity::Visit => self.visit(&deployment),
        }
    }

    fn visit(&self, deployment: &Deployment) -> Result<Sample> {
        let query = |number| connect::query(number, 0);
        let mut sample = visits(deployment, 0, VISITS, self.timing.measured, query)?;
        let last = connect::all(deployment.endpoint(0), 0..VISITS.batch, query, VISITS.at_once)?;
        let resumed = last.iter().filter(|connection| connection.is_resumed()).count();
        sample.set(&figures::RESUMED, 100.0 * as_float(resumed as u64) / as_float(VISITS.batch as u64));
        Ok(sample)
    }

    fn turns<'a>(&'a self, scenario: &Scenario) -> Vec<Turn<'a>> {
        let Scenario { name, activity, .. } = *scenario;
        let turn = |entrant: &'a Entrant| {
            let series = Series::new(name, entrant.name.as_str());
            Turn::one(series, activity.figures(), move || self.measure(entrant, activity))
        };
        self.entrants(activity).map(turn).collect()
    }

    /// Those who take part: sessions are resumed only where handshakes are measured.
    fn entrants(&self, activity: Activity) -> impl Iterator<Item = &Entrant> {
        let resumes = |name: &str| name == RELAY_RESUMED || name == NGINX_RESUMED;
        let takes_part = move |entrant: &&Entrant| {
            self.launcher.has(entrant) && (matches!(activity, Activity::Visit) || !resumes(&entrant.name))
        };
        self.entrants.iter().filter(takes_part)
    }
}

impl Family for TlsFamily {
    fn command(&self) -> &'static str {
        "cargo xtask bench tls"
    }

    fn scenarios(&self) -> Vec<(&'static str, String)> {
        SCENARIOS.iter().map(|scenario| (scenario.name, scenario.activity.describe())).collect()
    }

    fn settings(&self) -> String {
        "TLS 1.3; one worker".into()
    }

    fn missing(&self) -> Vec<String> {
        self.launcher.missing(&self.entrants)
    }

    fn sockets(&self) -> usize {
        IDLE.before + IDLE.sockets
    }

    fn groups(&self) -> Result<Vec<TurnGroup<'_>>> {
        let relay = self.entrants.iter().all(|entrant| entrant.program != Program::Relay || self.launcher.has(entrant));
        ensure!(relay, "the relay is not built: `cargo build --release -p relay` builds it");
        let group = |scenario: &Scenario| TurnGroup { name: scenario.name, turns: self.turns(scenario) };
        Ok(SCENARIOS.iter().map(group).collect())
    }

    fn sections(&self, store: &Store) -> Vec<Section> {
        SCENARIOS.iter().flat_map(|scenario| sections(store, scenario)).collect()
    }
}

/// A table for each that is compared and was measured.
fn sections(store: &Store, scenario: &Scenario) -> Vec<Section> {
    let Scenario { name, title, activity } = scenario;
    let main = &activity.figures()[0];
    let was_measured = |entrant: &str| store.spread(&Series::new(*name, entrant), main).is_some();
    let mut failures = store.failures(name);
    let section = |(ours, others): &(&str, &[&str])| {
        let others: Vec<&str> = others.iter().copied().filter(|other| was_measured(other)).collect();
        was_measured(ours).then(|| Section {
            title: format!("{title}: {ours}"),
            about: format!(
                "{}. Median (minimum–maximum) of all rounds; ratios are of the same round.",
                activity.describe()
            ),
            plot: None,
            table: comparison(store, name, activity.figures(), &others, ours),
            failures: std::mem::take(&mut failures),
        })
    };
    activity.pairs().iter().filter_map(section).collect()
}
