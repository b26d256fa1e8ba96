//! The nodes of the cluster, as far as this node knows them.
//!
//! - [`Members`]: the table
//! - [`MemberWatcher`]: follows the leases to fill the table, and ends leases that are not renewed

mod watcher;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use dog_engine::address::{NodeId, Object};
use dog_native::cluster::Versions;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::faults::{Fault, is_planted};
use crate::lease::Lease;

pub(crate) use watcher::MemberWatcher;

/// The number of ended nodes that are remembered. This is needed because a lease that was read before its end may be
/// processed after its end.
const MAX_ENDED: usize = 4096;

/// The nodes that have a lease, as far as this node knows.
#[derive(Debug, Default)]
pub(crate) struct Members {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    live: BTreeMap<NodeId, Member>,
    /// The ids of nodes that have ended. No id is used twice.
    ended: VecDeque<NodeId>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    address: SocketAddr,
    versions: Versions,
    /// Its lease time. `None`: the lease expires by itself.
    time: Option<Duration>,
    /// The message number of the last renewal.
    sequence: u64,
    /// When this node received it, or when the stream last confirmed it.
    heard: Instant,
}

/// A lease whose time has passed without a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Overdue {
    node: NodeId,
    /// The message number of the last known renewal.
    sequence: u64,
    expires_by_itself: bool,
}

impl Members {
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the address of a live node.
    pub(crate) fn address(&self, node: NodeId) -> Option<SocketAddr> {
        self.read().live.get(&node).map(|member| member.address)
    }

    /// Returns the protocol versions of a live node.
    pub(crate) fn versions(&self, node: NodeId) -> Option<Versions> {
        self.read().live.get(&node).map(|member| member.versions)
    }

    pub(crate) fn count(&self) -> usize {
        self.read().live.len()
    }

    /// Records a lease that was read from the stream. Does nothing if its node has ended in the meantime.
    pub(crate) fn learn(&self, node: NodeId, lease: &Lease, sequence: u64) {
        let mut known = self.write();
        let is_news = known.live.get(&node).is_none_or(|member| member.sequence < sequence);
        if is_news && !known.ended.contains(&node) {
            let (address, versions, time) = (lease.address(), lease.versions(), lease.time());
            let member = Member { address, versions, time, sequence, heard: Instant::now() };
            known.live.insert(node, member);
        }
    }

    /// Records that the stream has just confirmed this as the last renewal of a node.
    fn confirm(&self, node: NodeId, sequence: u64) {
        if let Some(member) = self.write().live.get_mut(&node).filter(|member| member.sequence == sequence) {
            member.heard = Instant::now();
        }
    }

    /// Records that the lease of a node has ended. Returns whether the node was live until now.
    pub(crate) fn remove(&self, node: NodeId) -> bool {
        let mut known = self.write();
        if !known.ended.contains(&node) {
            known.ended.push_back(node);
        }
        if known.ended.len() > MAX_ENDED {
            known.ended.pop_front();
        }
        known.live.remove(&node).is_some()
    }

    /// Whether the node had a lease and has lost it.
    pub(crate) fn has_ended(&self, node: NodeId) -> bool {
        let known = self.read();
        !known.live.contains_key(&node) && known.ended.contains(&node)
    }

    /// Returns the leases whose time has passed without a renewal. Leases that expire by themselves are overdue after
    /// `long`.
    fn overdue(&self, long: Duration) -> Vec<Overdue> {
        let known = self.read();
        let overdue = known.live.iter().filter(|(_, member)| member.heard.elapsed() > member.time.unwrap_or(long));
        overdue
            .map(|(node, member)| Overdue {
                node: *node,
                sequence: member.sequence,
                expires_by_itself: member.time.is_none(),
            })
            .collect()
    }

    /// Returns the caretaker of an object without an owner: the live node that acts for it. Nodes with the same members
    /// choose the same caretaker, and when a node ends, only its objects move (rendezvous hashing). XXH3 is a specified
    /// hash, so all releases agree.
    pub(crate) fn caretaker(&self, object: Object) -> NodeId {
        let known = self.read();
        let seed = if is_planted(Fault::HashesDifferentlyInEachProcess) { std::ptr::from_ref(self).addr() } else { 0 };
        let weight =
            |node: &NodeId| xxh3_64_with_seed(&[&node.as_u64().to_be_bytes()[..], object.id()].concat(), seed as u64);
        known.live.keys().copied().max_by_key(weight).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};

    const VERSIONS: Versions = Versions { oldest: 1, newest: 1 };

    fn lease(time: Duration) -> Lease {
        Lease::new(([127, 0, 0, 1], 1).into(), VERSIONS, time, "this")
    }

    fn object(number: u32) -> Object {
        let group = GroupId::from_name("lobby", &number.to_string());
        Object::Group(GroupAddress { class: ClassIndex(0), group })
    }

    #[test]
    fn a_lease_that_was_read_before_its_node_ended_does_not_bring_the_node_back() {
        let members = Members::default();
        let (node, lease) = (NodeId::from_raw(1), lease(Duration::from_secs(15)));
        members.learn(node, &lease, 7);
        assert!(members.remove(node));
        members.learn(node, &lease, 8);
        assert_eq!((members.address(node), members.count()), (None, 0));
        assert!(members.has_ended(node) && !members.has_ended(NodeId::from_raw(2)));
    }

    #[test]
    fn a_lease_is_overdue_when_no_later_renewal_was_heard_of_for_all_of_its_time() {
        let members = Members::default();
        let (node, long) = (NodeId::from_raw(1), Duration::from_secs(60));
        members.learn(node, &lease(Duration::ZERO), 7);
        assert_eq!(members.overdue(long), [Overdue { node, sequence: 7, expires_by_itself: false }]);
        let first = members.read().live[&node].heard;
        // Neither the same renewal again nor an earlier one counts as a renewal.
        for sequence in [7, 6] {
            members.learn(node, &lease(Duration::from_secs(15)), sequence);
            assert_eq!((members.read().live[&node].heard, members.overdue(long).len()), (first, 1));
        }
        members.learn(node, &lease(Duration::from_secs(15)), 8);
        assert_eq!(members.overdue(Duration::ZERO), [], "it is valid again");
        let other = NodeId::from_raw(2);
        let earlier = serde_json::json!({ "address": "127.0.0.1:1", "version": 1, "nonce": "" });
        members.learn(other, &serde_json::from_value(earlier).unwrap(), 9);
        assert_eq!(members.overdue(long), [], "it expires by itself");
        let overdue = Overdue { node: other, sequence: 9, expires_by_itself: true };
        assert_eq!(members.overdue(Duration::ZERO), [overdue]);
    }

    #[test]
    fn every_object_has_one_caretaker_and_keeps_it_when_another_node_ends() {
        let members = Members::default();
        (1..=3).for_each(|node| members.learn(NodeId::from_raw(node), &lease(Duration::from_secs(15)), 1));
        let before: Vec<NodeId> = (0..300).map(|number| members.caretaker(object(number))).collect();
        for node in (1..=3).map(NodeId::from_raw) {
            let share = before.iter().filter(|caretaker| **caretaker == node).count();
            assert!((60..140).contains(&share), "{node} has {share} of 300 objects");
        }
        assert!(members.remove(NodeId::from_raw(2)) && !members.remove(NodeId::from_raw(2)));
        for (number, before) in (0..300).zip(before) {
            let now = members.caretaker(object(number));
            assert!(now == before || before == NodeId::from_raw(2));
        }
    }

    #[test]
    fn the_caretaker_is_the_same_in_every_release() {
        let members = Members::default();
        (1..=3).for_each(|node| members.learn(NodeId::from_raw(node), &lease(Duration::from_secs(15)), 1));
        let caretakers: Vec<u64> = (0..8).map(|number| members.caretaker(object(number)).as_u64()).collect();
        assert_eq!(
            caretakers,
            [2, 2, 3, 3, 1, 3, 1, 3],
            "nodes of two releases would disagree during a rolling deployment"
        );
    }
}
