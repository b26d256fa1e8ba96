//! How a new life of the Group starts to tell.

use std::collections::BTreeMap;

use dog::internal::{ConnectionId, PresenceChange, PresenceVersion, Topic};
use dog::{ClientId, ReplicaId, Timestamp};

use super::{GroupPresence, PresenceStart, Stage};
use crate::fault_injection::{Fault, is_planted};
use crate::presence::announced::Announced;
use crate::presence::member::Member;
use crate::presence::messages::{ConnectionEnd, RosterPage};
use crate::presence::owners::Open;
use crate::presence::rosters::{RosterChange, Rosters};
use crate::presence::waking::ReadRoster;

impl GroupPresence {
    /// The members have been counted, or those that could not be were given up for now. Call it once, and again when the
    /// Replica that was to be asked [did not answer](Self::no_roster).
    pub fn start(&mut self, now: Timestamp) -> PresenceStart {
        let Stage::Waking(waking) = &mut self.stage else { return PresenceStart::Continued };
        if let Some((replica, question)) = waking.begin_reading(self.life)
            && !is_planted(Fault::PresenceStartsOver)
        {
            return PresenceStart::Ask(replica, question);
        }
        self.reset(now);
        PresenceStart::Reset
    }

    /// A page of the roster has come that was asked for. `None`: it was not asked for, or this life has started.
    pub fn roster(&mut self, replica: ReplicaId, page: RosterPage, now: Timestamp) -> Option<PresenceStart> {
        let Stage::Waking(waking) = &mut self.stage else { return None };
        match waking.read(replica, page, self.life) {
            ReadRoster::Goes(question) => Some(PresenceStart::Ask(replica, question)),
            ReadRoster::Complete(rosters, version) => {
                self.go_on(&rosters, version, now);
                Some(PresenceStart::Continued)
            }
            ReadRoster::Outdated => Some(self.start(now)),
            ReadRoster::Not => self.no_roster(replica, now),
        }
    }

    /// A Replica did not answer the question for its roster: another one is asked. `None`: this one was not asked.
    pub fn no_roster(&mut self, replica: ReplicaId, now: Timestamp) -> Option<PresenceStart> {
        let Stage::Waking(waking) = &mut self.stage else { return None };
        waking.cannot_tell(replica).then(|| self.start(now))
    }

    /// A new epoch: who is there now was there from the beginning.
    fn reset(&mut self, now: Timestamp) {
        let mut rosters = Rosters::default();
        for (connection, Open { client, value }) in self.owners.iter() {
            let topics = self.owners.topics(connection).map(|topic| Member::of_topic(topic, client));
            for member in std::iter::once(Member::of_room(client)).chain(topics) {
                let (client, value) = (client.clone(), value.clone());
                rosters.apply(&member.changes(PresenceChange::Arrived { client: client.clone() }));
                rosters.apply(&member.changes(PresenceChange::Opened { client, connection, value }));
            }
        }
        self.clients.forget_leaving();
        self.pending.clear();
        let base = PresenceVersion { life: self.life, number: 0, epoch: self.life };
        self.run(rosters, base, now);
    }

    /// What an earlier life has told is compared with what the Replicas report.
    fn go_on(&mut self, rosters: &Rosters, version: PresenceVersion, now: Timestamp) {
        while self.clients.pop_due(now).is_some() {}
        for RosterChange { topic, change } in rosters.entries() {
            if let PresenceChange::Opened { client, connection, value } = change {
                self.restore(topic, connection, Open { client, value }, now);
            }
        }
        let departures = self.run(rosters.clone(), version, now);
        for RosterChange { topic, change } in rosters.entries() {
            let member = Member { topic, client: change.client().clone() };
            match change {
                PresenceChange::Opened { connection, .. } if self.owners.get_of(connection, &member).is_none() => {
                    let reported = departures.get(&connection).copied().or(self.owners.ended(connection));
                    let departure = reported.unwrap_or(ConnectionEnd::Gone);
                    self.clients.closed(&member, departure, &self.settings, now);
                }
                // It had no connection when the earlier life ended.
                PresenceChange::Arrived { client } if !has_connections(rosters, &member.topic, &client) => {
                    self.clients.restore(&member, &self.settings, now);
                    self.touch(&member, None, now);
                }
                _ => {}
            }
        }
        // It says to all that this life goes on.
        self.pending.tick_by(now);
    }

    /// A connection was open when an earlier life ended.
    fn restore(&mut self, topic: Option<Topic>, connection: ConnectionId, open: Open, now: Timestamp) {
        let (member, told) = (Member { topic, client: open.client.clone() }, open.value.clone());
        if let Some(known) = self.owners.get_of(connection, &member) {
            if *known != open {
                self.touch(&member, Some(connection), now);
            }
            return;
        }
        // It counts for its client here. If it has ended meanwhile, it is taken back with the reason.
        self.clients.opened(&member);
        if self.owners.is_counted(connection.replica()) || self.owners.ended(connection).is_some() {
            self.touch(&member, Some(connection), now);
            return;
        }
        let Some(topic) = &member.topic else {
            self.owners.set(connection, Some(open));
            return;
        };
        // The life before had told that it is in the topic, and not yet that it is in the room.
        if self.owners.get(connection).is_none_or(|known| known.client != open.client) {
            self.owners.set(connection, Some(open));
            let room = Member { topic: None, ..member.clone() };
            self.clients.opened(&room);
            self.touch(&room, Some(connection), now);
        }
        self.owners.add_topic(connection, topic);
        if self.owners.get_of(connection, &member).is_some_and(|known| known.value != told) {
            self.touch(&member, Some(connection), now);
        }
    }

    fn run(
        &mut self,
        rosters: Rosters,
        base: PresenceVersion,
        now: Timestamp,
    ) -> BTreeMap<ConnectionId, ConnectionEnd> {
        let mut announced = Announced::new(rosters, base, self.life, &self.settings);
        let Stage::Waking(waking) = &mut self.stage else { return BTreeMap::new() };
        let (following, departures) = std::mem::take(waking).finish();
        for (replica, following) in following {
            announced.set_following(replica, following, now);
        }
        self.stage = Stage::Running(announced);
        departures
    }
}

/// Whether the client is there with a connection.
fn has_connections(rosters: &Rosters, topic: &Option<Topic>, client: &ClientId) -> bool {
    rosters.of(topic.as_ref()).is_some_and(|roster| roster.has_connections(client))
}
