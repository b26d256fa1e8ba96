//! Clients who wait for a place: for whom a Replica is being made, or members are being counted.

use std::collections::{BTreeMap, VecDeque};

use dog::{ClientId, ReplicaId};

use crate::address::NodeId;
use crate::message::GroupAnswer;
use crate::reply::Reply;

/// A client that could not be placed yet.
pub(super) struct Waiting {
    pub(super) client: ClientId,
    pub(super) refused: Option<ReplicaId>,
    pub(super) near: NodeId,
    pub(super) reply: Reply<GroupAnswer>,
}

/// All of them, whoever waits longest at the front. A hundred thousand may come while a Group wakes: nothing here but
/// [`take`](Self::take) and [`take_near`](Self::take_near) looks at each.
#[derive(Default)]
pub(super) struct Queue {
    clients: VecDeque<Waiting>,
    /// How many have reached each node.
    near: BTreeMap<NodeId, usize>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Waiting> {
        self.clients.front()
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        *self.near.entry(waiting.near).or_default() += 1;
        self.clients.push_back(waiting);
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let first = self.clients.pop_front()?;
        self.left(first.near, 1);
        Some(first)
    }

    fn left(&mut self, near: NodeId, clients: usize) {
        if let Some(count) = self.near.get_mut(&near) {
            *count -= clients;
            if *count == 0 {
                self.near.remove(&near);
            }
        }
    }

    /// All, in their order.
    pub(super) fn take(&mut self) -> VecDeque<Waiting> {
        self.near.clear();
        std::mem::take(&mut self.clients)
    }

    /// The first of those who have reached that node, `most` at most.
    pub(super) fn take_near(&mut self, near: NodeId, most: usize) -> Vec<Waiting> {
        let most = most.min(self.near.get(&near).copied().unwrap_or(0));
        let mut taken = Vec::with_capacity(most);
        let mut others = Vec::new();
        while taken.len() < most {
            let Some(first) = self.clients.pop_front() else { break };
            if first.near == near { taken.push(first) } else { others.push(first) }
        }
        others.into_iter().rev().for_each(|other| self.clients.push_front(other));
        self.left(near, taken.len());
        taken
    }

    /// How many Replicas with so many seats they need: those of one node share Replicas, and nobody else does.
    pub(super) fn replicas(&self, seats: usize) -> usize {
        self.near.values().map(|clients| clients.div_ceil(seats)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(name: &str, near: u64) -> Waiting {
        let (client, near) = (ClientId::new(name).unwrap(), NodeId::from_raw(near));
        Waiting { client, refused: None, near, reply: Reply::new(drop) }
    }

    fn queue(clients: &[(&str, u64)]) -> Queue {
        let mut queue = Queue::default();
        clients.iter().for_each(|(name, near)| queue.push(waiting(name, *near)));
        queue
    }

    fn names(clients: impl IntoIterator<Item = Waiting>) -> Vec<String> {
        clients.into_iter().map(|waiting| waiting.client.to_string()).collect()
    }

    const FIVE: &[(&str, u64)] = &[("ann", 1), ("bob", 2), ("cid", 1), ("dan", 2), ("eve", 1)];

    #[test]
    fn those_of_a_node_are_taken_in_their_order_and_the_others_keep_theirs() {
        for (near, most, taken, left) in [
            (1, 2, vec!["ann", "cid"], vec!["bob", "dan", "eve"]),
            (1, 9, vec!["ann", "cid", "eve"], vec!["bob", "dan"]),
            (2, 1, vec!["bob"], vec!["ann", "cid", "dan", "eve"]),
            (3, 1, vec![], vec!["ann", "bob", "cid", "dan", "eve"]),
        ] {
            let mut queue = queue(FIVE);
            assert_eq!(names(queue.take_near(NodeId::from_raw(near), most)), taken);
            assert_eq!(queue.replicas(1), left.len());
            assert_eq!(names(queue.take()), left);
            assert!(queue.is_empty() && queue.replicas(1) == 0);
        }
    }

    #[test]
    fn replicas_are_shared_by_those_of_one_node() {
        let mut queue = queue(FIVE);
        assert_eq!([1, 2, 3, 9].map(|seats| queue.replicas(seats)), [5, 3, 2, 2]);
        assert_eq!(names(queue.pop()), ["ann"]);
        assert_eq!(queue.first().map(|first| first.client.as_str()), Some("bob"));
        assert_eq!([1, 2, 3, 9].map(|seats| queue.replicas(seats)), [4, 2, 2, 2]);
    }
}
