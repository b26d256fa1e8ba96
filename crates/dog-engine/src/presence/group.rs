//! The presence of a Group: [`GroupPresence`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dog::internal::{ConnectionId, PresenceChange, PresenceVersion, Topic};
use dog::{ClientId, Epoch, ReplicaId, Timestamp};

use super::PresenceSettings;
use super::admitted::Admitted;
use super::announced::Announced;
use super::clients::PresentClients;
use super::member::Member;
use super::messages::{
    ConnectionEnd, ConnectionState, PresenceAnswer, PresenceChanges, PresenceQuestion, PresenceReport,
    PresenceReportAnswer, ReportVerdict, RosterQuestion,
};
use super::owners::{Acceptance, Open, Owners};
use super::pending::Pending;
use super::rosters::{RosterChange, Rosters};
use super::waking::Waking;
use crate::fault_injection::{Fault, is_planted};

mod start;

/// How a new life of the Group begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceStart {
    /// First it has to read the rosters of this Replica.
    Ask(ReplicaId, RosterQuestion),
    /// It goes on with what an earlier life has told.
    Continued,
    /// Nobody knows what an earlier life has told, if there was one. Who is there now was there from the beginning: that is
    /// told as a reset.
    Reset,
}

/// The presence of a Group in one life of the Group. It takes reports from the beginning, and tells changes after its
/// [`start`](Self::start).
#[derive(Debug)]
pub struct GroupPresence {
    life: Epoch,
    settings: PresenceSettings,
    owners: Owners,
    clients: PresentClients,
    pending: Pending,
    admitted: Admitted,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Waking(Waking),
    Running(Announced),
}

impl GroupPresence {
    /// A life begins.
    pub fn new(life: Epoch, settings: PresenceSettings) -> Self {
        Self {
            life,
            settings,
            owners: Owners::default(),
            clients: PresentClients::default(),
            pending: Pending::default(),
            admitted: Admitted::default(),
            stage: Stage::Waking(Waking::default()),
        }
    }

    /// What was told last, if this life has started.
    pub fn told(&self) -> Option<(&Rosters, PresenceVersion)> {
        self.announced().map(|announced| (announced.rosters(), announced.version()))
    }

    fn announced(&self) -> Option<&Announced> {
        match &self.stage {
            Stage::Running(announced) => Some(announced),
            Stage::Waking(_) => None,
        }
    }

    /// Whether a Replica has reported all its connections to this life. If not, it has to be asked for a census.
    pub fn is_counted(&self, replica: ReplicaId) -> bool {
        self.owners.is_counted(replica)
    }

    /// The Replicas that have not reported to this life, and whose connections count as open nevertheless. One that is no
    /// member any more has to be [removed](Self::remove).
    pub fn uncounted(&self) -> Vec<ReplicaId> {
        self.owners.uncounted()
    }

    /// Whether a Replica has open connections, as far as is known.
    pub fn has_connections(&self, replica: ReplicaId) -> bool {
        self.owners.has_connections(replica)
    }

    /// Takes a Replica's report.
    pub fn report(&mut self, report: PresenceReport, now: Timestamp) -> PresenceReportAnswer {
        PresenceReportAnswer { life: self.life, verdict: self.take(report, now) }
    }

    fn take(&mut self, report: PresenceReport, now: Timestamp) -> ReportVerdict {
        if let Acceptance::Answered(verdict) = self.owners.accept(&report) {
            return verdict;
        }
        if report.census {
            match &mut self.stage {
                Stage::Waking(waking) => waking.set_following(report.replica, report.following),
                Stage::Running(announced) => announced.set_following(report.replica, report.following, now),
            }
            for missing in self.owners.missing(&report) {
                if is_planted(Fault::LeaveIsLost) && missing.life() < report.epoch {
                    continue;
                }
                self.set(missing, ConnectionState::Closed(ConnectionEnd::Gone), &BTreeSet::new(), now);
            }
        }
        let mut topics: BTreeMap<_, _> = report.topics.into_iter().collect();
        for (connection, state) in report.connections {
            // Nobody reports the connections of another Replica.
            if connection.replica() == report.replica {
                let topics = topics.remove(&connection).into_iter().flatten().collect();
                self.set(connection, state, &topics, now);
            }
        }
        ReportVerdict::Taken
    }

    /// A life of a Replica is over, and its connections have ended in this way.
    pub fn lost(&mut self, replica: ReplicaId, epoch: Epoch, departure: ConnectionEnd, now: Timestamp) {
        if self.owners.epoch(replica) > epoch {
            return;
        }
        for connection in self.owners.end_life(replica, epoch, departure) {
            self.set(connection, ConnectionState::Closed(departure), &BTreeSet::new(), now);
        }
        self.follows_no_more(replica);
    }

    /// A Replica is no member any more.
    pub fn remove(&mut self, replica: ReplicaId, now: Timestamp) {
        let removed = match &self.stage {
            // The roster of the earlier life may have connections of it.
            Stage::Waking(_) => self.owners.end_all(replica),
            Stage::Running(_) => self.owners.remove(replica),
        };
        for (connection, member) in removed {
            self.ended(connection, &member, ConnectionEnd::Gone, now);
        }
        self.follows_no_more(replica);
    }

    fn follows_no_more(&mut self, replica: ReplicaId) {
        match &mut self.stage {
            Stage::Waking(waking) => waking.remove(replica),
            Stage::Running(announced) => announced.remove(replica),
        }
    }

    /// The client is disconnected: it has no grace time.
    pub fn disconnect(&mut self, client: &ClientId, now: Timestamp) {
        for member in self.clients.disconnect(client) {
            self.touch(&member, None, now);
        }
    }

    /// A topic with a presence gets its first subscriber on a Replica. Returns `false` if it would be one too many.
    /// `has_subscribers` knows those that have been admitted and have not been reported yet.
    pub fn admit(&mut self, topic: &Topic, has_subscribers: impl Fn(&Topic) -> bool) -> bool {
        self.admitted.admit(topic, &self.clients, has_subscribers)
    }

    fn touch(&mut self, member: &Member, connection: Option<ConnectionId>, now: Timestamp) {
        self.pending.touch(member, connection, now + self.settings.tick);
    }

    fn set(&mut self, connection: ConnectionId, state: ConnectionState, topics: &BTreeSet<Topic>, now: Timestamp) {
        let (open, departure) = match state {
            ConnectionState::Open { client, value } => (Some(Open { client, value }), ConnectionEnd::Gone),
            ConnectionState::Closed(departure) => (None, departure),
        };
        let after = open.clone();
        let before = self.owners.set(connection, open);
        let left = self.owners.set_topics(connection, topics);
        // What is new first: another client has come before the one that it was has left.
        if let Some(after) = &after {
            let is_same = before.as_ref().is_some_and(|before| before.client == after.client);
            let is_changed = before.as_ref() != Some(after);
            self.is_here(connection, &Member::of_room(&after.client), !is_same, now);
            for topic in topics {
                let is_new = !is_same || !left.contains(topic);
                if is_new || is_changed {
                    self.is_here(connection, &Member::of_topic(topic, &after.client), is_new, now);
                }
            }
        } else if let Stage::Waking(waking) = &mut self.stage {
            waking.departed(connection, departure);
        }
        let Some(Open { client, .. }) = before else { return };
        let has_gone = after.is_none_or(|after| after.client != client);
        let is_unsubscribed = |topic: &Topic| !topics.contains(topic) && !is_planted(Fault::TopicLeaveIsLost);
        for topic in left.iter().filter(|topic| has_gone || is_unsubscribed(topic)) {
            self.ended(connection, &Member::of_topic(topic, &client), departure, now);
        }
        if has_gone {
            self.ended(connection, &Member::of_room(&client), departure, now);
        }
    }

    fn is_here(&mut self, connection: ConnectionId, member: &Member, is_new: bool, now: Timestamp) {
        if is_new {
            self.clients.opened(member);
        }
        self.touch(member, Some(connection), now);
    }

    fn ended(&mut self, connection: ConnectionId, member: &Member, departure: ConnectionEnd, now: Timestamp) {
        self.clients.closed(member, departure, &self.settings, now);
        self.touch(member, Some(connection), now);
    }

    /// Does what is due. Returns the changes that have to be told now, to the user's code of the Group and to those that
    /// [follow](Self::followers): once per tick at most.
    pub fn advance(&mut self, now: Timestamp) -> Option<PresenceChanges> {
        self.announced()?;
        while let Some(member) = self.clients.pop_due(now) {
            self.touch(&member, None, now);
        }
        if !self.pending.begin_tick(now) {
            return None;
        }
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while let Some(change) = self.next_change() {
            bytes += change.size();
            if !self.settings.list.hold(changes.len() + 1, bytes) {
                break;
            }
            let Stage::Running(announced) = &mut self.stage else { break };
            if announced.push(change.clone()) {
                changes.push(change);
            } else {
                debug_assert!(false, "{change:?} cannot happen now");
                self.pending.settle_first();
            }
        }
        self.pending.end_tick(now + self.settings.tick);
        let Stage::Running(announced) = &mut self.stage else { return None };
        announced.next_list(changes, now)
    }

    /// The next difference between what was told and what is, if there is one.
    fn next_change(&mut self) -> Option<RosterChange> {
        while let Some(member) = self.pending.first().cloned() {
            if let Some(change) = self.change_of(&member) {
                return Some(member.changes(change));
            }
            self.pending.settle_first();
        }
        None
    }

    fn change_of(&mut self, member: &Member) -> Option<PresenceChange> {
        let Stage::Running(announced) = &self.stage else { return None };
        let (roster, client) = (announced.rosters().of(member.topic.as_ref()), &member.client);
        let Some(roster) = roster.filter(|roster| roster.has(client)) else {
            // If it has come and gone before anybody was told, nobody is told.
            let arrives = self.clients.has_connections(member);
            return arrives.then(|| PresenceChange::Arrived { client: client.clone() });
        };
        while let Some(connection) = self.pending.connection(member) {
            let is = self.owners.get_of(connection, member).map(|open| &open.value);
            if let Some(change) = difference(client, connection, roster.value(client, connection), is) {
                return Some(change);
            }
            self.pending.settle_connection(member);
        }
        (!self.clients.is_here(member)).then(|| PresenceChange::Left { client: client.clone() })
    }

    /// The Replicas that a list of changes is sent to.
    pub fn followers(&self) -> Vec<ReplicaId> {
        self.announced().into_iter().flat_map(Announced::followers).collect()
    }

    /// A Replica has this version.
    pub fn acknowledged(&mut self, replica: ReplicaId, version: PresenceVersion, now: Timestamp) {
        if let Stage::Running(announced) = &mut self.stage {
            announced.acknowledged(replica, version, now);
        }
    }

    /// The Replicas that the version has to be repeated to now, because they have not acknowledged it.
    pub fn due_repeats(&mut self, now: Timestamp) -> Vec<ReplicaId> {
        match &mut self.stage {
            Stage::Running(announced) => announced.due_repeats(now),
            Stage::Waking(_) => Vec::new(),
        }
    }

    /// Answers a Replica that has missed something.
    pub fn answer(&self, question: &PresenceQuestion) -> PresenceAnswer {
        self.announced().map_or(PresenceAnswer::NotYet, |announced| announced.answer(question))
    }

    /// The clients that are there without a connection, in their grace time.
    pub fn in_grace(&self) -> impl Iterator<Item = &ClientId> {
        self.clients.in_grace()
    }

    /// Whether everything that this life knows has been told.
    pub fn is_settled(&self) -> bool {
        self.announced().is_some() && self.pending.next_tick().is_none()
    }

    /// When [`advance`](Self::advance) or [`due_repeats`](Self::due_repeats) has something to do next. `None`: nothing changes, and
    /// everybody knows.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let announced = self.announced()?;
        let times = [self.pending.next_tick(), self.clients.next_to_leave(), announced.next_repeat()];
        times.into_iter().flatten().min()
    }
}

/// What has to be told of a connection that had the one value and has the other.
fn difference(
    client: &ClientId,
    connection: ConnectionId,
    was: Option<&Bytes>,
    is: Option<&Bytes>,
) -> Option<PresenceChange> {
    let client = client.clone();
    match (was, is) {
        (None, Some(value)) => Some(PresenceChange::Opened { client, connection, value: value.clone() }),
        (Some(_), None) => Some(PresenceChange::Closed { client, connection }),
        (Some(was), Some(value)) if was != value => {
            Some(PresenceChange::Updated { client, connection, value: value.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
