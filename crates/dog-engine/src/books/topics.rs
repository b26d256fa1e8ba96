//! Which Replicas have subscribers of which topics, as they have reported (promise 20): [`Interests`].

use std::collections::{BTreeSet, HashMap, HashSet};

use dog::internal::{Topic, Topics};
use dog::{Epoch, ReplicaId};

use crate::message::{InterestAnswer, InterestReport};

/// Most different topics of one Group.
const MAX_OF_GROUP: usize = 100_000;

/// The topics of all Replicas whose topics are known. A Replica that is not here may have subscribers of anything.
#[derive(Debug, Default)]
pub(super) struct Interests {
    replicas: HashMap<ReplicaId, Interest>,
    /// The Replicas with subscribers of each topic that has some.
    by_topic: HashMap<Topic, BTreeSet<ReplicaId>>,
}

/// The topics of one Replica.
#[derive(Debug)]
struct Interest {
    epoch: Epoch,
    sequence: u64,
    topics: HashSet<Topic>,
}

/// The Replicas that a message for a topic has to be sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicAudience {
    /// Those that have subscribers.
    pub interested: Vec<ReplicaId>,
    /// Those whose topics are not known, and that have sockets as far as is known. They are to be asked for their topics.
    pub unknown: Vec<ReplicaId>,
}

impl Interests {
    /// Takes a report. Reports of an earlier life, and older ones, change nothing.
    pub(super) fn take(&mut self, report: &InterestReport) -> InterestAnswer {
        let is_stale = |known: &Interest| {
            report.epoch < known.epoch || (report.epoch == known.epoch && report.sequence < known.sequence)
        };
        let known = self.replicas.get(&report.replica);
        if known.is_some_and(is_stale) {
            return InterestAnswer::Taken { refused: Vec::new() };
        }
        if !report.census && known.is_none_or(|known| known.epoch < report.epoch) {
            return InterestAnswer::Census;
        }
        if report.census {
            self.remove_missing(report);
        }
        let (replica, epoch, sequence) = (report.replica, report.epoch, report.sequence);
        let interest =
            self.replicas.entry(replica).or_insert_with(|| Interest { epoch, sequence, topics: HashSet::new() });
        (interest.epoch, interest.sequence) = (epoch, sequence);
        let mut refused = Vec::new();
        for (topic, has_subscribers) in &report.topics {
            if !has_subscribers {
                self.remove(replica, topic);
            } else if !self.insert(replica, topic) {
                refused.push(topic.clone());
            }
        }
        InterestAnswer::Taken { refused }
    }

    /// A census names every topic that has subscribers. Those that it does not name have none.
    fn remove_missing(&mut self, report: &InterestReport) {
        let Some(known) = self.replicas.get(&report.replica) else { return };
        let named: HashSet<_> = report.topics.iter().map(|(topic, _)| topic).collect();
        let missing: Vec<_> = known.topics.iter().filter(|topic| !named.contains(topic)).cloned().collect();
        missing.iter().for_each(|topic| self.remove(report.replica, topic));
    }

    /// Returns `false` if the topic would be one too many.
    fn insert(&mut self, replica: ReplicaId, topic: &Topic) -> bool {
        let Some(interest) = self.replicas.get_mut(&replica) else { return true };
        if interest.topics.contains(topic) {
            return true;
        }
        // All Replicas share the name of a topic.
        let known = self.by_topic.get_key_value(topic).map(|(name, _)| name.clone());
        if known.is_none() && self.by_topic.len() >= MAX_OF_GROUP {
            return false;
        }
        let name = known.unwrap_or_else(|| topic.clone());
        interest.topics.insert(name.clone());
        self.by_topic.entry(name).or_default().insert(replica);
        true
    }

    fn remove(&mut self, replica: ReplicaId, topic: &Topic) {
        if self.replicas.get_mut(&replica).is_some_and(|interest| interest.topics.remove(topic)) {
            self.remove_from(topic, replica);
        }
    }

    fn remove_from(&mut self, topic: &Topic, replica: ReplicaId) {
        let Some(replicas) = self.by_topic.get_mut(topic) else { return };
        replicas.remove(&replica);
        if replicas.is_empty() {
            self.by_topic.remove(topic);
        }
    }

    /// What this Replica has reported does not count any more.
    pub(super) fn forget(&mut self, replica: ReplicaId) {
        if !Topics::ON {
            return;
        }
        let Some(interest) = self.replicas.remove(&replica) else { return };
        interest.topics.iter().for_each(|topic| self.remove_from(topic, replica));
    }

    pub(super) fn is_known(&self, replica: ReplicaId) -> bool {
        self.replicas.contains_key(&replica)
    }

    /// How many Replicas are known.
    pub(super) fn known(&self) -> usize {
        self.replicas.len()
    }

    /// Whether a topic is known to have subscribers.
    pub(super) fn has_subscribers(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// The Replicas with subscribers of a topic.
    pub(super) fn interested(&self, topic: &str) -> Vec<ReplicaId> {
        self.by_topic.get(topic).into_iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use dog::{Limit, Policy, Timestamp};

    use super::*;
    use crate::address::NodeId;
    use crate::books::{Books, MemberState};
    use crate::message::Report;

    const NOW: Timestamp = Timestamp::from_millis(1);

    fn replica(name: &str) -> ReplicaId {
        ReplicaId::from_name("room", name)
    }

    /// The report `sequence` of the life `epoch`: `+a` for a topic that has subscribers, `-a` for one that has none.
    fn report(name: &str, (epoch, sequence): (u64, u64), census: bool, topics: &[&str]) -> InterestReport {
        let topic = |text: &&str| (Topic::new(&text[1..]).unwrap(), text.starts_with('+'));
        InterestReport {
            replica: replica(name),
            epoch: Epoch::from_raw(epoch),
            node: NodeId::default(),
            sequence,
            topics: topics.iter().map(topic).collect(),
            census,
            feature: Topics::get().unwrap(),
        }
    }

    fn seats(name: &str, epoch: u64, occupied: u32) -> Report {
        let mut seats = crate::seats::Seats::new(replica(name), Epoch::from_raw(epoch), Limit::new(9)).census();
        seats.occupied = occupied;
        seats
    }

    /// A Group with these members, each with a socket.
    fn books(members: &[&str]) -> Books {
        let mut books = Books::new(Epoch::from_raw(1), Limit::new(9), Policy::default());
        for member in members {
            books.admit(replica(member), NOW);
            books.joined(&seats(member, 1, 1), NOW);
        }
        books
    }

    /// Which of `a`, `b` and `c` are interested in `t`, and which are unknown.
    fn audience(books: &Books) -> (String, String) {
        let TopicAudience { interested, unknown } = books.topic_audience("t");
        let names = |replicas: &[ReplicaId]| {
            ["a", "b", "c"].into_iter().filter(|name| replicas.contains(&replica(name))).collect()
        };
        (names(&interested), names(&unknown))
    }

    fn shown(interested: &str, unknown: &str) -> (String, String) {
        (interested.to_owned(), unknown.to_owned())
    }

    const TAKEN: InterestAnswer = InterestAnswer::Taken { refused: Vec::new() };

    #[test]
    fn who_has_not_reported_may_be_interested_in_everything() {
        let mut books = books(&["a", "b", "c"]);
        assert_eq!(audience(&books), shown("", "abc"));
        assert_eq!(books.interest(&report("a", (1, 0), true, &[]), NOW), TAKEN);
        assert_eq!(books.interest(&report("b", (1, 1), true, &["+t", "+u"]), NOW), TAKEN);
        assert_eq!(audience(&books), shown("b", "c"));
        assert_eq!(books.interest(&report("c", (1, 1), false, &["+t"]), NOW), InterestAnswer::Census);
        assert_eq!(audience(&books), shown("b", "c"), "it is asked for everything first");
        assert_eq!(books.interest(&report("c", (1, 1), true, &["+t"]), NOW), TAKEN);
        assert_eq!(audience(&books), shown("bc", ""));
    }

    #[test]
    fn reports_that_are_late_or_doubled_change_nothing() {
        let mut books = books(&["a"]);
        books.interest(&report("a", (1, 1), true, &["+t"]), NOW);
        books.interest(&report("a", (1, 3), false, &["-t"]), NOW);
        for late in [report("a", (1, 1), true, &["+t"]), report("a", (1, 2), false, &["+t"])] {
            assert_eq!(books.interest(&late, NOW), TAKEN);
            assert_eq!(audience(&books), shown("", ""));
        }
        books.interest(&report("a", (1, 4), false, &["+t"]), NOW);
        books.interest(&report("a", (1, 4), false, &["+t"]), NOW);
        assert_eq!(audience(&books), shown("a", ""));
        assert_eq!(books.topic_audience("t").interested.len(), 1);
        books.interest(&report("a", (1, 5), true, &["+u"]), NOW);
        assert_eq!(audience(&books), shown("", ""), "a census names all topics");
    }

    #[test]
    fn a_later_life_is_unknown_until_it_reports() {
        let mut books = books(&["a"]);
        books.interest(&report("a", (1, 1), true, &["+t"]), NOW);
        books.report(&seats("a", 2, 1), NOW);
        assert_eq!(audience(&books), shown("", "a"));
        assert_eq!(books.interest(&report("a", (1, 9), false, &["+t"]), NOW), TAKEN, "nobody hears this answer");
        assert_eq!(audience(&books), shown("", "a"));
        assert_eq!(books.interest(&report("a", (2, 1), false, &["+t"]), NOW), InterestAnswer::Census);
        books.interest(&report("a", (2, 1), true, &["+t"]), NOW);
        assert_eq!(audience(&books), shown("a", ""));
        books.lost(replica("a"), Epoch::from_raw(2), NOW);
        assert_eq!(audience(&books), shown("", ""), "its sockets are closed");
    }

    #[test]
    fn one_without_sockets_is_sent_nothing() {
        let mut books = books(&["a", "b"]);
        books.report(&seats("b", 2, 0), NOW);
        assert_eq!(audience(&books), shown("", "a"));
    }

    #[test]
    fn one_that_is_unknown_or_parked_is_admitted_with_its_topics() {
        let mut books = books(&[]);
        let before = books.view().version;
        assert_eq!(books.interest(&report("c", (5, 0), true, &[]), NOW), TAKEN);
        assert_eq!(books.state(replica("c")), None, "it has nothing that would have to be known");
        assert_eq!(books.interest(&report("c", (5, 1), true, &["+t"]), NOW), TAKEN);
        assert!(books.state(replica("c")) == Some(MemberState::Joining) && books.view().version > before);
        assert_eq!(audience(&books), shown("c", ""));
        books.joined(&seats("c", 5, 1), NOW);
        assert_eq!(audience(&books), shown("c", ""));
        books.remove(replica("c"), NOW);
        assert_eq!(audience(&books), shown("", ""));
    }

    #[test]
    fn a_group_has_100_000_topics() {
        let mut interests = Interests::default();
        for number in 0..10 {
            let names: Vec<String> = (0..MAX_OF_GROUP / 10).map(|topic| format!("+{number} {topic}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            assert_eq!(interests.take(&report(&number.to_string(), (1, 1), true, &names)), TAKEN);
        }
        let refused = vec![Topic::new("more").unwrap()];
        let more = report("0", (1, 2), false, &["+more", "+1 1"]);
        assert_eq!(interests.take(&more), InterestAnswer::Taken { refused });
        interests.forget(replica("9"));
        assert_eq!(interests.take(&report("0", (1, 3), false, &["+more"])), TAKEN);
        assert_eq!(interests.by_topic.len(), MAX_OF_GROUP * 9 / 10 + 1);
    }
}
