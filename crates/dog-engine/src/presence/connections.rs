//! A Replica's own connections, and what the Group has to know of them: [`OwnConnections`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dog::internal::{ConnectionId, Kind, MAX_PRESENCE_VALUE, Topic};
use dog::{ClientId, Epoch, Error, ReplicaId};

use super::messages::{ConnectionEnd, ConnectionState, Following, PresenceReport, PresenceReportAnswer, ReportVerdict};

/// How many changes wait for the Group. If there are more, the next report is a census.
const MAX_UNREPORTED: usize = 10_000;

/// The open connections of one life of a Replica. Each change has a number, and a report repeats all that were not
/// acknowledged.
#[derive(Debug)]
pub struct OwnConnections {
    replica: ReplicaId,
    epoch: Epoch,
    next: u64,
    open: BTreeMap<ConnectionId, Own>,
    /// The topics with a presence of those that have some.
    topics: BTreeMap<ConnectionId, BTreeSet<Topic>>,
    sequence: u64,
    acknowledged: u64,
    /// The last change that a report had.
    reported: u64,
    /// What has changed, with the number of the last change.
    changed: BTreeMap<ConnectionId, Changed>,
    /// Since which change the Group has to be told everything. `None`: it has all connections of this life, and reports of
    /// changes are enough.
    census_since: Option<u64>,
    /// The newest life of the Group that has answered.
    group: Option<Epoch>,
}

#[derive(Debug)]
struct Own {
    client: ClientId,
    value: Bytes,
    /// The change with which it opened.
    since: u64,
}

#[derive(Clone, Copy, Debug)]
struct Changed {
    number: u64,
    /// How it has ended, if it has.
    departure: Option<ConnectionEnd>,
}

/// Tells one report from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceRound {
    sequence: u64,
    census: bool,
}

impl OwnConnections {
    /// A life begins, without a connection.
    pub fn new(replica: ReplicaId, epoch: Epoch) -> Self {
        Self {
            replica,
            epoch,
            next: 0,
            open: BTreeMap::new(),
            topics: BTreeMap::new(),
            sequence: 0,
            acknowledged: 0,
            reported: 0,
            changed: BTreeMap::new(),
            census_since: Some(0),
            group: None,
        }
    }

    /// A socket has opened. Returns its name, which it keeps while the Replica hibernates.
    ///
    /// # Errors
    /// [`Error::is_too_large`] if the value is longer than 1 KiB.
    pub fn open(&mut self, client: ClientId, value: Bytes) -> Result<ConnectionId, Error> {
        check(&value)?;
        let connection = ConnectionId::new(self.replica, self.epoch, self.next);
        self.next += 1;
        let since = self.change(connection, None);
        self.open.insert(connection, Own { client, value, since });
        Ok(connection)
    }

    /// A socket of the life before is still open.
    pub fn reopen(&mut self, connection: ConnectionId, client: ClientId, value: Bytes) {
        self.change(connection, None);
        // The Group may have heard of it from that life.
        self.open.insert(connection, Own { client, value, since: 0 });
    }

    /// A socket has another value. Returns `false` if it is not open, or has this value already.
    ///
    /// # Errors
    /// [`Error::is_too_large`] if the value is longer than 1 KiB. Then the value is as before.
    pub fn set_value(&mut self, connection: ConnectionId, value: Bytes) -> Result<bool, Error> {
        check(&value)?;
        let Some(own) = self.open.get_mut(&connection).filter(|own| own.value != value) else { return Ok(false) };
        own.value = value;
        self.change(connection, None);
        Ok(true)
    }

    /// These are the topics with a presence that a socket is subscribed to now. Returns `false` if it is not open, or they are as before.
    pub fn set_topics(&mut self, connection: ConnectionId, topics: BTreeSet<Topic>) -> bool {
        let is_changed = self.open.contains_key(&connection)
            && self.topics.get(&connection).map_or(!topics.is_empty(), |before| *before != topics);
        if is_changed {
            if topics.is_empty() {
                self.topics.remove(&connection);
            } else {
                self.topics.insert(connection, topics);
            }
            self.change(connection, None);
        }
        is_changed
    }

    /// The client of a socket has become known. Returns `false` if the socket is not open.
    pub fn assign(&mut self, connection: ConnectionId, client: ClientId) -> bool {
        let Some(own) = self.open.get_mut(&connection) else { return false };
        own.client = client;
        self.change(connection, None);
        true
    }

    /// A socket has ended. Returns `false` if it had ended before.
    pub fn close(&mut self, connection: ConnectionId, departure: ConnectionEnd) -> bool {
        let Some(own) = self.open.remove(&connection) else { return false };
        self.topics.remove(&connection);
        if own.since > self.reported {
            // The Group has never heard of it.
            self.changed.remove(&connection);
        } else {
            self.change(connection, Some(departure));
        }
        true
    }

    fn change(&mut self, connection: ConnectionId, departure: Option<ConnectionEnd>) -> u64 {
        self.sequence += 1;
        self.changed.insert(connection, Changed { number: self.sequence, departure });
        if self.changed.len() > MAX_UNREPORTED {
            self.changed.clear();
            self.ask();
        }
        self.sequence
    }

    /// How many sockets are open.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// The Group does not know the connections of this life: the next report is a census.
    pub fn ask(&mut self) {
        self.census_since = Some(self.sequence);
    }

    /// Whether the Group has acknowledged everything.
    pub fn is_reported(&self) -> bool {
        self.census_since.is_none() && self.sequence == self.acknowledged
    }

    /// This life of the Group counts its members. If it has not answered yet, it is told everything: what it has taken may be a
    /// late report of an earlier life of this Replica.
    pub fn is_counted_by(&mut self, life: Epoch) {
        if self.group < Some(life) {
            self.ask();
        }
    }

    /// What the Group has not acknowledged, and what tells the report from others. `None` if it has acknowledged everything.
    pub fn report(&mut self, following: Following) -> Option<(PresenceRound, PresenceReport)> {
        if self.is_reported() {
            return None;
        }
        let census = self.census_since.is_some();
        let changed = self.changed.iter().filter_map(|(connection, changed)| match changed.departure {
            Some(departure) => Some((*connection, ConnectionState::Closed(departure))),
            None if census => None,
            None => Some((*connection, self.open.get(connection)?.state())),
        });
        let mut connections: Vec<_> = changed.collect();
        if census {
            connections.extend(self.open.iter().map(|(connection, own)| (*connection, own.state())));
        }
        self.reported = self.sequence;
        let topics = if census { self.topics.iter().map(with_topics).collect() } else { self.changed_topics() };
        let (replica, epoch, after, sequence) = (self.replica, self.epoch, self.acknowledged, self.sequence);
        let round = PresenceRound { sequence, census };
        Some((round, PresenceReport { replica, epoch, after, sequence, connections, census, topics, following }))
    }

    /// The topics of the connections that have changed.
    fn changed_topics(&self) -> Vec<(ConnectionId, Vec<Topic>)> {
        if self.topics.is_empty() {
            return Vec::new();
        }
        let changed = self.changed.keys().filter_map(|connection| self.topics.get_key_value(connection));
        changed.map(with_topics).collect()
    }

    /// The Group has answered a report. What an earlier life of the Group has taken does not count any more when a later one has
    /// answered: that one may have counted this Replica by an older report.
    pub fn answered(&mut self, round: PresenceRound, PresenceReportAnswer { life, verdict }: PresenceReportAnswer) {
        if self.group > Some(life) {
            return;
        }
        if self.group.is_some_and(|earlier| earlier < life) {
            self.ask();
        }
        self.group = Some(life);
        match verdict {
            ReportVerdict::Taken => {
                self.acknowledged = self.acknowledged.max(round.sequence);
                self.changed.retain(|_, changed| changed.number > round.sequence);
                if round.census && self.census_since.is_some_and(|since| since <= round.sequence) {
                    self.census_since = None;
                }
            }
            ReportVerdict::Census => self.ask(),
            ReportVerdict::Late => {}
        }
    }
}

impl Own {
    fn state(&self) -> ConnectionState {
        ConnectionState::Open { client: self.client.clone(), value: self.value.clone() }
    }
}

fn with_topics((connection, topics): (&ConnectionId, &BTreeSet<Topic>)) -> (ConnectionId, Vec<Topic>) {
    (*connection, topics.iter().cloned().collect())
}

fn check(value: &Bytes) -> Result<(), Error> {
    if value.len() <= MAX_PRESENCE_VALUE {
        return Ok(());
    }
    let text = format!("the presence value has {} bytes, {MAX_PRESENCE_VALUE} at most", value.len());
    Err(Error::new(Kind::ValueTooLarge, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> ClientId {
        ClientId::new(name).unwrap()
    }

    fn own() -> OwnConnections {
        OwnConnections::new(ReplicaId::from_name("room", "1"), Epoch::from_raw(2))
    }

    fn says(life: u64, verdict: ReportVerdict) -> PresenceReportAnswer {
        PresenceReportAnswer { life: Epoch::from_raw(life), verdict }
    }

    fn take(own: &mut OwnConnections) -> PresenceReport {
        let (round, report) = own.report(Following::No).unwrap();
        own.answered(round, says(1, ReportVerdict::Taken));
        report
    }

    #[test]
    fn a_report_repeats_what_was_not_acknowledged() {
        let mut own = own();
        assert!(take(&mut own).census);
        let ann = own.open(client("ann"), Bytes::new()).unwrap();
        let (round, first) = own.report(Following::No).unwrap();
        own.open(client("bob"), Bytes::new()).unwrap();
        own.close(ann, ConnectionEnd::Restarting);
        let (_, second) = own.report(Following::No).unwrap();
        assert_eq!((first.connections.len(), second.connections.len()), (1, 2));
        assert_eq!(second.connections[0], (ann, ConnectionState::Closed(ConnectionEnd::Restarting)));
        own.answered(round, says(1, ReportVerdict::Taken));
        assert_eq!(own.report(Following::No).unwrap().1.connections, second.connections, "both have changed since");
        take(&mut own);
        assert!(own.report(Following::No).is_none());
    }

    #[test]
    fn what_was_open_between_two_reports_is_never_seen() {
        let mut own = own();
        take(&mut own);
        let ann = own.open(client("ann"), Bytes::new()).unwrap();
        assert!(own.close(ann, ConnectionEnd::Gone) && !own.close(ann, ConnectionEnd::Gone));
        assert_eq!(take(&mut own).connections, []);
    }

    #[test]
    fn a_socket_of_an_earlier_life_keeps_its_name_and_its_end_is_told() {
        let mut own = own();
        let ann = ConnectionId::new(own.replica, Epoch::from_raw(1), 0);
        own.reopen(ann, client("ann"), Bytes::new());
        let bob = own.open(client("bob"), Bytes::new()).unwrap();
        assert_ne!(ann, bob);
        own.close(ann, ConnectionEnd::Disconnected);
        let census = take(&mut own);
        assert!(census.census && census.connections[0] == (ann, ConnectionState::Closed(ConnectionEnd::Disconnected)));
        assert_eq!((census.connections.len(), own.count()), (2, 1));
    }

    #[test]
    fn a_census_is_owed_until_one_that_was_made_later_is_taken() {
        let mut own = own();
        let (first, _) = own.report(Following::No).unwrap();
        own.open(client("ann"), Bytes::new()).unwrap();
        own.ask();
        own.answered(first, says(1, ReportVerdict::Taken));
        assert!(take(&mut own).census, "the Group has asked again");
        own.open(client("bob"), Bytes::new()).unwrap();
        let (round, _) = own.report(Following::No).unwrap();
        own.answered(round, says(1, ReportVerdict::Census));
        assert!(take(&mut own).census);
    }

    #[test]
    fn what_an_earlier_life_of_the_group_has_taken_does_not_count() {
        let mut own = own();
        let (first, _) = own.report(Following::No).unwrap();
        own.open(client("ann"), Bytes::new()).unwrap();
        let (second, _) = own.report(Following::No).unwrap();
        own.answered(second, says(1, ReportVerdict::Taken));
        assert!(own.report(Following::No).is_none());
        // The first report came late, to a Group that has woken meanwhile.
        own.answered(first, says(2, ReportVerdict::Taken));
        own.answered(second, says(1, ReportVerdict::Taken));
        let (third, census) = own.report(Following::No).unwrap();
        assert!(census.census && census.connections.len() == 1);
        own.answered(third, says(2, ReportVerdict::Taken));
        assert!(own.report(Following::No).is_none());
    }

    #[test]
    fn a_life_of_the_group_that_has_not_answered_is_told_everything() {
        let mut own = own();
        own.open(client("ann"), Bytes::new()).unwrap();
        take(&mut own);
        [1, 0].iter().for_each(|life| own.is_counted_by(Epoch::from_raw(*life)));
        assert!(own.report(Following::No).is_none(), "life 1 knows it, and life 0 is over");
        own.is_counted_by(Epoch::from_raw(2));
        let (_, census) = own.report(Following::No).unwrap();
        assert!(census.census && census.connections.len() == 1);
    }

    #[test]
    fn what_waits_is_bounded_and_a_census_makes_up_for_it() {
        let mut own = own();
        let open: Vec<_> = (0..=MAX_UNREPORTED).map(|_| own.open(client("ann"), Bytes::new()).unwrap()).collect();
        take(&mut own);
        open.iter().for_each(|connection| assert!(own.close(*connection, ConnectionEnd::Gone)));
        assert!(own.changed.len() <= MAX_UNREPORTED);
        let report = take(&mut own);
        assert!(report.census && report.connections.is_empty());
    }

    #[test]
    fn the_topics_of_a_connection_are_reported_with_it() {
        let mut own = own();
        let [ann, bob] = ["ann", "bob"].map(|name| own.open(client(name), Bytes::new()).unwrap());
        let [a, b] = ["a", "b"].map(|name| Topic::new(name).unwrap());
        assert!(own.set_topics(ann, [b.clone(), a.clone()].into()));
        assert_eq!(take(&mut own).topics, [(ann, vec![a.clone(), b.clone()])], "the census has them");
        assert!(!own.set_topics(ann, [a.clone(), b.clone()].into()) && !own.set_topics(bob, BTreeSet::new()));
        assert!(own.report(Following::No).is_none());
        assert!(own.set_topics(bob, [a.clone()].into()));
        let report = take(&mut own);
        assert_eq!(
            (report.connections.len(), report.topics),
            (1, vec![(bob, vec![a.clone()])]),
            "only what has changed"
        );
        assert!(own.set_topics(ann, [b.clone()].into()));
        assert_eq!(take(&mut own).topics, [(ann, vec![b])]);
        assert!(own.set_topics(ann, BTreeSet::new()));
        let report = take(&mut own);
        assert_eq!((report.connections.len(), report.topics.len()), (1, 0));
        own.close(bob, ConnectionEnd::Gone);
        assert!(take(&mut own).topics.is_empty() && own.topics.is_empty());
        assert!(!own.set_topics(bob, [a].into()), "it is not open");
    }

    #[test]
    fn a_value_over_1_kib_is_refused_and_nothing_changes() {
        let mut own = own();
        let long = Bytes::from(vec![0; MAX_PRESENCE_VALUE + 1]);
        assert!(own.open(client("ann"), long.clone()).unwrap_err().is_too_large());
        assert_eq!(own.count(), 0);
        let ann = own.open(client("ann"), long.slice(1..)).unwrap();
        take(&mut own);
        assert!(own.set_value(ann, long).unwrap_err().is_too_large());
        assert!(own.report(Following::No).is_none());
        assert!(own.set_value(ann, Bytes::new()).unwrap() && !own.set_value(ann, Bytes::new()).unwrap());
    }
}
