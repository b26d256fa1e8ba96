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

impl Member {
    /// Whether the books may be wrong about it, or it about its siblings.
    fn is_in_doubt(&self) -> bool {
        !self.counted || self.missed.is_some() || self.standing == Standing::Suspected
    }
}

impl Books {
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
            let lease_ends = member.heard + LEASE;
            match member.standing {
                // It is told the view when it is taken again, and has no seats until then.
                Standing::Parked => {}
                _ if member.is_in_doubt() || (member.occupied > 0 && lease_ends <= now) => {
                    to_ask.push(replica);
                    self.ask_by(replica, now + ASK_AGAIN);
                }
                _ if member.occupied > 0 => self.ask_by(replica, lease_ends),
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
            self.ask_by(replica, now + LEASE);
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
