//! What lies between objects: delays, cuts, and in hostile weather losses, doubles and disorder.

use std::collections::{BTreeMap, BTreeSet};

use dog_engine::address::Object;

use super::agenda::Micros;
use super::random::Random;

/// Who is at one end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The App on that node.
    App(usize),
    /// An object, whichever its life.
    Object(Object),
}

/// From whom to whom, and where they are.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub from: Party,
    pub to: Party,
    pub nodes: (usize, usize),
}

/// What is carried, as far as it matters to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A call and its answer: either may be lost, and then the deadline tells.
    Call,
    /// A request from outside and its response: whoever asked is told of a loss.
    Fetch,
    /// A cast that may be lost, doubled, and late.
    Tolerant,
    /// A delivery: lost only where the way is cut.
    Delivery,
}

/// How the network is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Microseconds from one object to another, at least and at most.
    pub delay: (Micros, Micros),
    /// How many of a thousand calls, answers and tolerant casts are lost.
    pub lost: u32,
    /// How many of a thousand tolerant casts come twice.
    pub doubled: u32,
    /// How many of a thousand messages are late, by up to `late_by`; tolerant ones then arrive out of order.
    pub late: u32,
    pub late_by: Micros,
    /// Whether it is told at once that a call was lost.
    pub tells: bool,
}

impl Weather {
    /// Everything arrives at once: for tests, in which time stands still.
    pub const STILL: Self = Self { delay: (0, 0), lost: 0, doubled: 0, late: 0, late_by: 0, tells: true };
    /// Short delays, and in order.
    pub const CALM: Self = Self { delay: (50, 20_000), lost: 0, doubled: 0, late: 0, late_by: 0, tells: false };
    /// All that the protocol has to survive.
    pub const STORM: Self =
        Self { delay: (50, 80_000), lost: 60, doubled: 80, late: 80, late_by: 4_000_000, tells: false };
}

pub struct Network {
    pub weather: Weather,
    cuts: BTreeSet<(usize, usize)>,
    /// Objects that nothing reaches, and that reach nothing.
    alone: BTreeSet<Object>,
    /// When the last message on each way arrives: the next one is not to overtake it.
    last: BTreeMap<(Party, Party), Micros>,
    /// Calls, answers and deliveries that were lost or came late since it was last asked: after that members may
    /// rightly not know each other.
    pub harmed: u64,
    /// How often something was cut: after that a delivery may rightly be missing.
    pub cut_ever: u64,
}

impl Network {
    pub fn new(weather: Weather) -> Self {
        Self { weather, cuts: BTreeSet::new(), alone: BTreeSet::new(), last: BTreeMap::new(), harmed: 0, cut_ever: 0 }
    }

    /// Whether nothing goes that way.
    pub fn severs(&self, way: Way) -> bool {
        let (from, to) = way.nodes;
        let is_alone = |party| matches!(party, Party::Object(object) if self.alone.contains(&object));
        self.cuts.contains(&(from.min(to), from.max(to))) || is_alone(way.from) || is_alone(way.to)
    }

    pub fn is_whole(&self) -> bool {
        self.cuts.is_empty() && self.alone.is_empty()
    }

    pub fn cut(&mut self, nodes: (usize, usize)) {
        if nodes.0 != nodes.1 {
            self.cuts.insert((nodes.0.min(nodes.1), nodes.0.max(nodes.1)));
            self.harmed += 1;
            self.cut_ever += 1;
        }
    }

    /// Cuts one object off from all others; its sockets are none of the network's affair.
    pub fn cut_off(&mut self, object: Object) {
        self.alone.insert(object);
        self.harmed += 1;
        self.cut_ever += 1;
    }

    pub fn heal(&mut self) {
        self.cuts.clear();
        self.alone.clear();
    }

    /// How often a cast arrives.
    pub fn copies(&self, random: &mut Random) -> usize {
        if random.happens(self.weather.doubled) { 2 } else { 1 }
    }

    /// When what is sent now arrives, or never.
    pub fn arrival(&mut self, way: Way, sort: Sort, now: Micros, random: &mut Random) -> Option<Micros> {
        let lossy = matches!(sort, Sort::Call | Sort::Fetch | Sort::Tolerant);
        if self.severs(way) || (lossy && random.happens(self.weather.lost)) {
            self.harmed += u64::from(sort != Sort::Tolerant);
            return None;
        }
        let mut at = now + random.within(self.weather.delay.0..=self.weather.delay.1);
        if random.happens(self.weather.late) {
            at += random.within(0..=self.weather.late_by);
            if sort == Sort::Tolerant {
                // Out of order: the others do not wait for it.
                return Some(at);
            }
            self.harmed += 1;
        }
        let last = self.last.entry((way.from, way.to)).or_default();
        *last = at.max(*last);
        Some(*last)
    }
}
