//! The open connections of each Replica, as reported: [`Owners`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dog::internal::{ConnectionId, Topic};
use dog::{ClientId, Epoch, ReplicaId};

use super::member::Member;
use super::messages::{ConnectionEnd, PresenceReport, ReportVerdict};

/// What is known of an open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) client: ClientId,
    pub(super) value: Bytes,
}

/// What a report means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// It has something new.
    New,
    /// It has nothing new.
    Answered(ReportVerdict),
}

/// The Replicas and their open connections.
#[derive(Debug, Default)]
pub(super) struct Owners {
    all: BTreeMap<ReplicaId, Owner>,
}

#[derive(Debug, Default)]
struct Owner {
    /// The life that `sequence` belongs to.
    epoch: Epoch,
    sequence: u64,
    /// Whether it has said in this life of its own and of the Group which connections it has.
    is_counted: bool,
    /// Up to which life its connections have ended, and how.
    ended: Option<(Epoch, ConnectionEnd)>,
    open: BTreeMap<ConnectionId, Open>,
    /// The topics of those that have some.
    topics: BTreeMap<ConnectionId, BTreeSet<Topic>>,
}

impl Owners {
    /// Decides whether a report says something new, and notes that it was heard.
    pub(super) fn accept(&mut self, report: &PresenceReport) -> Acceptance {
        let owner = self.all.entry(report.replica).or_default();
        if report.epoch < owner.epoch {
            return Acceptance::Answered(ReportVerdict::Late);
        }
        let is_same = owner.is_counted && report.epoch == owner.epoch;
        if !report.census && (!is_same || report.after > owner.sequence) {
            return Acceptance::Answered(ReportVerdict::Census);
        }
        if is_same && report.sequence <= owner.sequence {
            return Acceptance::Answered(ReportVerdict::Taken);
        }
        (owner.epoch, owner.sequence, owner.is_counted) = (report.epoch, report.sequence, true);
        Acceptance::New
    }

    /// Whether a Replica has said which connections it has.
    pub(super) fn is_counted(&self, replica: ReplicaId) -> bool {
        self.all.get(&replica).is_some_and(|owner| owner.is_counted)
    }

    /// Whether a Replica has open connections, as far as is known.
    pub(super) fn has_connections(&self, replica: ReplicaId) -> bool {
        self.all.get(&replica).is_some_and(|owner| !owner.open.is_empty())
    }

    /// The life of a Replica that was heard last.
    pub(super) fn epoch(&self, replica: ReplicaId) -> Epoch {
        self.all.get(&replica).map(|owner| owner.epoch).unwrap_or_default()
    }

    pub(super) fn get(&self, connection: ConnectionId) -> Option<&Open> {
        self.all.get(&connection.replica())?.open.get(&connection)
    }

    /// What is known of a connection, if it is open, is this client's, and is there.
    pub(super) fn get_of(&self, connection: ConnectionId, member: &Member) -> Option<&Open> {
        let owner = self.all.get(&connection.replica())?;
        let is_there = |topic| owner.topics.get(&connection).is_some_and(|topics| topics.contains(topic));
        let open = owner.open.get(&connection).filter(|open| open.client == member.client)?;
        member.topic.as_ref().is_none_or(is_there).then_some(open)
    }

    /// How the connection has ended, if its life is known to be over.
    pub(super) fn ended(&self, connection: ConnectionId) -> Option<ConnectionEnd> {
        let (life, departure) = self.all.get(&connection.replica())?.ended?;
        (connection.life() <= life).then_some(departure)
    }

    /// The Replicas that have open connections and were not counted.
    pub(super) fn uncounted(&self) -> Vec<ReplicaId> {
        let is_uncounted = |(_, owner): &(&ReplicaId, &Owner)| !owner.is_counted && !owner.open.is_empty();
        self.all.iter().filter(is_uncounted).map(|(replica, _)| *replica).collect()
    }

    /// Sets what is known of a connection. Returns what was known before.
    pub(super) fn set(&mut self, connection: ConnectionId, open: Option<Open>) -> Option<Open> {
        let owner = self.all.entry(connection.replica()).or_default();
        match open {
            Some(open) => owner.open.insert(connection, open),
            None => owner.open.remove(&connection),
        }
    }

    /// Sets the topics of a connection. Returns those before.
    pub(super) fn set_topics(&mut self, connection: ConnectionId, topics: &BTreeSet<Topic>) -> BTreeSet<Topic> {
        let Some(owner) = self.all.get_mut(&connection.replica()) else { return BTreeSet::new() };
        let before = if topics.is_empty() {
            owner.topics.remove(&connection)
        } else {
            owner.topics.insert(connection, topics.clone())
        };
        before.unwrap_or_default()
    }

    /// A connection is subscribed to one more topic.
    pub(super) fn add_topic(&mut self, connection: ConnectionId, topic: &Topic) {
        if let Some(owner) = self.all.get_mut(&connection.replica()) {
            owner.topics.entry(connection).or_default().insert(topic.clone());
        }
    }

    /// The topics of a connection.
    pub(super) fn topics(&self, connection: ConnectionId) -> impl Iterator<Item = &Topic> {
        self.all.get(&connection.replica()).and_then(|owner| owner.topics.get(&connection)).into_iter().flatten()
    }

    /// All connections, and what is known of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Open)> {
        self.all.values().flat_map(|owner| owner.open.iter().map(|(connection, open)| (*connection, open)))
    }

    /// The connections that a census does not name.
    pub(super) fn missing(&self, census: &PresenceReport) -> Vec<ConnectionId> {
        let Some(owner) = self.all.get(&census.replica) else { return Vec::new() };
        let named: BTreeSet<_> = census.connections.iter().map(|(connection, _)| *connection).collect();
        owner.open.keys().filter(|connection| !named.contains(connection)).copied().collect()
    }

    /// A life is over. Returns its connections, and those of earlier lives. From now on only later lives are heard.
    pub(super) fn end_life(&mut self, replica: ReplicaId, epoch: Epoch, departure: ConnectionEnd) -> Vec<ConnectionId> {
        let owner = self.all.entry(replica).or_default();
        if owner.epoch > epoch {
            return Vec::new();
        }
        (owner.epoch, owner.sequence, owner.is_counted) = (Epoch::from_raw(epoch.as_u64() + 1), 0, false);
        owner.ended = Some((epoch, departure));
        owner.open.keys().filter(|connection| connection.life() <= epoch).copied().collect()
    }

    /// All connections of a Replica have ended, those that are not known too. Returns those that are.
    pub(super) fn end_all(&mut self, replica: ReplicaId) -> Vec<(ConnectionId, Member)> {
        let ended = Some((Epoch::from_raw(u64::MAX), ConnectionEnd::Gone));
        let owner = self.all.insert(replica, Owner { ended, ..Owner::default() });
        owner.map(Owner::into_members).unwrap_or_default()
    }

    /// Forgets a Replica. Returns its connections.
    pub(super) fn remove(&mut self, replica: ReplicaId) -> Vec<(ConnectionId, Member)> {
        self.all.remove(&replica).map(Owner::into_members).unwrap_or_default()
    }
}

impl Owner {
    /// Its connections, in the room and in their topics.
    fn into_members(self) -> Vec<(ConnectionId, Member)> {
        let mut members = Vec::new();
        for (connection, Open { client, .. }) in self.open {
            let topics = self.topics.get(&connection).into_iter().flatten();
            members.extend(topics.map(|topic| (connection, Member::of_topic(topic, &client))));
            members.push((connection, Member { topic: None, client }));
        }
        members
    }
}
