//! All members of a Group, and the indexes that make every decision cheap: [`Members`].

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dog::internal::Door;
use dog::{Placement, ReplicaId, Timestamp};

use super::member::{Member, MemberState};
use super::sweep::sweep;
use crate::address::NodeId;

/// A member's place in the order of placement: by node, the least used first, the older before the younger.
type Use = (NodeId, u32, u64, ReplicaId);

/// The members, indexed by state, use and emptiness.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: HashMap<ReplicaId, Member>,
    /// How many are in the state `Uncounted`.
    uncounted: usize,
    /// Those that are not parked, the older before the younger.
    unparked: BTreeSet<(u64, ReplicaId)>,
    /// Those that can be given newcomers.
    by_use: BTreeSet<Use>,
    /// Parked ones, the longest parked first.
    parked: VecDeque<ReplicaId>,
    next_order: u64,
    /// Members by when they became empty, with the number of that period. Stale entries are skipped.
    empty: VecDeque<(Timestamp, u64, ReplicaId)>,
    next_emptiness: u64,
}

fn use_of(replica: ReplicaId, member: &Member) -> Use {
    (member.node, member.seats(), member.order, replica)
}

impl Members {
    pub(super) fn get(&self, replica: ReplicaId) -> Option<&Member> {
        self.all.get(&replica)
    }

    pub(super) fn state(&self, replica: ReplicaId) -> Option<MemberState> {
        self.get(replica).map(|member| member.state)
    }

    /// Seats of a Replica that are taken or reserved.
    pub(super) fn seats(&self, replica: ReplicaId) -> u32 {
        self.get(replica).map_or(0, Member::seats)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ReplicaId, &Member)> {
        self.all.iter().map(|(replica, member)| (*replica, member))
    }

    /// The members that meet the condition, the older before the younger.
    pub(super) fn ordered(&self, condition: impl Fn(&Member) -> bool) -> Vec<ReplicaId> {
        let members = self.all.iter().filter(|(_, member)| condition(member));
        let mut members: Vec<_> = members.map(|(replica, member)| (member.order, *replica)).collect();
        members.sort_unstable();
        members.into_iter().map(|(_, replica)| replica).collect()
    }

    pub(super) fn parked_count(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn unparked_count(&self) -> usize {
        self.all.len() - self.parked.len()
    }

    pub(super) fn any_uncounted(&self) -> bool {
        self.uncounted > 0
    }

    /// Those that are not parked, the older before the younger.
    pub(super) fn unparked(&self) -> Arc<[ReplicaId]> {
        self.unparked.iter().map(|(_, replica)| *replica).collect()
    }

    /// Those that are not parked and meet the condition, the older before the younger.
    pub(super) fn unparked_that(&self, condition: impl Fn(&Member) -> bool) -> impl Iterator<Item = ReplicaId> {
        self.unparked
            .iter()
            .map(|(_, replica)| *replica)
            .filter(move |replica| self.all.get(replica).is_some_and(&condition))
    }

    pub(super) fn is_unheard(&self, replica: ReplicaId) -> bool {
        self.get(replica).is_some_and(Member::is_unheard)
    }

    /// Parked ones, the longest parked first.
    pub(super) fn parked(&self) -> impl Iterator<Item = ReplicaId> {
        self.parked.iter().copied()
    }

    pub(super) fn enter(&mut self, replica: ReplicaId, state: MemberState) {
        let order = self.next_order;
        self.next_order += 1;
        self.all.insert(replica, Member::new(state, order));
        match state {
            MemberState::Parked => self.parked.push_back(replica),
            _ => drop(self.unparked.insert((order, replica))),
        }
        self.uncounted += usize::from(state == MemberState::Uncounted);
        // Puts it into the order of placement.
        self.change(replica, |_| ());
    }

    /// Changes a member and updates the indexes. Every change of a member's seats, node, door or state goes through here.
    pub(super) fn change<T>(&mut self, replica: ReplicaId, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let member = self.all.get_mut(&replica)?;
        if member.takes_newcomers() {
            self.by_use.remove(&use_of(replica, member));
        }
        let before = member.state;
        let changed = change(member);
        if member.state == MemberState::Parked {
            member.door = Door::Open;
        }
        if member.takes_newcomers() {
            self.by_use.insert(use_of(replica, member));
        }
        let (order, after) = (member.order, member.state);
        if before != after {
            self.update_indexes(replica, order, before, Some(after));
        }
        Some(changed)
    }

    /// Changes what no index depends on: everything but a member's seats, node, door and state.
    pub(super) fn note<T>(&mut self, replica: ReplicaId, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        self.all.get_mut(&replica).map(change)
    }

    pub(super) fn set_state(&mut self, replica: ReplicaId, state: MemberState) {
        self.change(replica, |member| member.state = state);
    }

    /// A member has changed its state, or has gone.
    fn update_indexes(&mut self, replica: ReplicaId, order: u64, before: MemberState, after: Option<MemberState>) {
        self.uncounted -= usize::from(before == MemberState::Uncounted);
        self.uncounted += usize::from(after == Some(MemberState::Uncounted));
        match (before, after) {
            (_, Some(MemberState::Parked)) => {
                self.unparked.remove(&(order, replica));
                self.parked.push_back(replica);
            }
            (MemberState::Parked, Some(_)) => {
                self.parked.retain(|other| *other != replica);
                self.unparked.insert((order, replica));
            }
            (_, Some(_)) => {}
            (_, None) => {
                self.unparked.remove(&(order, replica));
                self.parked.retain(|other| *other != replica);
            }
        }
    }

    pub(super) fn remove(&mut self, replica: ReplicaId) -> Option<Member> {
        let member = self.all.remove(&replica)?;
        self.by_use.remove(&use_of(replica, &member));
        self.update_indexes(replica, member.order, member.state, None);
        Some(member)
    }

    /// Removes those that are parked and have no seats. Returns them.
    pub(super) fn forget(&mut self, replicas: &[ReplicaId]) -> Vec<ReplicaId> {
        let unused =
            |replica: &&ReplicaId| self.state(**replica) == Some(MemberState::Parked) && self.seats(**replica) == 0;
        let gone: HashSet<ReplicaId> = replicas.iter().filter(unused).copied().collect();
        self.all.retain(|replica, _| !gone.contains(replica));
        self.parked.retain(|replica| !gone.contains(replica));
        replicas.iter().filter(|replica| gone.contains(replica)).copied().collect()
    }

    /// Those of `parked` that meet the condition and were not examined since they were parked. Now they are.
    pub(super) fn unexamined(&mut self, parked: &[ReplicaId], condition: impl Fn(&Member) -> bool) -> Vec<ReplicaId> {
        let all = &mut self.all;
        let unexamined = parked.iter().filter(|replica| {
            let member = all.get_mut(replica).filter(|member| condition(member) && !member.examined);
            member.is_some_and(|member| !std::mem::replace(&mut member.examined, true))
        });
        unexamined.copied().collect()
    }

    /// The member on this node that is the next to get a client. Of equals the oldest.
    pub(super) fn with_room(
        &self,
        placement: Placement,
        near: NodeId,
        limit: u32,
        refused: Option<ReplicaId>,
    ) -> Option<ReplicaId> {
        match placement {
            Placement::LeastUsed => self.oldest(near, 0, limit, refused),
            Placement::FillFirst => self.most_used(near, limit, refused),
        }
    }

    /// Those on this node with at least `from` and less than `below` seats, in the order of placement.
    fn used(&self, near: NodeId, from: u32, below: u32) -> impl DoubleEndedIterator<Item = &Use> {
        let first = |seats| (near, seats, 0, ReplicaId::from_bytes([0; 32]));
        self.by_use.range(first(from)..first(below.max(from)))
    }

    fn oldest(&self, near: NodeId, from: u32, below: u32, refused: Option<ReplicaId>) -> Option<ReplicaId> {
        let mut used = self.used(near, from, below).map(|(.., replica)| *replica);
        used.find(|replica| Some(*replica) != refused)
    }

    fn most_used(&self, near: NodeId, limit: u32, refused: Option<ReplicaId>) -> Option<ReplicaId> {
        let mut below = limit;
        // At most twice: only one member has refused.
        loop {
            let (_, most, ..) = *self.used(near, 0, below).next_back()?;
            if let Some(replica) = self.oldest(near, most, below, refused) {
                return Some(replica);
            }
            below = most;
        }
    }

    /// The same on any node.
    pub(super) fn with_room_anywhere(&self, placement: Placement, limit: u32) -> Option<ReplicaId> {
        let with_room = self.by_use.iter().filter(|(_, seats, ..)| *seats < limit);
        let (.., replica) = with_room.min_by_key(|(_, seats, order, _)| match placement {
            Placement::LeastUsed => (*seats, *order),
            Placement::FillFirst => (limit - *seats, *order),
        })?;
        Some(*replica)
    }

    /// The longest parked member on this node, or on any node if there is none.
    pub(super) fn longest_parked(&self, near: NodeId, refused: Option<ReplicaId>) -> Option<ReplicaId> {
        let mut parked = self.parked().filter(|parked| Some(*parked) != refused).peekable();
        let first = parked.peek().copied();
        parked.find(|parked| self.all.get(parked).is_some_and(|member| member.node == near)).or(first)
    }

    /// The length of the queue of deadlines, with stale entries.
    #[cfg(test)]
    pub(super) fn queue_length(&self) -> usize {
        self.empty.len()
    }

    /// Notes since when a member has been empty. Called after its seats have changed.
    pub(super) fn note_emptiness(&mut self, replica: ReplicaId, now: Timestamp) {
        let Some(member) = self.all.get_mut(&replica) else { return };
        match (member.seats(), member.emptiness) {
            (0, None) => {
                let emptiness = self.next_emptiness;
                self.next_emptiness += 1;
                member.emptiness = Some(emptiness);
                self.empty.push_back((now, emptiness, replica));
                let all = &self.all;
                sweep(&mut self.empty, all.len(), |(_, emptiness, replica)| is_empty_since(all, *replica, *emptiness));
            }
            (1.., Some(_)) => member.emptiness = None,
            _ => {}
        }
    }

    /// Parks the active members that have been empty for `park_after`. Returns them.
    pub(super) fn park_empty(&mut self, park_after: Duration, now: Timestamp) -> Vec<ReplicaId> {
        let mut parked = Vec::new();
        while let Some((since, emptiness, replica)) = self.empty.front().copied() {
            if since + park_after > now {
                break;
            }
            self.empty.pop_front();
            let Some(member) = self.all.get_mut(&replica) else { continue };
            if member.emptiness != Some(emptiness) {
                continue;
            }
            // If it is not parked now, its emptiness is noted again when it becomes active.
            member.emptiness = None;
            if member.state == MemberState::Active {
                self.set_state(replica, MemberState::Parked);
                parked.push(replica);
            }
        }
        parked
    }

    /// When the next member is to be parked.
    pub(super) fn next_parking(&mut self, park_after: Duration) -> Option<Timestamp> {
        while let Some((_, emptiness, replica)) = self.empty.front()
            && !is_empty_since(&self.all, *replica, *emptiness)
        {
            self.empty.pop_front();
        }
        self.empty.front().map(|(since, ..)| *since + park_after)
    }
}

/// Whether a member is still in its period of emptiness of that number.
fn is_empty_since(members: &HashMap<ReplicaId, Member>, replica: ReplicaId, emptiness: u64) -> bool {
    members.get(&replica).is_some_and(|member| member.emptiness == Some(emptiness))
}
