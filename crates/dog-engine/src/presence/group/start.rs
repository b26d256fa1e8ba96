//! How a new life of the Group starts to tell.

use std::collections::BTreeMap;

use dog::internal::{ConnectionId, PresenceChange, PresenceVersion};
use dog::{ReplicaId, Timestamp};

use super::{GroupPresence, PresenceStart, Stage};
use crate::fault_injection::{Fault, is_planted};
use crate::presence::announced::Announced;
use crate::presence::messages::{ConnectionEnd, RosterPage};
use crate::presence::owners::Open;
use crate::presence::roster::Roster;
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
            ReadRoster::Complete(roster, version) => {
                self.go_on(&roster, version, now);
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
        let mut roster = Roster::default();
        for (connection, Open { client, value }) in self.owners.iter() {
            roster.apply(&PresenceChange::Arrived { client: client.clone() });
            let (client, value) = (client.clone(), value.clone());
            roster.apply(&PresenceChange::Opened { client, connection, value });
        }
        self.clients.forget_leaving();
        self.pending.clear();
        let base = PresenceVersion { life: self.life, number: 0, epoch: self.life };
        self.run(roster, base, now);
    }

    /// What an earlier life has told is compared with what the Replicas report.
    fn go_on(&mut self, roster: &Roster, version: PresenceVersion, now: Timestamp) {
        while self.clients.pop_due(now).is_some() {}
        for entry in roster.entries() {
            if let PresenceChange::Opened { client, connection, value } = entry {
                self.restore(connection, Open { client, value }, now);
            }
        }
        let departures = self.run(roster.clone(), version, now);
        for entry in roster.entries() {
            match entry {
                PresenceChange::Opened { client, connection, .. } if !self.owners.has(connection, &client) => {
                    let reported = departures.get(&connection).copied().or(self.owners.ended(connection));
                    let departure = reported.unwrap_or(ConnectionEnd::Gone);
                    self.clients.closed(&client, departure, &self.settings, now);
                }
                // It had no connection when the earlier life ended.
                PresenceChange::Arrived { client } if !roster.has_connections(&client) => {
                    self.clients.restore(&client, &self.settings, now);
                    self.touch(&client, None, now);
                }
                _ => {}
            }
        }
        // It says to all that this life goes on.
        self.pending.tick_by(now);
    }

    /// A connection was open when an earlier life ended.
    fn restore(&mut self, connection: ConnectionId, open: Open, now: Timestamp) {
        let client = open.client.clone();
        let known = self.owners.get(connection);
        if known.is_some_and(|known| known.client == open.client) {
            if known != Some(&open) {
                self.touch(&client, Some(connection), now);
            }
            return;
        }
        // It counts for its client here. If it has ended meanwhile, it is taken back with the reason.
        self.clients.opened(&client);
        if self.owners.is_counted(connection.replica()) || self.owners.ended(connection).is_some() {
            self.touch(&client, Some(connection), now);
        } else {
            self.owners.set(connection, Some(open));
        }
    }

    fn run(&mut self, roster: Roster, base: PresenceVersion, now: Timestamp) -> BTreeMap<ConnectionId, ConnectionEnd> {
        let mut announced = Announced::new(roster, base, self.life, &self.settings);
        let Stage::Waking(waking) = &mut self.stage else { return BTreeMap::new() };
        let (following, departures) = std::mem::take(waking).finish();
        for (replica, following) in following {
            announced.set_following(replica, following, now);
        }
        self.stage = Stage::Running(announced);
        departures
    }
}
