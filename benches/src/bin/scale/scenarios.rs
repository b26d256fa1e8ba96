//! The clusters that the model is asked about.

use crate::inputs::Inputs;
use crate::model::{Cluster, Model, Rooms};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    make: fn(f64) -> Vec<Rooms>,
}

const SOCKETS: f64 = 10e6;

/// Rooms that have so many sockets together, each hearing one message a second.
fn rooms(sockets: f64, size: f64, limit: f64, balanced_over: f64) -> Rooms {
    Rooms { rooms: sockets / size, size, limit, broadcasts: 1.0, balanced_over }
}

/// One of a million, and all others in rooms of fifty, which a balancer keeps together.
fn with_a_large_one(limit: f64, nodes: f64) -> Vec<Rooms> {
    vec![rooms(1e6, 1e6, limit, nodes), rooms(SOCKETS - 1e6, 50.0, 50.0, 1.0)]
}

pub(crate) const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "50, any node", make: |nodes| vec![rooms(SOCKETS, 50.0, 50.0, nodes)] },
    Scenario { name: "50, by room", make: |_| vec![rooms(SOCKETS, 50.0, 50.0, 1.0)] },
    Scenario { name: "10,000", make: |nodes| vec![rooms(SOCKETS, 1e4, 1e3, nodes)] },
    Scenario { name: "1 million, limit 50", make: |nodes| with_a_large_one(50.0, nodes) },
    Scenario { name: "1 million, limit 10,000", make: |nodes| with_a_large_one(1e4, nodes) },
];

impl Scenario {
    pub(crate) fn on(&self, nodes: f64) -> Cluster {
        Cluster { nodes, kinds: (self.make)(nodes) }
    }
}

/// The same with so many times the sockets: more rooms, or where there is but one a larger one.
pub(crate) fn scaled(cluster: &Cluster, factor: f64) -> Cluster {
    let scale = |rooms: &Rooms| match rooms.rooms {
        1.0 => Rooms { size: rooms.size * factor, ..*rooms },
        _ => Rooms { rooms: rooms.rooms * factor, ..*rooms },
    };
    Cluster { nodes: cluster.nodes, kinds: cluster.kinds.iter().map(scale).collect() }
}

/// How many times the sockets fill the first resource. Between a thousandth and a thousand times.
pub(crate) fn room_to_grow(inputs: &Inputs, cluster: &Cluster) -> f64 {
    let fits = |factor: f64| {
        let cluster = scaled(cluster, factor);
        Model { inputs, cluster: &cluster }.first().first().is_none_or(|load| load.utilisation() <= 1.0)
    };
    let (mut low, mut high) = (-3.0_f64, 3.0_f64);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if fits(10_f64.powf(middle)) { low = middle } else { high = middle }
    }
    10_f64.powf(low)
}
