//! Members whose word is missing: they are asked for their seats, again and again, until it is there (promises 4, 8).

use std::time::Duration;

use dog::{ReplicaId, Timestamp};

use super::{Books, Member, Standing};
use crate::address::ViewVersion;

/// How long the word of a member that holds seats counts. One that has died says nothing any more, and what it said at
/// its end may be lost.
const LEASE: Duration = Duration::from_secs(30);

/// How long after a question that was not answered the next one comes.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// When a member that holds seats, and has said nothing for the time of a lease, is asked whether it still does.
#[derive(Debug, Default)]
pub(super) enum Watch {
    /// As soon as the lease is over.
    #[default]
    Always,
    /// When somebody comes for whom it matters; then all of them, at most once in the time of a lease.
    OnVisits {
        /// When that was last.
        last: Timestamp,
    },
}

impl Member {
    /// Whether the books may be wrong about it, or it about its siblings.
    fn is_in_doubt(&self) -> bool {
        !self.counted || self.missed.is_some() || self.standing == Standing::Suspected
    }

    fn lease_ends(&self) -> Timestamp {
        self.heard + LEASE
    }
}

impl Books {
    /// From now on nobody is asked for the sake of time alone, but on [visits](Books::visited): for hosts where a timer
    /// keeps the Group in memory, and a question wakes the member.
    pub fn watch_on_visits(&mut self) {
        self.watch = Watch::OnVisits { last: Timestamp::default() };
    }

    /// Somebody wants to be placed, or to know where somebody is. What the books say of members that have been silent for
    /// long may be wrong by now: they are asked next.
    pub fn visited(&mut self, now: Timestamp) {
        let Watch::OnVisits { last } = &mut self.watch else { return };
        if *last + LEASE > now {
            return;
        }
        *last = now;
        let silent = self.members.iter().filter(|(_, member)| member.occupied > 0 && member.lease_ends() <= now);
        let silent: Vec<_> = silent.map(|(replica, _)| *replica).collect();
        silent.into_iter().for_each(|replica| self.ask_by(replica, now));
    }

    /// A member did not answer when it was told `view`, or asked for its seats: it will be asked again.
    pub fn ask_later(&mut self, replica: ReplicaId, view: ViewVersion, now: Timestamp) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        member.missed = member.missed.max(Some(view));
        self.ask_by(replica, now + ASK_AGAIN);
    }

    /// A member has answered a census, which told it `view`.
    pub fn told(&mut self, replica: ReplicaId, view: ViewVersion) {
        if let Some(member) = self.members.get_mut(&replica) {
            member.missed = member.missed.filter(|missed| *missed > view);
        }
    }

    /// The members to be asked for their seats now: those in doubt, and those not heard for the time of a lease.
    pub fn to_ask(&mut self, now: Timestamp) -> Vec<ReplicaId> {
        let mut to_ask = Vec::new();
        while let Some((_, replica)) = self.asks.first().copied().filter(|(at, _)| *at <= now) {
            self.asks.pop_first();
            let Some(member) = self.members.get_mut(&replica) else { continue };
            member.ask_at = None;
            let lease_ends = member.lease_ends();
            match member.standing {
                // It is told the view when it is taken again, and has no seats until then.
                Standing::Parked => {}
                _ if member.is_in_doubt() || (member.occupied > 0 && lease_ends <= now) => {
                    to_ask.push(replica);
                    self.ask_by(replica, now + ASK_AGAIN);
                }
                _ if member.occupied > 0 => self.ask_when_lease_ends(replica, lease_ends),
                _ => {}
            }
        }
        to_ask
    }

    /// A member has said what its seats are.
    pub(super) fn was_heard(&mut self, replica: ReplicaId, now: Timestamp) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        member.heard = now;
        if member.occupied > 0 && member.ask_at.is_none() {
            self.ask_when_lease_ends(replica, now + LEASE);
        }
    }

    fn ask_when_lease_ends(&mut self, replica: ReplicaId, at: Timestamp) {
        if matches!(self.watch, Watch::Always) {
            self.ask_by(replica, at);
        }
    }

    fn ask_by(&mut self, replica: ReplicaId, at: Timestamp) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        match member.ask_at {
            Some(sooner) if sooner <= at => return,
            Some(later) => drop(self.asks.remove(&(later, replica))),
            None => {}
        }
        member.ask_at = Some(at);
        self.asks.insert((at, replica));
    }
}
