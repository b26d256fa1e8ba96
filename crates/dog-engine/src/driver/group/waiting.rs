//! Clients that wait for the Group's answer. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};

use dog::internal::Kind;
use dog::{ClientId, Error, ReplicaId};

use crate::address::{NodeId, Ticket};
use crate::message::{GroupAnswer, GroupCall};
use crate::reply::Reply;

/// The most clients that wait for one Group: for the user's value, for the census, or for a Replica.
const MOST_CLIENTS: usize = 100_000;

/// The most whispers that wait for one Group: for the user's value or for the census.
const MOST_WHISPERS: usize = 10_000;

/// A client that has to be placed.
pub(super) struct Unplaced {
    pub(super) client: ClientId,
    pub(super) refused: Option<ReplicaId>,
    pub(super) near: NodeId,
    pub(super) reply: Reply<GroupAnswer>,
}

/// A client that was placed on a Replica which has not joined yet.
pub(super) struct Reserved {
    pub(super) ticket: Ticket,
    pub(super) near: NodeId,
    pub(super) reply: Reply<GroupAnswer>,
}

/// A whisper's question where its client is.
pub(super) struct Locating {
    pub(super) client: ClientId,
    pub(super) reply: Reply<GroupAnswer>,
}

/// Everything that waits: for a Replica with room, for a Replica to join, or for the census.
#[derive(Default)]
pub(super) struct Waiting {
    unplaced: Queue,
    /// By Replica. Ordered, so that the order of answers does not depend on a hash.
    reserved: BTreeMap<ReplicaId, Vec<Reserved>>,
    /// How many clients they are.
    reserved_clients: usize,
    locating: Vec<Locating>,
    /// Those that wait for the user's value.
    before_value: Callers,
}

/// How many clients and whispers there are.
#[derive(Clone, Copy, Default)]
struct Callers {
    clients: usize,
    whispers: usize,
}

impl Callers {
    fn of(call: &GroupCall) -> Self {
        let (clients, whispers) =
            (matches!(call, GroupCall::Identify { .. }), matches!(call, GroupCall::Locate { .. }));
        Self { clients: usize::from(clients), whispers: usize::from(whispers) }
    }
}

impl Waiting {
    /// Whether no client waits for a seat. A whisper's question does not keep a Group in memory.
    pub(super) fn is_empty(&self) -> bool {
        self.unplaced.clients.is_empty() && self.reserved.is_empty()
    }

    /// Checks that one more call may wait.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) fn check(&self, call: &GroupCall) -> Result<(), Error> {
        let more = Callers::of(call);
        let clients = self.before_value.clients + self.unplaced.clients.len() + self.reserved_clients;
        let whispers = self.before_value.whispers + self.locating.len();
        if (more.clients > 0 && clients >= MOST_CLIENTS) || (more.whispers > 0 && whispers >= MOST_WHISPERS) {
            let text = "too many clients or whispers wait for the Group: try again later";
            return Err(Error::new(Kind::TooMany, text));
        }
        Ok(())
    }

    /// A call waits for the user's value, until [`has_value`](Self::has_value).
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) fn wait_for_value(&mut self, call: &GroupCall) -> Result<(), Error> {
        self.check(call)?;
        let more = Callers::of(call);
        self.before_value.clients += more.clients;
        self.before_value.whispers += more.whispers;
        Ok(())
    }

    /// The call goes on with the user's value, or without.
    pub(super) fn has_value(&mut self, call: &GroupCall) {
        // If the life has ended meanwhile, nothing waits any more.
        let (count, less) = (&mut self.before_value, Callers::of(call));
        count.clients = count.clients.saturating_sub(less.clients);
        count.whispers = count.whispers.saturating_sub(less.whispers);
    }

    /// Takes everything. Clients whose reply is dropped get an error.
    pub(super) fn take_all(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(super) fn unplaced(&mut self) -> &mut Queue {
        &mut self.unplaced
    }

    pub(super) fn reserve(&mut self, reserved: Reserved) {
        self.reserved_clients += 1;
        self.reserved.entry(reserved.ticket.replica).or_default().push(reserved);
    }

    /// The clients that wait for this Replica to join.
    pub(super) fn take_reserved(&mut self, replica: ReplicaId) -> Vec<Reserved> {
        let reserved = self.reserved.remove(&replica).unwrap_or_default();
        self.reserved_clients -= reserved.len();
        reserved
    }

    pub(super) fn locate_later(&mut self, locating: Locating) {
        self.locating.push(locating);
    }

    pub(super) fn take_locating(&mut self) -> Vec<Locating> {
        std::mem::take(&mut self.locating)
    }
}

/// Clients without a Replica, in the order of their arrival. A hundred thousand may come while a Group wakes, so nothing but
/// [`take`](Self::take) and [`take_near`](Self::take_near) iterates over them.
#[derive(Default)]
pub(super) struct Queue {
    clients: VecDeque<Unplaced>,
    /// How many of them have reached each node.
    near: HashMap<NodeId, usize>,
}

impl Queue {
    pub(super) fn first(&self) -> Option<&Unplaced> {
        self.clients.front()
    }

    pub(super) fn push(&mut self, unplaced: Unplaced) {
        *self.near.entry(unplaced.near).or_default() += 1;
        self.clients.push_back(unplaced);
    }

    pub(super) fn pop(&mut self) -> Option<Unplaced> {
        let first = self.clients.pop_front()?;
        self.discount(first.near, 1);
        Some(first)
    }

    fn discount(&mut self, near: NodeId, clients: usize) {
        if let Some(count) = self.near.get_mut(&near) {
            *count -= clients;
            if *count == 0 {
                self.near.remove(&near);
            }
        }
    }

    /// All of them, in their order.
    pub(super) fn take(&mut self) -> VecDeque<Unplaced> {
        self.near.clear();
        std::mem::take(&mut self.clients)
    }

    /// The first `most` of those that have reached this node.
    pub(super) fn take_near(&mut self, near: NodeId, most: usize) -> Vec<Unplaced> {
        let most = most.min(self.near.get(&near).copied().unwrap_or(0));
        let mut taken = Vec::with_capacity(most);
        let mut others = Vec::new();
        while taken.len() < most {
            let Some(first) = self.clients.pop_front() else { break };
            if first.near == near { taken.push(first) } else { others.push(first) }
        }
        others.into_iter().rev().for_each(|other| self.clients.push_front(other));
        self.discount(near, taken.len());
        taken
    }

    /// How many Replicas with this many seats they need. Clients of different nodes do not share a Replica.
    pub(super) fn replicas(&self, seats: usize) -> usize {
        self.near.values().map(|clients| clients.div_ceil(seats)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unplaced(name: &str, near: u64) -> Unplaced {
        let (client, near) = (ClientId::new(name).unwrap(), NodeId::from_raw(near));
        Unplaced { client, refused: None, near, reply: Reply::new(drop) }
    }

    fn queue(clients: &[(&str, u64)]) -> Queue {
        let mut queue = Queue::default();
        clients.iter().for_each(|(name, near)| queue.push(unplaced(name, *near)));
        queue
    }

    fn names(clients: impl IntoIterator<Item = Unplaced>) -> Vec<String> {
        clients.into_iter().map(|unplaced| unplaced.client.to_string()).collect()
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
            assert!(queue.first().is_none() && queue.replicas(1) == 0);
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

    #[test]
    fn the_clients_and_whispers_that_wait_are_bounded() {
        let client = || ClientId::new("ann").unwrap();
        let identify = GroupCall::Identify { client: client(), refused: None, near: NodeId::default() };
        let locate = GroupCall::Locate { client: client() };
        let mut waiting = Waiting::default();
        for _ in 0..MOST_CLIENTS - 1 {
            waiting.wait_for_value(&identify).unwrap();
        }
        waiting.unplaced().push(unplaced("bob", 1));
        assert!(waiting.wait_for_value(&identify).unwrap_err().is_too_many());
        for _ in 0..MOST_WHISPERS {
            waiting.wait_for_value(&locate).unwrap();
        }
        assert!(waiting.check(&locate).unwrap_err().is_too_many());
        assert!(waiting.check(&GroupCall::Parked).is_ok(), "a Replica asks once");
        waiting.has_value(&locate);
        waiting.has_value(&identify);
        assert!(waiting.check(&locate).is_ok() && waiting.check(&identify).is_ok());
    }

    #[test]
    fn clients_wait_for_the_replica_that_they_are_placed_on() {
        let mut waiting = Waiting::default();
        let reserved = |client: &str, replica: &str| Reserved {
            ticket: Ticket {
                newcomer: true,
                id: crate::address::TicketId { epoch: dog::Epoch::from_raw(1), number: 1 },
                replica: ReplicaId::from_name("room", replica),
                client: ClientId::new(client).unwrap(),
                expires: dog::Timestamp::from_millis(0),
            },
            near: NodeId::default(),
            reply: Reply::new(drop),
        };
        waiting.reserve(reserved("ann", "1"));
        waiting.reserve(reserved("bob", "2"));
        waiting.reserve(reserved("cid", "1"));
        let first = waiting.take_reserved(ReplicaId::from_name("room", "1"));
        let clients: Vec<_> = first.iter().map(|reserved| reserved.ticket.client.as_str()).collect();
        assert_eq!(clients, ["ann", "cid"]);
        assert!(!waiting.is_empty(), "bob waits");
        drop(waiting.take_all());
        assert!(waiting.is_empty());
    }
}
