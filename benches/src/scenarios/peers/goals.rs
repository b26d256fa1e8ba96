//! The project's goals for its speed: [`table`]. Each is a ratio within one round, with a bound.

use std::fmt;

use crate::harness::sample::{Figure, Series};
use crate::harness::statistics::Spread;
use crate::harness::store::Store;
use crate::harness::table::Table;
use crate::scenarios::figures::{CORE, CPU, P99, RATE, RESIDENT, SLOW, TICK_RATE};

/// A scenario and an entrant.
type Name = (&'static str, &'static str);

/// A ratio with a bound.
pub struct Goal {
    what: &'static str,
    ours: Name,
    divisor: Divisor,
    figure: Figure,
    bound: Bound,
}

/// What the figure is divided by.
enum Divisor {
    /// The same figure of another series.
    Series(Name),
    /// A number.
    Number(f64),
}

/// Which ratios are good.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// As near as this to 1.
    Near(f64),
}

impl Goal {
    const fn beside(what: &'static str, figure: Figure, ours: Name, theirs: Name, at_most: f64) -> Self {
        Self { what, ours, divisor: Divisor::Series(theirs), figure, bound: Bound::AtMost(at_most) }
    }

    const fn absolute(what: &'static str, figure: Figure, ours: Name, number: f64, at_most: f64) -> Self {
        Self { what, ours, divisor: Divisor::Number(number), figure, bound: Bound::AtMost(at_most) }
    }

    /// The ratio; `None` if it was not measured.
    fn ratio(&self, store: &Store) -> Option<Spread> {
        let series = |(scenario, entrant): Name| Series::new(scenario, entrant);
        let ours = series(self.ours);
        match self.divisor {
            Divisor::Series(theirs) => store.ratio(&ours, &series(theirs), &self.figure),
            Divisor::Number(number) => Some(store.spread(&ours, &self.figure)?.divided_by(number)),
        }
    }
}

impl Bound {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(bound) => ratio <= bound,
            Self::AtLeast(bound) => ratio >= bound,
            Self::Near(bound) => (ratio - 1.0).abs() <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(formatter, "≤ {bound:.2}"),
            Self::AtLeast(bound) => write!(formatter, "≥ {bound:.2}"),
            Self::Near(bound) => write!(formatter, "1 ± {bound:.2}"),
        }
    }
}

/// All goals that were measured, as a table.
pub fn table(store: &Store) -> Table {
    let mut table = Table::new(&["goal", "reached", "min", "median", "max", "bound"], 2);
    for goal in GOALS {
        let Some(Spread { minimum, median, maximum }) = goal.ratio(store) else { continue };
        let reached = if goal.bound.holds(median) { "yes" } else { "**no**" };
        let mut row = vec![goal.what.into(), reached.into()];
        row.extend([minimum, median, maximum].map(|ratio| format!("{ratio:.2}")));
        row.push(goal.bound.to_string());
        table.push(row);
    }
    table
}

const ONE_REPLICA: &str = "ours, 1 Replica";
const MANY_REPLICAS: &str = "ours, 200 Replicas";

/// The goals.
const GOALS: &[Goal] = &[
    Goal::beside("CPU, one in flight, 1 Replica ÷ floor", CPU, ("replicas", ONE_REPLICA), ("replicas", "floor"), 1.05),
    Goal::beside(
        "CPU, one in flight, 200 Replicas ÷ floor",
        CPU,
        ("replicas", MANY_REPLICAS),
        ("replicas", "floor"),
        1.05,
    ),
    Goal::beside("CPU, 32 in flight ÷ uWebSockets", CPU, ("many", "ours"), ("many", "uWebSockets"), 0.9),
    Goal::beside("p99 at a fixed rate ÷ uWebSockets", P99, ("steady", "ours"), ("steady", "uWebSockets"), 1.0),
    Goal::beside(
        "p99 at ten times that rate ÷ uWebSockets",
        P99,
        ("steady-fast", "ours"),
        ("steady-fast", "uWebSockets"),
        1.0,
    ),
    Goal::beside(
        "CPU, one in flight, 200 Replicas ÷ 1",
        CPU,
        ("replicas", MANY_REPLICAS),
        ("replicas", ONE_REPLICA),
        1.2,
    ),
    Goal::beside(
        "CPU, 32 in flight, 200 Replicas ÷ 1",
        CPU,
        ("replicas-many", MANY_REPLICAS),
        ("replicas-many", ONE_REPLICA),
        1.2,
    ),
    Goal::beside(
        "CPU, one in flight, 15,000 sockets ÷ 500",
        CPU,
        ("sockets-15000", "ours"),
        ("sockets-500", "ours"),
        1.2,
    ),
    Goal::beside(
        "the floor's growth, 15,000 sockets ÷ 500",
        CPU,
        ("sockets-15000", "floor"),
        ("sockets-500", "floor"),
        1.2,
    ),
    Goal::beside(
        "CPU of a whisper, 100 Replicas ÷ 10",
        CPU,
        ("whisper", "ours, 100 Replicas"),
        ("whisper", "ours, 10 Replicas"),
        1.2,
    ),
    Goal::beside(
        "CPU of a whisper, 5,000 clients ÷ 500",
        CPU,
        ("whisper-large", "ours, 100 Replicas"),
        ("whisper", "ours, 100 Replicas"),
        1.2,
    ),
    Goal::beside("CPU, a topic of 5, 5,000 sockets ÷ 5", CPU, ("topics-5000", "ours"), ("topics", "ours"), 1.2),
    Goal {
        what: "ticks per second, 1,000 intervals of 50 ms ÷ 20",
        ours: ("timers", "ours"),
        divisor: Divisor::Number(20.0),
        figure: TICK_RATE,
        bound: Bound::Near(0.01),
    },
    Goal::absolute("CPU of 1,000 intervals of 50 ms ÷ 10 % of a core", CORE, ("timers", "ours"), 10.0, 1.0),
    Goal::absolute("bytes per idle socket ÷ 1,024", RESIDENT, ("idle", "ours"), 1024.0, 1.0),
    Goal::absolute("bytes per hibernating socket ÷ 1,024", RESIDENT, ("idle", "ours, hibernating"), 1024.0, 1.0),
    Goal::absolute("p99 beside a slow reader ÷ without", SLOW, ("slow", "ours"), 1.0, 1.1),
    Goal {
        what: "deliveries per second, two workers ÷ one",
        ours: ("workers", "ours, 2 workers"),
        divisor: Divisor::Series(("workers", "ours, 1 worker")),
        figure: RATE,
        bound: Bound::AtLeast(1.7),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::peers::catalog::scenarios;

    #[test]
    fn a_bound_has_a_good_side() {
        assert!(Bound::AtMost(1.05).holds(1.05) && !Bound::AtMost(1.05).holds(1.06));
        assert!(Bound::AtLeast(1.7).holds(1.8) && !Bound::AtLeast(1.7).holds(1.6));
        assert!(Bound::Near(0.01).holds(0.992) && !Bound::Near(0.01).holds(0.98) && !Bound::Near(0.01).holds(1.02));
    }

    #[test]
    fn goals_are_about_what_is_measured() {
        let scenarios = scenarios();
        let is_measured = |(scenario, entrant): Name, figure: &Figure| {
            scenarios.iter().any(|it| {
                it.name == scenario
                    && it.entrants.iter().any(|other| other.name == entrant)
                    && it.activity.figures().iter().any(|other| other.key == figure.key)
            })
        };
        for goal in GOALS {
            assert!(is_measured(goal.ours, &goal.figure), "{}", goal.what);
            if let Divisor::Series(theirs) = goal.divisor {
                assert!(is_measured(theirs, &goal.figure), "{}", goal.what);
            }
        }
    }
}
