//! Who is there, in the room and in each topic that has a presence: [`Rosters`], and how they change: [`RosterChange`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use dog::internal::{PresenceChange, PresenceCounts, Topic, Topics};
use serde::{Deserialize, Serialize};

use super::PresenceBounds;
use super::roster::{PresenceKey, Roster, page};

/// A change in the room, or in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterChange {
    /// The topic. `None`: the room.
    pub topic: Option<Topic>,
    /// The change.
    pub change: PresenceChange,
}

impl RosterChange {
    /// What counts against bounds.
    pub fn size(&self) -> usize {
        self.change.size() + self.topic.as_ref().map_or(0, |topic| topic.len())
    }
}

impl From<PresenceChange> for RosterChange {
    /// A change in the room.
    fn from(change: PresenceChange) -> Self {
        Self { topic: None, change }
    }
}

/// What is in the [`Rosters`] in one place. The room comes before its topics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RosterKey {
    /// The topic. `None` for the room.
    pub topic: Option<Topic>,
    /// The client or the connection.
    pub key: PresenceKey,
}

impl RosterKey {
    /// What a change is about.
    pub fn of(RosterChange { topic, change }: &RosterChange) -> Self {
        Self { topic: topic.clone(), key: PresenceKey::of(change) }
    }
}

/// The roster of the room, and those of the topics that have members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rosters {
    room: Roster,
    topics: BTreeMap<Topic, Roster>,
}

impl Rosters {
    /// Who is in the room.
    pub fn room(&self) -> &Roster {
        &self.room
    }

    /// Who is in a topic, or in the room. `None`: nobody is in the topic.
    pub fn of(&self, topic: Option<&Topic>) -> Option<&Roster> {
        topic.map_or(Some(&self.room), |topic| self.topics.get(topic))
    }

    /// How many are in a topic, or in the room.
    pub fn counts(&self, topic: Option<&Topic>) -> PresenceCounts {
        self.of(topic).map(Roster::counts).unwrap_or_default()
    }

    /// Applies a change. Returns whether it was possible, as [`Roster::apply`] does.
    pub fn apply(&mut self, RosterChange { topic, change }: &RosterChange) -> bool {
        let Some(topic) = topic else { return self.room.apply(change) };
        if let Some(roster) = self.topics.get_mut(topic) {
            let is_possible = roster.apply(change);
            if roster.is_empty() {
                self.topics.remove(topic);
            }
            return is_possible;
        }
        let mut roster = Roster::default();
        let is_possible = roster.apply(change);
        if is_possible {
            self.topics.insert(topic.clone(), roster);
        }
        is_possible
    }

    /// Everybody, as the changes that lead from empty rosters to these.
    pub fn entries(&self) -> impl Iterator<Item = RosterChange> + '_ {
        self.entries_after(None)
    }

    fn entries_after<'a>(&'a self, after: Option<&'a RosterKey>) -> impl Iterator<Item = RosterChange> + 'a {
        let in_room = after.is_none_or(|after| after.topic.is_none());
        let key = after.filter(|_| in_room).map(|after| &after.key);
        let room = in_room.then(|| self.room.entries_after(key)).into_iter().flatten().map(RosterChange::from);
        let from = after.and_then(|after| after.topic.as_ref()).map_or(Bound::Unbounded, Bound::Included);
        let topics = Topics::ON.then(|| self.topics.range::<Topic, _>((from, Bound::Unbounded))).into_iter().flatten();
        let in_topics = topics.flat_map(move |(topic, roster)| {
            let after = after.filter(|after| after.topic.as_ref() == Some(topic)).map(|after| &after.key);
            let entries = roster.entries_after(after);
            entries.map(|change| RosterChange { topic: Some(topic.clone()), change })
        });
        room.chain(in_topics)
    }

    /// A part of [`entries`](Self::entries): those after a key, within the bounds. Also returns the last key if others follow.
    pub fn page(&self, after: Option<&RosterKey>, bounds: PresenceBounds) -> (Vec<RosterChange>, Option<RosterKey>) {
        let (page, has_more) = page(self.entries_after(after), RosterChange::size, bounds);
        let last = page.last().filter(|_| has_more).map(RosterKey::of);
        (page, last)
    }

    /// The changes that lead from these rosters to others.
    pub fn difference(&self, to: &Self) -> Vec<RosterChange> {
        let mut changes: Vec<_> = self.room.difference(&to.room).into_iter().map(RosterChange::from).collect();
        if !Topics::ON {
            return changes;
        }
        let nobody = Roster::default();
        let topics: BTreeSet<_> = self.topics.keys().chain(to.topics.keys()).collect();
        for topic in topics {
            let [old, new] = [self, to].map(|rosters| rosters.topics.get(topic).unwrap_or(&nobody));
            let different = old.difference(new).into_iter();
            changes.extend(different.map(|change| RosterChange { topic: Some(topic.clone()), change }));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dog::internal::ConnectionId;
    use dog::{ClientId, Epoch, ReplicaId};

    use super::*;

    fn arrived(topic: &str, client: &str) -> RosterChange {
        let change = PresenceChange::Arrived { client: ClientId::new(client).unwrap() };
        RosterChange { topic: Topic::new(topic).ok(), change }
    }

    fn opened(topic: &str, client: &str, number: u64) -> RosterChange {
        let connection = ConnectionId::new(ReplicaId::from_name("room", "1"), Epoch::from_raw(1), number);
        let client = ClientId::new(client).unwrap();
        let change = PresenceChange::Opened { client, connection, value: Bytes::from_static(b"v") };
        RosterChange { topic: Topic::new(topic).ok(), change }
    }

    /// The empty name is the room.
    fn rosters(members: &[(&str, &str, u64)]) -> Rosters {
        let mut rosters = Rosters::default();
        for (topic, client, number) in members {
            rosters.apply(&arrived(topic, client));
            assert!(rosters.apply(&opened(topic, client, *number)));
        }
        rosters
    }

    fn some() -> [Rosters; 4] {
        [
            rosters(&[]),
            rosters(&[("", "ann", 1), ("a", "ann", 1)]),
            rosters(&[("", "ann", 1), ("", "bob", 2), ("a", "bob", 2), ("b", "ann", 1)]),
            rosters(&[("", "bob", 2), ("", "bob", 3), ("b", "bob", 2), ("b", "bob", 3)]),
        ]
    }

    #[test]
    fn the_difference_leads_from_any_rosters_to_any_others() {
        for from in &some() {
            for to in &some() {
                let mut rosters = from.clone();
                let changes = from.difference(to);
                assert!(changes.iter().all(|change| rosters.apply(change)), "{changes:?} of {from:?}");
                assert_eq!((&rosters, changes.is_empty()), (to, from == to));
            }
        }
    }

    #[test]
    fn pages_have_the_room_and_each_topic_in_order() {
        for rosters in &some() {
            for most in 1..8 {
                let (mut read, mut after) = (Vec::new(), None);
                loop {
                    let bounds = PresenceBounds { changes: most, bytes: 10_000 };
                    let (page, next) = rosters.page(after.as_ref(), bounds);
                    assert!(page.len() == most || next.is_none());
                    read.extend(page);
                    after = next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(read, rosters.entries().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_topic_is_a_roster_of_its_own_and_is_forgotten_with_its_last_client() {
        let mut rosters = rosters(&[("", "ann", 1), ("a", "ann", 1)]);
        let topic = Topic::new("a").unwrap();
        assert!(!rosters.apply(&arrived("a", "ann")) && rosters.apply(&arrived("a", "bob")));
        assert_eq!(rosters.counts(Some(&topic)), PresenceCounts { clients: 2, connections: 1 });
        assert_eq!(rosters.counts(None), PresenceCounts { clients: 1, connections: 1 });
        let names: Vec<_> = rosters.of(Some(&topic)).unwrap().entries().collect();
        for entry in names.into_iter().rev() {
            let client = entry.client().clone();
            let change = match entry.connection() {
                Some(connection) => PresenceChange::Closed { client, connection },
                None => PresenceChange::Left { client },
            };
            assert!(rosters.apply(&RosterChange { topic: Some(topic.clone()), change }));
        }
        assert!(rosters.of(Some(&topic)).is_none() && rosters.counts(None).clients == 1);
    }
}
