//! The nodes: which are up, which are paused, and whose lease has ended.
//!
//! A node that is paused or isolated for longer than [`LEASE`] is *struck off*: its objects may begin new lives on
//! other nodes. Usually the node stops before that, but sometimes it notices later. Until then, the old lives run at
//! the same time as the new ones.

use std::collections::BTreeMap;

use super::clock::Micros;

/// How long a lease lasts.
pub(super) const LEASE: Micros = 4_000_000;

/// Within this time, all nodes learn that a node was struck off.
pub const HEARD_WITHIN: Micros = 1_000_000;

/// One life of a node, from one lease to the next. Each has its own number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeLife(u64);

/// Whether a node takes part in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has a lease.
    Member,
    /// Other nodes may have its objects, and it has not noticed.
    StruckOff,
    /// Its objects have ended, and it has no lease.
    Stopped,
    /// Its process has crashed.
    Crashed,
}

struct Node {
    life: NodeLife,
    state: State,
    paused_until: Option<Micros>,
    /// The number of its present outage, if there is one.
    outage: Option<u64>,
}

/// All nodes.
pub(super) struct Nodes {
    nodes: Vec<Node>,
    next_life: u64,
    next_outage: u64,
    struck_off: BTreeMap<NodeLife, Micros>,
}

impl Nodes {
    pub(super) fn new(count: usize) -> Self {
        let mut nodes = Self { nodes: Vec::new(), next_life: 0, next_outage: 0, struck_off: BTreeMap::new() };
        for _ in 0..count.max(1) {
            let life = nodes.new_life();
            nodes.nodes.push(Node { life, state: State::Member, paused_until: None, outage: None });
        }
        nodes
    }

    fn new_life(&mut self) -> NodeLife {
        self.next_life += 1;
        NodeLife(self.next_life)
    }

    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the current life of a node.
    pub(super) fn life(&self, node: usize) -> NodeLife {
        self.nodes[node].life
    }

    /// Whether objects can begin on the node.
    pub(super) fn is_member(&self, node: usize) -> bool {
        self.nodes[node].state == State::Member
    }

    /// Whether its process runs objects and answers clients.
    pub(super) fn serves(&self, node: usize) -> bool {
        matches!(self.nodes[node].state, State::Member | State::StruckOff)
    }

    /// Whether it was struck off and has not noticed.
    pub(super) fn is_struck_off(&self, node: usize) -> bool {
        self.nodes[node].state == State::StruckOff
    }

    /// Returns the nodes on which objects can begin.
    pub(super) fn members(&self) -> Vec<usize> {
        (0..self.count()).filter(|node| self.is_member(*node)).collect()
    }

    /// Whether every node is a member, runs and has no outage.
    pub(super) fn are_well(&self) -> bool {
        self.nodes.iter().all(|node| node.state == State::Member && node.outage.is_none())
    }

    /// Begins an outage. Returns its number.
    pub(super) fn begin_outage(&mut self, node: usize) -> u64 {
        self.next_outage += 1;
        self.nodes[node].outage = Some(self.next_outage);
        self.next_outage
    }

    /// Returns the number of the node's outage, if it has one.
    pub(super) fn outage(&self, node: usize) -> Option<u64> {
        self.nodes[node].outage
    }

    /// Whether that outage of the node still lasts.
    pub(super) fn is_in_outage(&self, node: usize, outage: u64) -> bool {
        self.nodes[node].outage == Some(outage)
    }

    /// Ends an outage before the lease has ended: the node keeps its lease.
    pub(super) fn end_outage(&mut self, node: usize) {
        self.nodes[node].outage = None;
    }

    /// Pauses the node until then.
    pub(super) fn pause(&mut self, node: usize, until: Micros) {
        self.nodes[node].paused_until = Some(until);
    }

    /// Resumes the node.
    pub(super) fn resume(&mut self, node: usize) {
        self.nodes[node].paused_until = None;
    }

    /// Returns until when the node is paused. `None` if it is not.
    pub(super) fn paused_until(&self, node: usize) -> Option<Micros> {
        self.nodes[node].paused_until
    }

    /// Returns the paused nodes.
    pub(super) fn paused(&self) -> Vec<usize> {
        (0..self.count()).filter(|node| self.nodes[*node].paused_until.is_some()).collect()
    }

    /// Strikes the node off: its lease has ended.
    pub(super) fn strike_off(&mut self, node: usize, now: Micros) {
        let node = &mut self.nodes[node];
        self.struck_off.insert(node.life, now);
        if node.state == State::Member {
            node.state = State::StruckOff;
        }
    }

    /// Stops the node: it has no lease and knows that.
    pub(super) fn stop(&mut self, node: usize) {
        self.nodes[node].state = State::Stopped;
    }

    /// Gives the node a new lease.
    pub(super) fn rejoin(&mut self, node: usize, now: Micros) {
        if self.nodes[node].state == State::Stopped {
            self.struck_off.entry(self.nodes[node].life).or_insert(now);
        }
        let life = self.new_life();
        self.nodes[node] = Node { life, state: State::Member, paused_until: None, outage: None };
    }

    /// Crashes the node's process.
    pub(super) fn crash(&mut self, node: usize) {
        self.nodes[node].state = State::Crashed;
    }

    pub(super) fn is_crashed(&self, node: usize) -> bool {
        self.nodes[node].state == State::Crashed
    }

    /// Whether `node` knows that a life of another node was struck off. Each node learns that at a different time.
    pub(super) fn knows(&self, node: usize, life: NodeLife, now: Micros) -> bool {
        let delay = HEARD_WITHIN * (node as u64 % 3) / 2;
        self.struck_off.get(&life).is_some_and(|at| now > at + delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_was_struck_off_serves_until_it_stops_and_comes_back_with_another_life() {
        let mut nodes = Nodes::new(3);
        let (life, outage) = (nodes.life(1), nodes.begin_outage(1));
        nodes.strike_off(1, 10);
        assert!(nodes.is_struck_off(1) && nodes.serves(1) && !nodes.is_member(1));
        assert_eq!(nodes.members(), [0, 2]);
        nodes.stop(1);
        assert!(!nodes.serves(1) && nodes.is_in_outage(1, outage));
        nodes.rejoin(1, 20);
        assert!(nodes.are_well() && nodes.life(1) != life);
    }

    #[test]
    fn every_node_hears_that_another_was_struck_off_within_the_time() {
        let mut nodes = Nodes::new(3);
        let life = nodes.life(2);
        nodes.strike_off(2, 10);
        assert!(!(0..3).all(|node| nodes.knows(node, life, 11)), "the nodes learn of it at different times");
        assert!((0..3).all(|node| nodes.knows(node, life, 11 + HEARD_WITHIN)));
        assert!(!nodes.knows(0, nodes.life(0), 11 + HEARD_WITHIN));
    }
}
