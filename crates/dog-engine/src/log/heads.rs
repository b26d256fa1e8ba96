//! Which Replicas have not acknowledged the end of a log: [`Heads`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::{ReplicaId, Timestamp};

/// How long after a publication was sent the end of the log is repeated to a Replica that has not acknowledged it.
const FIRST_REPEAT: Duration = Duration::from_millis(250);

/// The time between further repetitions.
const NEXT_REPEAT: Duration = Duration::from_millis(500);

/// The Replicas that follow one topic. The end of the log is repeated to each, without messages, until it has acknowledged it:
/// so a publication that was lost on the way is noticed although no other follows. When all have, nothing is sent.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    followers: BTreeMap<ReplicaId, Progress>,
    /// The newest offset.
    head: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The newest offset that it has acknowledged. `None`: nothing is known of it.
    acknowledged: Option<u64>,
    /// When the end is repeated to it. `None`: it has acknowledged it.
    repeat_at: Option<Timestamp>,
}

impl Heads {
    /// No Replica follows the log, which ends with this offset.
    pub fn new(head: u64) -> Self {
        Self { followers: BTreeMap::new(), head }
    }

    /// A Replica follows the log, and has been told where it ends.
    pub fn follow(&mut self, replica: ReplicaId) {
        let head = self.head;
        self.followers.entry(replica).or_insert(Progress { acknowledged: Some(head), repeat_at: None });
    }

    /// A Replica may follow the log, and nobody knows how far it has come: the end is repeated to it at once.
    pub fn find(&mut self, replica: ReplicaId, now: Timestamp) {
        self.followers.entry(replica).or_insert(Progress { acknowledged: None, repeat_at: Some(now) });
    }

    /// No others than these Replicas follow the log any more.
    pub fn keep_only(&mut self, replicas: &BTreeSet<ReplicaId>) {
        self.followers.retain(|replica, _| replicas.contains(replica));
    }

    /// These Replicas follow the log from now on, and no others. Returns those that have not followed it before: they need nothing
    /// that came before.
    pub fn follow_only(&mut self, replicas: &BTreeSet<ReplicaId>) -> BTreeSet<ReplicaId> {
        self.keep_only(replicas);
        let new: BTreeSet<_> =
            replicas.iter().filter(|replica| !self.followers.contains_key(replica)).copied().collect();
        new.iter().for_each(|replica| self.follow(*replica));
        new
    }

    /// Whether no Replica follows the log.
    pub fn is_empty(&self) -> bool {
        self.followers.is_empty()
    }

    /// A Replica does not follow the log any more.
    pub fn remove(&mut self, replica: ReplicaId) {
        self.followers.remove(&replica);
    }

    /// The publication with this offset is sent to all that follow the log.
    pub fn sent(&mut self, offset: u64, now: Timestamp) {
        self.head = self.head.max(offset);
        for progress in self.followers.values_mut() {
            progress.repeat_at.get_or_insert(now + FIRST_REPEAT);
        }
    }

    /// A Replica has everything up to this offset.
    pub fn acknowledge(&mut self, replica: ReplicaId, offset: u64, now: Timestamp) {
        let head = self.head;
        let Some(progress) = self.followers.get_mut(&replica) else { return };
        if progress.acknowledged.is_some_and(|acknowledged| offset <= acknowledged) && offset < head {
            return;
        }
        progress.acknowledged = progress.acknowledged.max(Some(offset.min(head)));
        progress.repeat_at = if offset >= head {
            None
        } else {
            // It hears: what it has not acknowledged yet may be on its way.
            progress.repeat_at.max(Some(now + FIRST_REPEAT))
        };
    }

    /// The log has begun again with another epoch, and this offset as its newest. All that follow it are to be told at once.
    pub fn restart(&mut self, head: u64, now: Timestamp) {
        self.head = head;
        for progress in self.followers.values_mut() {
            *progress = Progress { acknowledged: None, repeat_at: Some(now) };
        }
    }

    /// The newest offset that a Replica has acknowledged. A new life of the Replica goes on from there.
    pub fn acknowledged(&self, replica: ReplicaId) -> Option<u64> {
        self.followers.get(&replica)?.acknowledged
    }

    /// The Replicas that the end has to be repeated to now.
    pub fn due(&mut self, now: Timestamp) -> Vec<ReplicaId> {
        let due = |(replica, progress): (&ReplicaId, &mut Progress)| {
            progress.repeat_at.filter(|at| *at <= now)?;
            progress.repeat_at = Some(now + NEXT_REPEAT);
            Some(*replica)
        };
        self.followers.iter_mut().filter_map(due).collect()
    }

    /// When [`due`](Self::due) has something next. `None`: all have acknowledged the end.
    pub fn next_time(&self) -> Option<Timestamp> {
        self.followers.values().filter_map(|progress| progress.repeat_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn replica(name: &str) -> ReplicaId {
        ReplicaId::from_name("room", name)
    }

    #[test]
    fn the_end_is_repeated_after_250_ms_and_every_500_ms_until_it_is_acknowledged() {
        let mut heads = Heads::new(6);
        heads.follow(replica("a"));
        heads.follow(replica("b"));
        assert_eq!(heads.next_time(), None, "a quiet room sends nothing");
        heads.sent(7, at(0));
        heads.acknowledge(replica("b"), 7, at(100));
        assert!(heads.due(at(249)).is_empty());
        assert_eq!(heads.due(at(250)), [replica("a")]);
        assert!(heads.due(at(749)).is_empty());
        assert_eq!(heads.due(at(750)), [replica("a")]);
        assert_eq!(heads.acknowledged(replica("a")), Some(6));
        heads.acknowledge(replica("a"), 7, at(751));
        assert_eq!((heads.next_time(), heads.acknowledged(replica("a"))), (None, Some(7)));
    }

    #[test]
    fn a_replica_that_hears_is_not_reminded_of_what_is_on_its_way() {
        let mut heads = Heads::new(0);
        heads.follow(replica("a"));
        for offset in 1..100 {
            let now = at(offset * 100);
            heads.sent(offset, now);
            heads.acknowledge(replica("a"), offset - 1, now);
            assert!(heads.due(now).is_empty(), "{offset}");
        }
        assert_eq!(heads.due(at(9_900 + 250)), [replica("a")]);
        heads.acknowledge(replica("a"), 98, at(10_200));
        assert_eq!(heads.next_time(), Some(at(10_150 + 500)), "an old acknowledgement is no progress");
    }

    #[test]
    fn those_that_begin_to_follow_need_nothing_that_came_before() {
        let mut heads = Heads::new(6);
        heads.follow_only(&BTreeSet::from([replica("a"), replica("b")]));
        heads.sent(7, at(0));
        let new = heads.follow_only(&BTreeSet::from([replica("b"), replica("c")]));
        assert_eq!(new, BTreeSet::from([replica("c")]));
        assert_eq!(["a", "b", "c"].map(|name| heads.acknowledged(replica(name))), [None, Some(6), Some(7)]);
        assert_eq!(heads.due(at(250)), [replica("b")]);
        heads.follow_only(&BTreeSet::new());
        assert!(heads.is_empty() && heads.next_time().is_none());
    }

    #[test]
    fn a_replica_of_which_nothing_is_known_is_told_at_once_and_one_that_has_left_is_not() {
        let mut heads = Heads::new(3);
        heads.find(replica("a"), at(5));
        assert_eq!((heads.acknowledged(replica("a")), heads.due(at(5))), (None, vec![replica("a")]));
        heads.restart(1, at(6));
        assert_eq!(heads.due(at(6)), [replica("a")]);
        heads.remove(replica("a"));
        heads.sent(2, at(7));
        heads.acknowledge(replica("a"), 2, at(8));
        assert_eq!((heads.next_time(), heads.acknowledged(replica("a"))), (None, None));
    }
}
