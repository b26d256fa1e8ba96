//! When members are asked for their seats because their word is missing or old (promises 4 and 8): [`LivenessQueue`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use dog::{ReplicaId, Timestamp};

/// How long the word of a member that holds seats counts. A member that has died says nothing any more, and its last word may
/// be lost.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How long after a call that was not answered the next one follows.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(3);

/// When members with seats are asked, if they have been silent for [`LEASE`].
#[derive(Debug, Default)]
pub(super) enum SilenceChecks {
    /// When their lease ends.
    #[default]
    Timed,
    /// When a client comes for whom it matters. Then all of them are asked, at most once per lease.
    OnDemand {
        /// When that was last.
        last: Timestamp,
    },
}

/// When each member is to be asked for its seats, unless it is heard before. At most one entry per member.
#[derive(Debug, Default)]
pub(super) struct LivenessQueue {
    /// By milliseconds. [`Members`](super::members::Members) has a set of the same type: a program contains one.
    queue: BTreeSet<(u64, ReplicaId)>,
    times: HashMap<ReplicaId, Timestamp>,
}

impl LivenessQueue {
    /// Asks the member at `at`, or earlier if that was scheduled before.
    pub(super) fn ask_by(&mut self, replica: ReplicaId, at: Timestamp) {
        match self.times.get(&replica).copied() {
            Some(sooner) if sooner <= at => return,
            Some(later) => drop(self.queue.remove(&(later.as_millis(), replica))),
            None => {}
        }
        self.times.insert(replica, at);
        self.queue.insert((at.as_millis(), replica));
    }

    pub(super) fn contains(&self, replica: ReplicaId) -> bool {
        self.times.contains_key(&replica)
    }

    /// A member that is due.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<ReplicaId> {
        let (_, replica) = self.queue.first().copied().filter(|(at, _)| *at <= now.as_millis())?;
        self.queue.pop_first();
        self.times.remove(&replica);
        Some(replica)
    }

    pub(super) fn remove(&mut self, replica: ReplicaId) {
        if let Some(at) = self.times.remove(&replica) {
            self.queue.remove(&(at.as_millis(), replica));
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| Timestamp::from_millis(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_time_counts_and_each_member_is_due_once() {
        let at = Timestamp::from_millis;
        let [ann, bob] = ["a", "b"].map(|name| ReplicaId::from_name("room", name));
        let mut queue = LivenessQueue::default();
        queue.ask_by(ann, at(30));
        queue.ask_by(ann, at(40));
        queue.ask_by(bob, at(20));
        queue.ask_by(bob, at(10));
        assert_eq!(queue.next(), Some(at(10)));
        assert_eq!((queue.pop_due(at(9)), queue.pop_due(at(30)), queue.pop_due(at(30))), (None, Some(bob), Some(ann)));
        assert!(queue.pop_due(at(99)).is_none() && !queue.contains(ann));
        queue.ask_by(ann, at(50));
        queue.remove(ann);
        assert_eq!(queue.next(), None);
    }
}
