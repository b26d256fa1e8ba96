//! The table of scenarios, [`SCENARIOS`], and what of them the project has set itself as goals: [`GOALS`].

use std::time::Duration;

use dog_benches::ledger::Reach;
use dog_benches::plan::Pace;

use crate::entrant::{AXUM, Entrant, FLOOR, JOINED_FLOOR, NODE_WS, NPM_DOG, OURS, SOCKET_IO, SOCKETIOXIDE, UWS, VERBS};
use crate::scenario::figures::{CPU, P99, RATE, RESIDENT, SLOW};
use crate::scenario::{Figure, Idle, Kind, Scenario, Talk, Visits};

const ALL: &[Entrant] = &[FLOOR, OURS, UWS, NODE_WS, AXUM, SOCKETIOXIDE, SOCKET_IO, NPM_DOG];
const WITH_JOINED: &[Entrant] = &[FLOOR, JOINED_FLOOR, OURS, UWS, NODE_WS, AXUM, SOCKETIOXIDE, SOCKET_IO, NPM_DOG];
/// Those that can keep up with much.
const FAST: &[Entrant] = &[FLOOR, OURS, UWS, NODE_WS, AXUM];
/// Of a crowd, on one Replica.
const LARGE: &[Entrant] = &[FLOOR, OURS.with("ours", &["--limit", "20000"]), UWS];
const REPLICAS: &[Entrant] = &[
    FLOOR,
    OURS.with("ours, 1 Replica", &["--limit", "1000"]),
    OURS.with("ours, 10 Replicas", &["--limit", "100"]),
    OURS.with("ours, 200 Replicas", &["--limit", "5"]),
    NPM_DOG.with("npm dog, 1 Replica", &["--limit", "1000"]),
    NPM_DOG.with("npm dog, 10 Replicas", &["--limit", "100"]),
];
const WHISPERS: &[Entrant] = &[
    VERBS.with("ours, 1 Replica", &["--verb", "whisper", "--limit", "500"]),
    VERBS.with("ours, 10 Replicas", &["--verb", "whisper", "--limit", "50"]),
    VERBS.with("ours, 100 Replicas", &["--verb", "whisper", "--limit", "5"]),
    NPM_DOG.with("npm dog, 10 Replicas", &["--verb", "whisper", "--limit", "50"]),
];
const WHISPERS_LARGE: &[Entrant] = &[VERBS.with("ours, 100 Replicas", &["--verb", "whisper", "--limit", "50"])];
const GOSSIPS: &[Entrant] = &[
    VERBS.with("ours, 10 Replicas", &["--verb", "gossip", "--limit", "50"]),
    VERBS.with("ours, 100 Replicas", &["--verb", "gossip", "--limit", "5"]),
    NPM_DOG.with("npm dog, 10 Replicas", &["--verb", "gossip", "--limit", "50"]),
];
const RESTING: Entrant = OURS.with("ours, at rest", &["--hibernate-after", "1", "--limit", "20000"]);
const THREADS: &[Entrant] = &[
    OURS.with("ours, 1 worker", &["--limit", "50", "--workers", "1"]),
    OURS.with("ours, 2 workers", &["--limit", "50", "--workers", "2"]),
];
const COMPRESSING: &[Entrant] = &[
    OURS.with("ours", &["--compress"]),
    UWS.with("uWebSockets", &["--compress"]),
    NODE_WS.with("node ws", &["--compress"]),
    OURS.with("ours, not compressed", &[]),
];

/// How long a silent crowd is left alone: longer than one that rests after a second needs.
const SETTLE: Duration = Duration::from_secs(3);

const fn talk(name: &'static str, title: &'static str, talk: Talk, entrants: &'static [Entrant]) -> Scenario {
    Scenario { name, title, about: "", kind: Kind::Talk(talk), entrants, plot: false }
}

const fn plotted(scenario: Scenario) -> Scenario {
    Scenario { plot: true, ..scenario }
}

const fn about(scenario: Scenario, about: &'static str) -> Scenario {
    Scenario { about, ..scenario }
}

/// All of them, in the order in which each round has them.
#[rustfmt::skip]
pub(crate) const SCENARIOS: &[Scenario] = &[
    plotted(talk("one", "One message in flight", Talk::ROOM, ALL)),
    plotted(talk("many", "32 messages in flight", Talk::BUSY, WITH_JOINED)),
    plotted(talk("steady", "At a fixed rate", Talk { pace: Talk::every(50), ..Talk::ROOM }, ALL)),
    talk("steady-fast", "At ten times that rate", Talk { pace: Talk::every(5), ..Talk::ROOM }, FAST),
    plotted(about(
        talk("replicas", "From 1 Replica to 200, one in flight", Talk { sockets: 1_000, ..Talk::ROOM }, REPLICAS),
        "The same sockets on ever more Replicas. What npm's `dog` does on 200 takes longer than a run has.",
    )),
    talk("replicas-many", "From 1 Replica to 200, 32 in flight", Talk { sockets: 1_000, ..Talk::BUSY }, REPLICAS),
    talk("sockets-500", "500 sockets", Talk::ROOM, LARGE),
    talk("sockets-5000", "5,000 sockets", Talk { sockets: 5_000, ..Talk::ROOM }, LARGE),
    plotted(talk("sockets-15000", "15,000 sockets", Talk { sockets: 15_000, ..Talk::ROOM }, LARGE)),
    talk("sockets-15000-many", "15,000 sockets, 32 in flight", Talk { sockets: 15_000, ..Talk::BUSY }, LARGE),
    plotted(about(
        talk("rooms", "1,000 small rooms", Talk { sockets: 5_000, rooms: 1_000, senders: 1_000, ..Talk::BUSY }, FAST),
        "Five sockets each: what a message costs beside its deliveries. uWebSockets is called from Python here, once a \
         message, which in small rooms is most of its figure.",
    )),
    about(
        talk("whisper", "Whisper", Talk { senders: 100, pace: Pace::InFlight(32), reach: Reach::Across, ..Talk::ROOM }, WHISPERS),
        "From each of 100 clients to one with half of the crowd between them, on another Replica where there are several.",
    ),
    about(
        talk(
            "whisper-large", "Whisper among 5,000 clients",
            Talk { sockets: 5_000, senders: 100, pace: Pace::InFlight(32), reach: Reach::Across, ..Talk::ROOM }, WHISPERS_LARGE,
        ),
        "Ten times the clients on as many Replicas.",
    ),
    about(
        talk("gossip", "Gossip", Talk { senders: 4, pace: Pace::InFlight(4), reach: Reach::Sender, ..Talk::ROOM }, GOSSIPS),
        "A delivery is a question to all siblings, answered by all, and the message sent back.",
    ),
    plotted(Scenario {
        name: "visits", title: "Coming and going", about: "The rate is that of our load generator on this machine, too.",
        kind: Kind::Visits(Visits { batch: 200, at_once: 4 }), entrants: ALL, plot: false,
    }),
    plotted(Scenario {
        name: "idle", title: "Memory of an idle socket", about: "",
        kind: Kind::Idle(Idle { before: 500, sockets: 15_000, settle: SETTLE }),
        entrants: &[FLOOR, OURS.with("ours", &["--limit", "20000"]), RESTING, UWS, NODE_WS], plot: false,
    }),
    Scenario {
        name: "idle-all", title: "Memory of an idle socket, of all", about: "A smaller crowd, for those that need most.",
        kind: Kind::Idle(Idle { before: 200, sockets: 2_000, settle: SETTLE }), entrants: ALL, plot: false,
    },
    talk("bytes-64", "Messages of 64 bytes", Talk { bytes: 64, ..Talk::ROOM }, FAST),
    talk("bytes-4096", "Messages of 4 KiB", Talk { bytes: 4_096, ..Talk::ROOM }, FAST),
    talk("bytes-65536", "Messages of 64 KiB", Talk { bytes: 65_536, sockets: 200, ..Talk::ROOM }, FAST),
    talk("bytes-4096-many", "Messages of 4 KiB, 32 in flight", Talk { bytes: 4_096, ..Talk::BUSY }, FAST),
    Scenario {
        name: "slow", title: "One slow reader among 500",
        about: "It fills the kernel's buffers first, then its queue; what then becomes of it is the server's policy.",
        kind: Kind::Slow(Talk { bytes: 16 * 1024, pace: Talk::every(20), ..Talk::ROOM }),
        entrants: &[OURS, UWS, NODE_WS, AXUM], plot: false,
    },
    about(
        talk("workers", "Two workers against one", Talk { ..Talk::BUSY }, THREADS),
        "Ten Replicas. The load generator takes a processor of its own: with two in all, two workers have but one and \
         what it leaves of the other.",
    ),
    about(
        talk("compressed", "With permessage-deflate", Talk { bytes: 1_024, compressed: true, ..Talk::ROOM }, COMPRESSING),
        "1 KiB of words, without context takeover, counted by the frames' compression bit and not inflated.",
    ),
];

/// A ratio that is to be reached, within each round.
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    /// Scenario and entrant.
    pub(crate) ours: (&'static str, &'static str),
    pub(crate) theirs: Measure,
    pub(crate) figure: &'static Figure,
    pub(crate) bound: Bound,
}

/// What ours is divided by.
pub(crate) enum Measure {
    /// The same figure of this entrant, in this scenario.
    Of(&'static str, &'static str),
    /// A number.
    Fixed(f64),
}

/// Which side of it is good.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const fn at_most(
    what: &'static str,
    bound: f64,
    figure: &'static Figure,
    ours: (&'static str, &'static str),
    theirs: (&'static str, &'static str),
) -> Goal {
    Goal { what, ours, theirs: Measure::Of(theirs.0, theirs.1), figure, bound: Bound::AtMost(bound) }
}

/// What issue and design ask for.
#[rustfmt::skip]
pub(crate) const GOALS: &[Goal] = &[
    at_most("CPU, one in flight, 1 Replica ÷ floor", 1.05, &CPU, ("replicas", "ours, 1 Replica"), ("replicas", "floor")),
    at_most("CPU, one in flight, 200 Replicas ÷ floor", 1.05, &CPU, ("replicas", "ours, 200 Replicas"), ("replicas", "floor")),
    at_most("CPU, 32 in flight ÷ uWebSockets", 0.9, &CPU, ("many", "ours"), ("many", "uWebSockets")),
    at_most("p99 at a fixed rate ÷ uWebSockets", 1.0, &P99, ("steady", "ours"), ("steady", "uWebSockets")),
    at_most("p99 at ten times that rate ÷ uWebSockets", 1.0, &P99, ("steady-fast", "ours"), ("steady-fast", "uWebSockets")),
    at_most("CPU, one in flight, 200 Replicas ÷ 1", 1.2, &CPU, ("replicas", "ours, 200 Replicas"), ("replicas", "ours, 1 Replica")),
    at_most("CPU, 32 in flight, 200 Replicas ÷ 1", 1.2, &CPU, ("replicas-many", "ours, 200 Replicas"), ("replicas-many", "ours, 1 Replica")),
    at_most("CPU, one in flight, 15,000 sockets ÷ 500", 1.2, &CPU, ("sockets-15000", "ours"), ("sockets-500", "ours")),
    at_most("the floor's growth, 15,000 sockets ÷ 500", 1.2, &CPU, ("sockets-15000", "floor"), ("sockets-500", "floor")),
    at_most("CPU of a whisper, 100 Replicas ÷ 10", 1.2, &CPU, ("whisper", "ours, 100 Replicas"), ("whisper", "ours, 10 Replicas")),
    at_most("CPU of a whisper, 5,000 clients ÷ 500", 1.2, &CPU, ("whisper-large", "ours, 100 Replicas"), ("whisper", "ours, 100 Replicas")),
    Goal { what: "bytes per idle socket ÷ 1,024", ours: ("idle", "ours"), theirs: Measure::Fixed(1024.0), figure: &RESIDENT, bound: Bound::AtMost(1.0) },
    Goal { what: "bytes per idle socket at rest ÷ 1,024", ours: ("idle", "ours, at rest"), theirs: Measure::Fixed(1024.0), figure: &RESIDENT, bound: Bound::AtMost(1.0) },
    Goal { what: "p99 beside a slow reader ÷ without", ours: ("slow", "ours"), theirs: Measure::Fixed(1.0), figure: &SLOW, bound: Bound::AtMost(1.1) },
    Goal { what: "deliveries a second, two workers ÷ one", ours: ("workers", "ours, 2 workers"), theirs: Measure::Of("workers", "ours, 1 worker"), figure: &RATE, bound: Bound::AtLeast(1.7) },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_plan_can_be_done() {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[index + 1..].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
            for (index, entrant) in scenario.entrants.iter().enumerate() {
                let others = &scenario.entrants[index + 1..];
                assert!(others.iter().all(|other| other.name != entrant.name), "{}, {}", scenario.name, entrant.name);
            }
        }
    }

    #[test]
    fn goals_are_of_what_is_measured() {
        let is_there = |(scenario, entrant): (&str, &str), figure: &Figure| {
            SCENARIOS.iter().any(|it| {
                it.name == scenario
                    && it.entrants.iter().any(|other| other.name == entrant)
                    && it.kind.figures().iter().any(|other| other.key == figure.key)
            })
        };
        for goal in GOALS {
            assert!(is_there(goal.ours, goal.figure), "{}", goal.what);
            if let Measure::Of(scenario, entrant) = goal.theirs {
                assert!(is_there((scenario, entrant), goal.figure), "{}", goal.what);
            }
        }
    }
}
