//! A scenario as data: [`PeerScenario`].

use crate::harness::sample::Figure;
use crate::load::workload::Pace;
use crate::scenarios::connects::Visits;
use crate::scenarios::figures::{
    BYTES, CLOSED, COMPRESSED, CONNECT_CPU, CONNECT_OWN_CPU, CONNECT_RATE, CORE, CPU, CPU_WITH, CPU_WITHOUT, OWN_CPU,
    P50, P99, P99_WITH, P99_WITHOUT, P999, RATE, RESIDENT, SLOW, TICK_CPU, TICK_RATE, TICK_RATE_SLOWEST, USER,
};
use crate::scenarios::memory::Idle;
use crate::scenarios::messages::Messages;
use crate::scenarios::timers::Intervals;
use crate::servers::entrant::Entrant;

/// Something that is measured of several servers.
pub struct PeerScenario {
    /// Its name on the command line and in files.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What a reader must know beyond its numbers.
    pub about: &'static str,
    /// What clients do.
    pub activity: Activity,
    /// The servers.
    pub entrants: Vec<Entrant>,
    /// Whether the report has a picture of it.
    pub plot: bool,
}

/// What clients do.
pub enum Activity {
    /// They send.
    Messages(Messages),
    /// They send messages that can be compressed.
    Compressed(Messages),
    /// They send, first alone and then with a client that reads nothing.
    SlowReader(Messages),
    /// They connect and leave.
    Visits(Visits),
    /// They are silent.
    Idle(Idle),
    /// They are silent, and each has an object with an interval of 50 ms.
    Intervals(Intervals),
}

impl PeerScenario {
    /// Clients that send.
    pub fn messages(name: &'static str, title: &'static str, messages: Messages, entrants: Vec<Entrant>) -> Self {
        Self::new(name, title, Activity::Messages(messages), entrants)
    }

    /// Clients that do something.
    pub fn new(name: &'static str, title: &'static str, activity: Activity, entrants: Vec<Entrant>) -> Self {
        Self { name, title, about: "", activity, entrants, plot: false }
    }

    /// The same with a remark.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// The same with a picture.
    #[must_use]
    pub fn plotted(self) -> Self {
        Self { plot: true, ..self }
    }
}

impl Activity {
    /// What is shown. Ratios are of the first figure.
    pub fn figures(&self) -> &'static [Figure] {
        match self {
            Self::Compressed(_) => &[CPU, BYTES, COMPRESSED, USER, RATE, OWN_CPU],
            Self::Messages(Messages { pace: Pace::Every(_), .. }) => &[P99, P50, P999, CPU, OWN_CPU],
            Self::Messages(_) => &[CPU, USER, RATE, OWN_CPU],
            Self::SlowReader(_) => &[SLOW, P99_WITHOUT, P99_WITH, CPU_WITHOUT, CPU_WITH, CLOSED],
            Self::Visits(_) => &[CONNECT_CPU, CONNECT_RATE, CONNECT_OWN_CPU],
            Self::Idle(_) => &[RESIDENT],
            Self::Intervals(_) => &[CORE, TICK_RATE, TICK_RATE_SLOWEST, TICK_CPU],
        }
    }

    /// Its numbers in one line.
    pub fn describe(&self) -> String {
        match self {
            Self::Messages(messages) | Self::Compressed(messages) => messages.describe(),
            Self::SlowReader(messages) => {
                format!("{}; then the same with a client that reads nothing", messages.describe())
            }
            Self::Visits(Visits { batch, at_once }) => {
                format!("batches of {batch} clients that connect {at_once} at a time, and leave when all are connected")
            }
            Self::Idle(idle) => {
                format!("{} silent sockets, after {} that are not counted", idle.sockets, idle.before)
            }
            Self::Intervals(intervals) => format!("{} objects with an interval of 50 ms each", intervals.objects),
        }
    }
}
