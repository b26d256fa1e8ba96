//! The network between nodes: delays and cuts. In a storm there are also losses, duplicates and reordering.

use std::collections::{BTreeMap, BTreeSet};

use dog_engine::address::Object;

use super::clock::Micros;
use super::life::Party;
use super::nodes::NodeLife;
use super::random::Random;

/// The route of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) from: Party,
    pub(super) to: Party,
    /// The nodes of the sender and of the receiver.
    pub(super) nodes: (usize, usize),
    /// The sender's node, in its current life: messages of different lives can overtake each other.
    pub(super) sender: NodeLife,
}

/// The kind of a message, which decides what may happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    /// A call or its answer. It may be lost, and then the caller notices only at its deadline.
    Call,
    /// A request of a client or its response. The caller learns of a loss.
    Fetch,
    /// A cast that may be lost, duplicated or late.
    Repeatable,
    /// A delivery. It is lost only if the route is cut.
    Delivery,
}

/// How the network behaves.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The shortest and the longest delay from one object to another, in microseconds.
    pub delay: (Micros, Micros),
    /// How many of 1,000 calls, answers and repeatable casts are lost.
    pub lost: u32,
    /// How many of 1,000 repeatable casts come twice.
    pub doubled: u32,
    /// How many of 1,000 messages are late, by up to `late_by`. Late repeatable messages arrive out of order.
    pub late: u32,
    /// The longest extra delay of a late message, in microseconds.
    pub late_by: Micros,
    /// Whether a caller learns at once that its call was lost.
    pub tells: bool,
}

impl Weather {
    /// No delays: everything arrives at once.
    pub const STILL: Self = Self { delay: (0, 0), lost: 0, doubled: 0, late: 0, late_by: 0, tells: true };
    /// Short delays, and everything in order.
    pub const CALM: Self = Self { delay: (50, 20_000), lost: 0, doubled: 0, late: 0, late_by: 0, tells: false };
    /// All faults that the protocol must survive.
    pub const STORM: Self =
        Self { delay: (50, 80_000), lost: 60, doubled: 80, late: 80, late_by: 4_000_000, tells: false };
}

/// The network.
pub(super) struct Network {
    weather: Weather,
    cuts: BTreeSet<(usize, usize)>,
    isolated: BTreeSet<usize>,
    cut_off: BTreeSet<Object>,
    /// When the last message of each sender to each receiver arrives: the next one may not overtake it.
    last: BTreeMap<(NodeLife, Party, Party), Micros>,
    harmed: u64,
    cuts_so_far: u64,
}

impl Network {
    pub(super) fn new(weather: Weather) -> Self {
        Self {
            weather,
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            last: BTreeMap::new(),
            harmed: 0,
            cuts_so_far: 0,
        }
    }

    pub(super) fn weather(&self) -> Weather {
        self.weather
    }

    pub(super) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Returns how many calls, answers and deliveries were lost or late so far. After such a loss, members may not know
    /// each other.
    pub(super) fn harmed(&self) -> u64 {
        self.harmed
    }

    /// Returns how many cuts there were so far. After a cut, a delivery may be missing.
    pub(super) fn cuts_so_far(&self) -> u64 {
        self.cuts_so_far
    }

    /// Counts a lost message.
    pub(super) fn count_loss(&mut self) {
        self.harmed += 1;
    }

    /// Counts a cut.
    pub(super) fn count_cut(&mut self) {
        self.harmed += 1;
        self.cuts_so_far += 1;
    }

    /// Whether this route is cut.
    pub(super) fn severs(&self, route: &Route) -> bool {
        let (from, to) = route.nodes;
        let is_cut_off = |party| matches!(party, Party::Object(object) if self.cut_off.contains(&object));
        let is_isolated = from != to && (self.isolated.contains(&from) || self.isolated.contains(&to));
        is_isolated
            || self.cuts.contains(&(from.min(to), from.max(to)))
            || is_cut_off(route.from)
            || is_cut_off(route.to)
    }

    /// Whether nothing is cut, and no node is isolated.
    pub(super) fn is_whole(&self) -> bool {
        !self.has_cuts() && self.isolated.is_empty()
    }

    /// Whether nodes or objects are cut off from each other.
    pub(super) fn has_cuts(&self) -> bool {
        !(self.cuts.is_empty() && self.cut_off.is_empty())
    }

    /// Cuts two nodes off from each other.
    pub(super) fn cut(&mut self, nodes: (usize, usize)) {
        if nodes.0 != nodes.1 {
            self.cuts.insert((nodes.0.min(nodes.1), nodes.0.max(nodes.1)));
            self.count_cut();
        }
    }

    /// Cuts one object off from all others. Its sockets are not affected.
    pub(super) fn cut_off(&mut self, object: Object) {
        self.cut_off.insert(object);
        self.count_cut();
    }

    /// Cuts one node off from all others.
    pub(super) fn isolate(&mut self, node: usize) {
        self.isolated.insert(node);
        self.count_cut();
    }

    /// Ends the isolation of a node.
    pub(super) fn reconnect(&mut self, node: usize) {
        self.isolated.remove(&node);
    }

    pub(super) fn is_isolated(&self, node: usize) -> bool {
        self.isolated.contains(&node)
    }

    /// Heals all cuts between nodes and around objects. Isolated nodes stay isolated.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.cut_off.clear();
    }

    /// Returns how often a repeatable message arrives.
    pub(super) fn copies(&self, random: &mut Random) -> usize {
        if random.happens(self.weather.doubled) { 2 } else { 1 }
    }

    /// Returns when a message that is sent now arrives. `None` if it is lost.
    pub(super) fn arrival(
        &mut self,
        route: &Route,
        kind: MessageKind,
        now: Micros,
        random: &mut Random,
    ) -> Option<Micros> {
        let may_be_lost = kind != MessageKind::Delivery;
        if self.severs(route) || (may_be_lost && random.happens(self.weather.lost)) {
            self.harmed += u64::from(kind != MessageKind::Repeatable);
            return None;
        }
        let mut at = now + random.within(self.weather.delay.0..=self.weather.delay.1);
        if random.happens(self.weather.late) {
            at += random.within(0..=self.weather.late_by);
            if kind == MessageKind::Repeatable {
                // The messages after it do not wait for it.
                return Some(at);
            }
            self.harmed += 1;
        }
        let last = self.last.entry((route.sender, route.from, route.to)).or_default();
        *last = at.max(*last);
        Some(*last)
    }
}
