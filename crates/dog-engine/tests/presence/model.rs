//! A reference model of presence. It keeps every event of each client and computes each answer from all of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use dog::internal::{ConnectionId, PresenceChange};
use dog::{ClientId, Epoch, ReplicaId, Timestamp};
use dog_engine::presence::{ConnectionEnd, ConnectionState, PresenceReport, PresenceSettings, Roster};

/// Something that has happened to a client.
#[derive(Clone, Copy, Debug)]
enum Event {
    Opened,
    Closed(ConnectionEnd),
    /// It was found in its grace time, or disconnected.
    Found,
    Disconnected,
}

/// What one life of the Group has heard.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    settings: PresenceSettings,
    open: BTreeMap<ConnectionId, (ClientId, Bytes)>,
    events: Vec<(Timestamp, ClientId, Event)>,
    /// The newest report of each Replica.
    newest: BTreeMap<ReplicaId, (Epoch, u64)>,
    /// Lives that are over.
    lost: BTreeMap<ReplicaId, (Epoch, ConnectionEnd)>,
    closed: BTreeMap<ConnectionId, ConnectionEnd>,
}

impl Model {
    pub(crate) fn new(settings: PresenceSettings) -> Self {
        let (open, events) = (BTreeMap::new(), Vec::new());
        let (newest, lost, closed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { settings, open, events, newest, lost, closed }
    }

    fn set(
        &mut self,
        connection: ConnectionId,
        state: Option<(ClientId, Bytes)>,
        departure: ConnectionEnd,
        now: Timestamp,
    ) {
        let after = state.as_ref().map(|(client, _)| client.clone());
        let before = match state {
            Some(state) => self.open.insert(connection, state),
            None => {
                self.closed.insert(connection, departure);
                self.open.remove(&connection)
            }
        };
        let before = before.map(|(client, _)| client);
        if before != after {
            self.events.extend(after.map(|client| (now, client, Event::Opened)));
            self.events.extend(before.map(|client| (now, client, Event::Closed(departure))));
        }
    }

    /// The Group has taken a report. Returns whether it says something new.
    pub(crate) fn report(&mut self, report: &PresenceReport, now: Timestamp) -> bool {
        let newest = self.newest.insert(report.replica, (report.epoch, report.sequence));
        if newest.is_some_and(|newest| newest >= (report.epoch, report.sequence)) {
            self.newest.extend(newest.map(|newest| (report.replica, newest)));
            return false;
        }
        if report.census {
            let is_named = |connection| report.connections.iter().any(|(named, _)| *named == connection);
            let own = self.open.keys().filter(|connection| connection.replica() == report.replica);
            for missing in own.filter(|connection| !is_named(**connection)).copied().collect::<Vec<_>>() {
                self.set(missing, None, ConnectionEnd::Gone, now);
            }
        }
        for (connection, state) in report.connections.clone() {
            match state {
                ConnectionState::Open { client, value } => {
                    self.set(connection, Some((client, value)), ConnectionEnd::Gone, now);
                }
                ConnectionState::Closed(departure) => self.set(connection, None, departure, now),
            }
        }
        true
    }

    pub(crate) fn lost(&mut self, replica: ReplicaId, epoch: Epoch, departure: ConnectionEnd, now: Timestamp) {
        let is_later = |life: &Epoch| *life > epoch;
        if self.newest.get(&replica).is_some_and(|(newest, _)| is_later(newest)) || self.has_lost(replica, epoch) {
            return;
        }
        self.lost.insert(replica, (epoch, departure));
        let is_over = |connection: &&ConnectionId| connection.replica() == replica && connection.life() <= epoch;
        for over in self.open.keys().filter(is_over).copied().collect::<Vec<_>>() {
            self.set(over, None, departure, now);
        }
    }

    fn has_lost(&self, replica: ReplicaId, epoch: Epoch) -> bool {
        self.lost.get(&replica).is_some_and(|(life, _)| *life >= epoch)
    }

    pub(crate) fn disconnect(&mut self, client: &ClientId, now: Timestamp) {
        self.events.push((now, client.clone(), Event::Disconnected));
    }

    /// A new epoch begins: nothing was told of those who have gone.
    pub(crate) fn reset(&mut self) {
        let open = &self.open;
        self.events.retain(|(_, client, _)| open.values().any(|(of, _)| of == client));
    }

    /// This was told by an earlier life.
    pub(crate) fn go_on(&mut self, roster: &Roster, now: Timestamp) {
        let told: Vec<_> = roster.entries().collect();
        let mut ended = Vec::new();
        for change in &told {
            let PresenceChange::Opened { client, connection, value } = change else { continue };
            let lost = self.lost.get(&connection.replica()).filter(|(life, _)| connection.life() <= *life);
            if self.open.get(connection).is_some_and(|(owner, _)| owner == client) {
                continue;
            }
            self.events.push((now, client.clone(), Event::Opened));
            if self.newest.contains_key(&connection.replica()) || lost.is_some() {
                let lost = lost.map(|(_, departure)| *departure);
                let departure = self.closed.get(connection).copied().or(lost).unwrap_or(ConnectionEnd::Gone);
                ended.push((now, client.clone(), Event::Closed(departure)));
            } else {
                self.open.insert(*connection, (client.clone(), value.clone()));
            }
        }
        self.events.extend(ended);
        let clients = told.iter().map(PresenceChange::client).filter(|client| !roster.has_connections(client));
        for client in clients {
            if !self.is_here(client, now) {
                self.events.push((now, client.clone(), Event::Found));
            }
        }
    }

    /// Whether the client is there.
    pub(crate) fn is_here(&self, client: &ClientId, now: Timestamp) -> bool {
        let (mut open, mut until, mut stays, mut skips) = (0_u32, None, Timestamp::default(), false);
        for (at, _, event) in self.events.iter().filter(|(_, of, _)| of == client) {
            if open == 0 && until.is_none_or(|until| until <= *at) {
                // Nothing is remembered of it.
                (until, stays, skips) = (None, Timestamp::default(), false);
            }
            match event {
                Event::Opened => (open, skips) = (open + 1, false),
                Event::Closed(departure) => {
                    open = open.saturating_sub(1);
                    match departure {
                        ConnectionEnd::Gone => {}
                        ConnectionEnd::Restarting => stays = stays.max(*at + self.settings.restart_grace),
                        ConnectionEnd::Disconnected => (stays, skips) = (Timestamp::default(), true),
                    }
                    let leaves = stays.max(*at + self.settings.grace);
                    until = (!skips && !client.is_anonymous()).then_some(leaves);
                }
                Event::Found => until = (!client.is_anonymous()).then_some(*at + self.settings.grace),
                Event::Disconnected => {
                    (stays, skips) = (Timestamp::default(), open > 0);
                    until = None;
                }
            }
        }
        open > 0 || until.is_some_and(|until| until > now)
    }

    /// Everything has been told: compares.
    pub(crate) fn agrees(&self, roster: &Roster, now: Timestamp) -> Result<(), String> {
        let mut connections: Vec<_> = roster.entries().collect();
        connections.retain(|entry| entry.connection().is_some());
        let mut open: Vec<_> =
            self.open.iter().map(|(connection, (client, _))| (client.clone(), *connection)).collect();
        open.sort_unstable();
        let expected: Vec<_> = open
            .into_iter()
            .map(|(client, connection)| {
                let value = self.open[&connection].1.clone();
                PresenceChange::Opened { client, connection, value }
            })
            .collect();
        if connections != expected {
            return Err(format!("the Group has heard of {expected:?}, and has told {connections:?}"));
        }
        let clients = roster.entries().chain(expected.iter().cloned());
        let gone = clients.map(|entry| entry.client().clone()).find(|client| !self.is_here(client, now));
        gone.map_or(Ok(()), |client| Err(format!("{client:?} is not there any more")))
    }
}
