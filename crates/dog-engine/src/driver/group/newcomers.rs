//! New Replicas of a Group: those that have to be named, and those that have to be introduced to their siblings. Pure.

use dog::ReplicaId;

/// At most one round of introductions runs at a time. Replicas that are admitted meanwhile are introduced together in the next
/// round: in a storm of joins every member is called once per round, and not once per newcomer.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    /// Calls of the user's `clusterize` that run.
    naming: usize,
    waiting: Vec<ReplicaId>,
    introducing: bool,
}

impl Newcomers {
    /// Returns whether one more Replica has to be named, of `wanted` in all; if so, it counts as being named.
    pub(super) fn begin_naming(&mut self, wanted: usize) -> bool {
        let begins = self.naming < wanted;
        self.naming += usize::from(begins);
        begins
    }

    pub(super) fn end_naming(&mut self) {
        self.naming -= 1;
    }

    pub(super) fn any_named(&self) -> bool {
        self.naming > 0
    }

    /// A Replica was admitted. Returns whether rounds of introductions have to be started.
    pub(super) fn admit(&mut self, replica: ReplicaId) -> bool {
        self.waiting.push(replica);
        !std::mem::replace(&mut self.introducing, true)
    }

    /// The Replicas of the next round. `None` ends the rounds.
    pub(super) fn next_round(&mut self) -> Option<Vec<ReplicaId>> {
        self.introducing = !self.waiting.is_empty();
        self.introducing.then(|| std::mem::take(&mut self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str) -> ReplicaId {
        ReplicaId::from_name("room", name)
    }

    #[test]
    fn those_admitted_during_a_round_are_introduced_together_in_the_next() {
        let mut newcomers = Newcomers::default();
        assert!(newcomers.admit(replica("a")));
        assert_eq!(newcomers.next_round(), Some(vec![replica("a")]));
        assert!(!newcomers.admit(replica("b")), "a round runs");
        assert!(!newcomers.admit(replica("c")));
        assert_eq!(newcomers.next_round(), Some(vec![replica("b"), replica("c")]));
        assert_eq!(newcomers.next_round(), None);
        assert!(newcomers.admit(replica("d")));
    }

    #[test]
    fn as_many_are_named_as_are_wanted() {
        let mut newcomers = Newcomers::default();
        assert!(newcomers.begin_naming(2) && newcomers.begin_naming(2) && !newcomers.begin_naming(2));
        newcomers.end_naming();
        assert!(newcomers.any_named());
        assert!(!newcomers.begin_naming(1) && newcomers.begin_naming(2));
    }
}
