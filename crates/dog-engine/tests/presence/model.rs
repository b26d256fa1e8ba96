//! A reference model of presence. It keeps every event of each client and computes each answer from all of them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dog::internal::{ConnectionId, PresenceChange, Topic};
use dog::{ClientId, Epoch, ReplicaId, Timestamp};
use dog_engine::presence::{ConnectionEnd, ConnectionState, PresenceReport, PresenceSettings, RosterChange, Rosters};

/// Something that has happened to a client.
#[derive(Clone, Copy, Debug)]
enum Event {
    Opened,
    Closed(ConnectionEnd),
    /// It was found in its grace time, or disconnected.
    Found,
    Disconnected,
}

/// Where a connection is: in the room, or in a topic.
type Place = Option<Topic>;

/// What one life of the Group has heard. Each topic of a connection is like a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    settings: PresenceSettings,
    open: BTreeMap<(ConnectionId, Place), (ClientId, Bytes)>,
    events: Vec<(Timestamp, (Place, ClientId), Event)>,
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
        state: Option<(ClientId, Bytes, BTreeSet<Place>)>,
        departure: ConnectionEnd,
        now: Timestamp,
    ) {
        if state.is_none() {
            self.closed.insert(connection, departure);
        }
        let (client, places) = match state {
            Some((client, value, places)) => (Some((client, value)), places),
            None => (None, BTreeSet::new()),
        };
        let known = self.open.keys().filter(|(of, _)| *of == connection).map(|(_, place)| place.clone());
        let all: BTreeSet<_> = known.chain(places.iter().cloned()).collect();
        for place in all {
            let state = client.clone().filter(|_| places.contains(&place));
            let after = state.as_ref().map(|(client, _)| client.clone());
            let key = (connection, place.clone());
            let before = match state {
                Some(state) => self.open.insert(key, state),
                None => self.open.remove(&key),
            };
            let before = before.map(|(client, _)| client);
            if before != after {
                self.events.extend(after.map(|client| (now, (place.clone(), client), Event::Opened)));
                self.events.extend(before.map(|client| (now, (place, client), Event::Closed(departure))));
            }
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
            let own = self.connections().into_iter().filter(|connection| connection.replica() == report.replica);
            for missing in own.filter(|connection| !is_named(*connection)).collect::<Vec<_>>() {
                self.set(missing, None, ConnectionEnd::Gone, now);
            }
        }
        for (connection, state) in report.connections.clone() {
            match state {
                ConnectionState::Open { client, value } => {
                    let topics = report.topics.iter().filter(|(of, _)| *of == connection);
                    let topics = topics.flat_map(|(_, topics)| topics.iter().cloned().map(Some));
                    let places = topics.chain([None]).collect();
                    self.set(connection, Some((client, value, places)), ConnectionEnd::Gone, now);
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
        let is_over = |connection: &ConnectionId| connection.replica() == replica && connection.life() <= epoch;
        for over in self.connections().into_iter().filter(is_over) {
            self.set(over, None, departure, now);
        }
    }

    fn connections(&self) -> BTreeSet<ConnectionId> {
        self.open.keys().map(|(connection, _)| *connection).collect()
    }

    fn has_lost(&self, replica: ReplicaId, epoch: Epoch) -> bool {
        self.lost.get(&replica).is_some_and(|(life, _)| *life >= epoch)
    }

    pub(crate) fn disconnect(&mut self, client: &ClientId, now: Timestamp) {
        let of_client = self.events.iter().filter(|(_, (_, of), _)| of == client);
        let places: BTreeSet<_> = of_client.map(|(_, (place, _), _)| place.clone()).collect();
        self.events.extend(places.into_iter().map(|place| (now, (place, client.clone()), Event::Disconnected)));
    }

    /// A new epoch begins: nothing was told of those who have gone.
    pub(crate) fn reset(&mut self) {
        let open = &self.open;
        let is_open =
            |place: &Place, client: &ClientId| open.iter().any(|((_, of), (owner, _))| of == place && owner == client);
        self.events.retain(|(_, (place, client), _)| is_open(place, client));
    }

    /// This was told by an earlier life.
    pub(crate) fn go_on(&mut self, rosters: &Rosters, now: Timestamp) {
        let told: Vec<_> = rosters.entries().collect();
        let mut ended = Vec::new();
        for RosterChange { topic, change } in &told {
            let PresenceChange::Opened { client, connection, value } = change else { continue };
            let lost = self.lost.get(&connection.replica()).filter(|(life, _)| connection.life() <= *life);
            if self.is_open(*connection, topic, client) {
                continue;
            }
            self.events.push((now, (topic.clone(), client.clone()), Event::Opened));
            if self.newest.contains_key(&connection.replica()) || lost.is_some() {
                let lost = lost.map(|(_, departure)| *departure);
                let departure = self.closed.get(connection).copied().or(lost).unwrap_or(ConnectionEnd::Gone);
                ended.push((now, (topic.clone(), client.clone()), Event::Closed(departure)));
                continue;
            }
            // Who is in a topic is in the room, and has one value, even if that was not told yet.
            if topic.is_some() && !self.is_open(*connection, &None, client) {
                self.events.push((now, (None, client.clone()), Event::Opened));
                self.open.insert((*connection, None), (client.clone(), value.clone()));
            }
            let in_room = self.open.get(&(*connection, None)).map(|(_, value)| value.clone());
            let value = in_room.unwrap_or_else(|| value.clone());
            self.open.insert((*connection, topic.clone()), (client.clone(), value));
        }
        self.events.extend(ended);
        for RosterChange { topic, change } in &told {
            let client = change.client();
            let has_connections = rosters.of(topic.as_ref()).is_some_and(|roster| roster.has_connections(client));
            if !has_connections && !self.is_here(topic.as_ref(), client, now) {
                self.events.push((now, (topic.clone(), client.clone()), Event::Found));
            }
        }
    }

    fn is_open(&self, connection: ConnectionId, place: &Place, client: &ClientId) -> bool {
        self.open.get(&(connection, place.clone())).is_some_and(|(owner, _)| owner == client)
    }

    /// Whether the client is there.
    pub(crate) fn is_here(&self, topic: Option<&Topic>, client: &ClientId, now: Timestamp) -> bool {
        let (mut open, mut until, mut stays, mut skips) = (0_u32, None, Timestamp::default(), false);
        let is_own = |of: &(Place, ClientId)| of.0.as_ref() == topic && of.1 == *client;
        for (at, _, event) in self.events.iter().filter(|(_, of, _)| is_own(of)) {
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
    pub(crate) fn agrees(&self, rosters: &Rosters, now: Timestamp) -> Result<(), String> {
        let mut connections: Vec<_> = rosters.entries().collect();
        connections.retain(|entry| entry.change.connection().is_some());
        let mut open: Vec<_> = self.open.iter().collect();
        open.sort_unstable_by_key(|((connection, place), (client, _))| (place, client, *connection));
        let expected: Vec<_> = open
            .into_iter()
            .map(|((connection, place), (client, value))| {
                let (client, connection, value) = (client.clone(), *connection, value.clone());
                let change = PresenceChange::Opened { client, connection, value };
                RosterChange { topic: place.clone(), change }
            })
            .collect();
        if connections != expected {
            return Err(format!("the Group has heard of {expected:?}, and has told {connections:?}"));
        }
        let mut clients = rosters.entries().chain(expected);
        let gone = clients.find(|entry| !self.is_here(entry.topic.as_ref(), entry.change.client(), now));
        gone.map_or(Ok(()), |gone| Err(format!("{gone:?}: the client is not there any more")))
    }
}
