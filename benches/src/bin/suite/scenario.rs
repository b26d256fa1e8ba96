//! What is measured, as data: [`Scenario`], and what comes of it: [`Figure`].

use std::time::Duration;

use dog_benches::ledger::Reach;
use dog_benches::plan::Pace;

use crate::entrant::Entrant;

/// One thing that is measured of several servers.
pub(crate) struct Scenario {
    /// What it is called on the command line and in files.
    pub(crate) name: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    /// What one has to know besides what its numbers say.
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
    pub(crate) entrants: &'static [Entrant],
    /// Whether it is worth a plot.
    pub(crate) plot: bool,
}

/// How it is measured.
pub(crate) enum Kind {
    /// A crowd talks.
    Talk(Talk),
    /// The same twice: without a client that reads nothing, and with one.
    Slow(Talk),
    /// Clients come, and go at once.
    Visits(Visits),
    /// A crowd is silent.
    Idle(Idle),
}

/// A crowd that talks.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub(crate) sockets: usize,
    pub(crate) rooms: usize,
    pub(crate) senders: usize,
    pub(crate) pace: Pace,
    pub(crate) bytes: usize,
    pub(crate) reach: Reach,
    pub(crate) compressed: bool,
}

impl Talk {
    /// Five hundred in a room, and one of them speaks: what scenarios differ from.
    pub(crate) const ROOM: Self = Self {
        sockets: 500,
        rooms: 1,
        senders: 1,
        pace: Pace::InFlight(1),
        bytes: 128,
        reach: Reach::Room,
        compressed: false,
    };

    /// Four of them speak, and do not wait for each other.
    pub(crate) const BUSY: Self = Self { senders: 4, pace: Pace::InFlight(32), ..Self::ROOM };

    /// So many messages a second, come what may.
    pub(crate) const fn every(milliseconds: u64) -> Pace {
        Pace::Every(Duration::from_millis(milliseconds))
    }
}

/// Clients that come and go.
#[derive(Clone, Copy)]
pub(crate) struct Visits {
    /// How many are there before the first of a batch goes.
    pub(crate) batch: usize,
    /// How many come at the same time.
    pub(crate) at_once: usize,
}

/// A crowd that is silent.
#[derive(Clone, Copy)]
pub(crate) struct Idle {
    /// Those that are there before the rest is weighed, so that what the first one costs is not in it.
    pub(crate) before: usize,
    pub(crate) sockets: usize,
    /// How long they are left alone.
    pub(crate) settle: Duration,
}

/// A number that a round gives.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What it is called in files.
    pub(crate) key: &'static str,
    /// The head of its column.
    pub(crate) title: &'static str,
    /// How many of its digits behind the point are worth something.
    pub(crate) digits: usize,
}

/// The figures there are.
#[rustfmt::skip]
pub(crate) mod figures {
    use super::Figure;

    pub(crate) const CPU: Figure = Figure { key: "cpu", title: "CPU per delivery, µs", digits: 3 };
    pub(crate) const USER: Figure = Figure { key: "user", title: "in user mode, %", digits: 0 };
    pub(crate) const OWN_CPU: Figure = Figure { key: "own_cpu", title: "load generator, µs", digits: 3 };
    pub(crate) const RATE: Figure = Figure { key: "rate", title: "thousand deliveries/s", digits: 0 };
    pub(crate) const P50: Figure = Figure { key: "p50", title: "p50, µs", digits: 0 };
    pub(crate) const P99: Figure = Figure { key: "p99", title: "p99, µs", digits: 0 };
    pub(crate) const P999: Figure = Figure { key: "p999", title: "p99.9, µs", digits: 0 };
    pub(crate) const BYTES: Figure = Figure { key: "bytes", title: "bytes per delivery", digits: 0 };
    pub(crate) const COMPRESSED: Figure = Figure { key: "compressed", title: "compressed, %", digits: 0 };
    pub(crate) const VISIT_CPU: Figure = Figure { key: "visit_cpu", title: "CPU per visit, µs", digits: 1 };
    pub(crate) const VISIT_RATE: Figure = Figure { key: "visit_rate", title: "visits/s", digits: 0 };
    pub(crate) const VISIT_OWN: Figure = Figure { key: "visit_own", title: "load generator, µs", digits: 1 };
    pub(crate) const RESIDENT: Figure = Figure { key: "resident", title: "bytes per socket", digits: 0 };
    pub(crate) const SLOW: Figure = Figure { key: "slow", title: "p99 with it ÷ without", digits: 2 };
    pub(crate) const P99_WITHOUT: Figure = Figure { key: "p99_without", title: "p99 without, µs", digits: 0 };
    pub(crate) const P99_WITH: Figure = Figure { key: "p99_with", title: "p99 with, µs", digits: 0 };
    pub(crate) const CPU_WITHOUT: Figure = Figure { key: "cpu_without", title: "CPU without, µs", digits: 3 };
    pub(crate) const CPU_WITH: Figure = Figure { key: "cpu_with", title: "CPU with, µs", digits: 3 };
    pub(crate) const CLOSED: Figure = Figure { key: "closed", title: "it was closed (1 = yes)", digits: 0 };
}

use figures::{
    BYTES, CLOSED, COMPRESSED, CPU, CPU_WITH, CPU_WITHOUT, OWN_CPU, P50, P99, P99_WITH, P99_WITHOUT, P999, RATE,
    RESIDENT, SLOW, USER, VISIT_CPU, VISIT_OWN, VISIT_RATE,
};

impl Kind {
    /// What is shown of it, the figure first that ratios are of.
    pub(crate) fn figures(&self) -> &'static [Figure] {
        match self {
            Self::Talk(Talk { compressed: true, .. }) => &[CPU, BYTES, COMPRESSED, USER, RATE, OWN_CPU],
            Self::Talk(Talk { pace: Pace::Every(_), .. }) => &[P99, P50, P999, CPU, OWN_CPU],
            Self::Talk(_) => &[CPU, USER, RATE, OWN_CPU],
            Self::Slow(_) => &[SLOW, P99_WITHOUT, P99_WITH, CPU_WITHOUT, CPU_WITH, CLOSED],
            Self::Visits(_) => &[VISIT_CPU, VISIT_RATE, VISIT_OWN],
            Self::Idle(_) => &[RESIDENT],
        }
    }

    /// Its numbers in a line.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Talk(talk) => talk.describe(),
            Self::Slow(talk) => format!("{}; then the same beside a client that reads nothing", talk.describe()),
            Self::Visits(visits) => format!(
                "batches of {} clients that come {} at a time, and go when all are there",
                visits.batch, visits.at_once
            ),
            Self::Idle(idle) => {
                format!("{} silent sockets, after {} that are not counted", idle.sockets, idle.before)
            }
        }
    }
}

impl Talk {
    fn describe(&self) -> String {
        let Self { sockets, rooms, senders, bytes, .. } = self;
        let pace = match self.pace {
            Pace::InFlight(messages) => format!("{messages} in flight"),
            Pace::Every(interval) => format!("{:.0} messages a second", 1.0 / interval.as_secs_f64()),
        };
        let rooms = if *rooms == 1 { "one room".into() } else { format!("{rooms} rooms") };
        let senders = if *senders == 1 { "one sender".into() } else { format!("{senders} senders") };
        format!("{sockets} sockets in {rooms}, {bytes} bytes, {pace} from {senders}")
    }
}
