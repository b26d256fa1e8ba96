//! What may differ from what was told last: [`Pending`].

use std::collections::{BTreeSet, HashMap, VecDeque};

use dog::Timestamp;
use dog::internal::ConnectionId;

use super::member::Member;

/// The clients and connections that were touched since they were told last, those that were touched first at the front.
#[derive(Debug, Default)]
pub(super) struct Pending {
    order: VecDeque<Member>,
    touched: HashMap<Member, BTreeSet<ConnectionId>>,
    /// When it is told.
    tick_at: Option<Timestamp>,
}

impl Pending {
    /// A client, or one of its connections, may be other than it was told. It is told at `tick` at the latest.
    pub(super) fn touch(&mut self, member: &Member, connection: Option<ConnectionId>, tick: Timestamp) {
        let connections = self.touched.entry(member.clone()).or_insert_with(|| {
            self.order.push_back(member.clone());
            BTreeSet::new()
        });
        connections.extend(connection);
        self.tick_by(tick);
    }

    /// Something is told at this time, or before.
    pub(super) fn tick_by(&mut self, tick: Timestamp) {
        self.tick_at = Some(self.tick_at.map_or(tick, |at| at.min(tick)));
    }

    pub(super) fn next_tick(&self) -> Option<Timestamp> {
        self.tick_at
    }

    /// Whether something is to be told now.
    pub(super) fn begin_tick(&mut self, now: Timestamp) -> bool {
        let is_due = self.tick_at.is_some_and(|at| at <= now);
        if is_due {
            self.tick_at = None;
        }
        is_due
    }

    /// What is left has to wait for the next tick.
    pub(super) fn end_tick(&mut self, next: Timestamp) {
        if !self.order.is_empty() {
            self.tick_by(next);
        }
    }

    /// The client that was touched first.
    pub(super) fn first(&self) -> Option<&Member> {
        self.order.front()
    }

    /// One of its connections that were touched.
    pub(super) fn connection(&self, member: &Member) -> Option<ConnectionId> {
        self.touched.get(member)?.first().copied()
    }

    /// That connection is as it was told.
    pub(super) fn settle_connection(&mut self, member: &Member) {
        if let Some(connections) = self.touched.get_mut(member) {
            connections.pop_first();
        }
    }

    /// The first client is as it was told.
    pub(super) fn settle_first(&mut self) {
        if let Some(member) = self.order.pop_front() {
            self.touched.remove(&member);
        }
    }

    /// Everything is as it was told.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
