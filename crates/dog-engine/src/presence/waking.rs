//! How a new life of the Group finds out what the one before has told: [`Waking`].

use std::collections::BTreeMap;

use dog::internal::{ConnectionId, PresenceVersion};
use dog::{Epoch, ReplicaId};

use super::messages::{ConnectionEnd, Following, RosterPage, RosterQuestion};
use super::rosters::{RosterKey, Rosters};

/// What is collected before the Group goes on.
#[derive(Debug, Default)]
pub(super) struct Waking {
    /// The Replicas that were counted, and what they know.
    following: BTreeMap<ReplicaId, Following>,
    /// Why connections have ended that this life has never seen open.
    departures: BTreeMap<ConnectionId, ConnectionEnd>,
    /// The rosters that are being read.
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    replica: ReplicaId,
    version: Option<PresenceVersion>,
    rosters: Rosters,
    next: Option<RosterKey>,
}

/// What has become of reading a roster.
pub(super) enum ReadRoster {
    /// It goes on with this question.
    Goes(RosterQuestion),
    /// This is it.
    Complete(Rosters, PresenceVersion),
    /// Meanwhile a Replica was counted that has a newer version: its roster has to be read instead.
    Outdated,
    /// Nothing is being read from this Replica, or not this page.
    Not,
}

impl Waking {
    pub(super) fn set_following(&mut self, replica: ReplicaId, following: Following) {
        self.following.insert(replica, following);
    }

    /// A life of a Replica is over, and what it knew with it.
    pub(super) fn remove(&mut self, replica: ReplicaId) {
        self.following.remove(&replica);
        if self.reading.as_ref().is_some_and(|reading| reading.replica == replica) {
            self.reading = None;
        }
    }

    /// A Replica that was asked cannot tell its roster. It may follow nevertheless. Returns whether another one has to be
    /// asked: none is being asked already.
    pub(super) fn cannot_tell(&mut self, replica: ReplicaId) -> bool {
        if self.reading.as_ref().is_some_and(|reading| reading.replica != replica) {
            return false;
        }
        self.reading = None;
        if let Some(following @ Following::At(_)) = self.following.get_mut(&replica) {
            *following = Following::New;
        }
        true
    }

    pub(super) fn departed(&mut self, connection: ConnectionId, departure: ConnectionEnd) {
        self.departures.insert(connection, departure);
    }

    /// The Replica with the newest version, and the question for its roster. `None`: nobody knows any.
    pub(super) fn begin_reading(&mut self, life: Epoch) -> Option<(ReplicaId, RosterQuestion)> {
        let known = self.following.iter().filter_map(|(replica, following)| match following {
            Following::At(version) => Some((*version, *replica)),
            Following::No | Following::New => None,
        });
        let (_, replica) = known.max()?;
        self.reading = Some(Reading { replica, version: None, rosters: Rosters::default(), next: None });
        Some((replica, RosterQuestion { life, after: None }))
    }

    /// A page has come. All pages have one version, because their Replica hears nothing of an earlier life any more.
    pub(super) fn read(&mut self, replica: ReplicaId, page: RosterPage, life: Epoch) -> ReadRoster {
        let Some(reading) = self.reading.as_mut().filter(|reading| reading.replica == replica) else {
            return ReadRoster::Not;
        };
        if page.after != reading.next || reading.version.is_some_and(|version| version != page.version) {
            return ReadRoster::Not;
        }
        reading.version = Some(page.version);
        page.entries.iter().for_each(|entry| {
            reading.rosters.apply(entry);
        });
        reading.next = page.next;
        if reading.next.is_some() {
            return ReadRoster::Goes(RosterQuestion { life, after: reading.next.clone() });
        }
        let rosters = std::mem::take(&mut reading.rosters);
        let is_newer = |following: &Following| matches!(following, Following::At(version) if *version > page.version);
        if self.following.values().any(is_newer) {
            return ReadRoster::Outdated;
        }
        ReadRoster::Complete(rosters, page.version)
    }

    /// The Group goes on: who follows, and why connections have ended.
    pub(super) fn finish(self) -> (BTreeMap<ReplicaId, Following>, BTreeMap<ConnectionId, ConnectionEnd>) {
        (self.following, self.departures)
    }
}
