//! Checks of what the parts of the [`RunRecord`] have recorded.

use std::collections::BTreeSet;

use dog::{
    Alarm, Bytes, ClientId, ConnectionId, Epoch, Error, GroupId, LogEpoch, Position, PresenceNews, PresencePage,
    PresenceVersion, Publication, PublicationReport, ROOM, ReplicaId, SocketId, Timestamp,
};
use dog_engine::log::LogEntries;
use dog_engine::presence::{Following, PresenceChanges};

use super::{RunRecord, SocketRecord};
use crate::parsed::number;
use crate::presence::faults::Faults;
use crate::presence::place::Place;
use crate::presence::record::ReplicaLife;
use crate::publications::record::Now;
use crate::stored::ObjectId;

impl RunRecord {
    /// Returns the sockets that are open at their hosts.
    pub(crate) fn open_sockets(&self) -> BTreeSet<SocketId> {
        self.sockets.iter().filter(|(_, record)| record.is_open).map(|(socket, _)| *socket).collect()
    }

    /// Promises 1 and 3: a request has a seat.
    pub(crate) fn request_begins(&mut self, (replica, life): (ReplicaId, u64), client: Option<&str>) {
        // It has its seat until its last handler begins, however long its host has known that it has ended.
        let is_it = |socket: &SocketRecord| {
            socket.replica == Some(replica)
                && socket.is_of_life(life)
                && socket.ends == 0
                && client == Some(&socket.client)
        };
        let (is_here, now) = (self.sockets.values().any(is_it), self.now);
        let outcome = self.seats().check_newcomer((replica, life), client, is_here, now);
        self.check(3, outcome);
        let outcome = self.seats().request_begins((replica, life), client);
        self.check(1, outcome);
    }

    /// Promise 10: checks a count that was acknowledged.
    pub(crate) fn counted(&mut self, object: ObjectId, count: u64) {
        let outcome = self.stored().counted(object, count);
        self.check(10, outcome);
    }

    /// Promise 11: checks two entries and a record of the log that were read from disk.
    pub(crate) fn found(&mut self, object: ObjectId, counts: [u64; 3]) {
        self.stored().life_begins(object);
        let outcome = self.stored().found(object, counts);
        self.check(11, outcome);
    }

    /// Promise 21: checks that an alarm that rings is due, and is the last that was set under its name. Promise 11: checks that
    /// the entry is there that was written with it.
    pub(crate) fn alarm_rang(
        &mut self,
        object: ObjectId,
        alarm: &Alarm,
        (number, entry): (u64, Option<u64>),
        now: Timestamp,
    ) {
        let outcome = self.stored().alarm_rang(object, alarm, number, now);
        self.check(21, outcome);
        let name = alarm.name();
        let half = || format!("{:02x}…: alarm {name} {number} rang, and the entry beside it is {entry:?}", object[0]);
        self.check(11, if entry == Some(number) { Ok(()) } else { Err(half()) });
    }

    /// Promise 21: checks that all alarms that were due have rung.
    pub(crate) fn check_alarms(&mut self, object: ObjectId) {
        let now = self.now;
        let outcome = self.stored().check_alarms(object, now);
        self.check(21, outcome);
    }

    /// Promise 7: what clients of event streams have said since the command `first` was handled, if they are still open.
    pub(crate) fn check_says(&mut self, first: u64) {
        let open = self.open_sockets();
        let outcome = self.says().check_handled(first, |socket| open.contains(&socket));
        self.check(7, outcome);
    }

    /// A typed call begins. Returns its number.
    pub(crate) fn call_begins(&mut self) -> u64 {
        let now = self.now;
        self.calls().begins(now)
    }

    /// Promise 14: a Group carries out each call at most once, and a cycle of calls ends.
    pub(crate) fn call_runs(&mut self, number: u64, depth: u32) {
        let outcome = self.calls().runs(number, depth);
        self.check(14, outcome);
    }

    /// Promise 14: each call ends once and in time, with its own reply or with an error.
    pub(crate) fn call_ends(&mut self, number: u64, reply: Option<u64>) {
        let now = self.now;
        let outcome = self.calls().ends(number, reply, now);
        self.check(14, outcome);
    }

    /// Promise 14: no call is still in progress that must have ended.
    pub(crate) fn check_calls(&mut self) {
        let now = self.now;
        let outcome = self.calls().check_ended(now);
        self.check(14, outcome);
    }

    /// Promise 12: sockets that were not assigned in time are closed.
    pub(crate) fn check_unassigned(&mut self, now: Timestamp) {
        let open = self.open_sockets();
        let outcome = self.late().check_due(now, |socket| open.contains(&socket));
        self.check(12, outcome);
    }

    /// The time, and the current life of this Group.
    pub(crate) fn now_of(&self, group: GroupId) -> Now {
        (self.now, self.current_life(*group.as_bytes()))
    }

    /// Promise 18: the answer to a publication.
    pub(crate) fn published(&mut self, number: u64, answer: &Result<Position, Error>) {
        let Some(group) = self.logs().group_of(number) else { return };
        let now = self.now_of(group);
        let outcome = self.logs().ends(number, answer, now);
        self.check(18, outcome);
    }

    /// Promise 18: a life of a Group shows a publication to somebody.
    pub(crate) fn publication_is_shown(&mut self, topic: &str, epoch: &LogEpoch, publication: &Publication, life: u64) {
        let Some(number) = number(&publication.message) else { return };
        let position = Position::new(epoch.clone(), publication.offset);
        let now = (self.now, life);
        let outcome = self.logs().is_shown(number, topic, (&position, Some(publication.at)), now);
        self.check(18, outcome);
    }

    /// Promise 18: what is shown was not gone before. What a life shows that is over is not said to be right.
    pub(crate) fn publication_is_there(&mut self, epoch: &LogEpoch, publication: &Publication, life: u64) {
        let Some(number) = number(&publication.message) else { return };
        let group = self.logs().group_of(number);
        if group.is_some_and(|group| self.current_life(*group.as_bytes()) == life) {
            let position = Position::new(epoch.clone(), publication.offset);
            let outcome = self.logs().check_not_gone(number, &position);
            self.check(18, outcome);
        }
    }

    /// A confirmed publication is called for: these sockets may take it.
    pub(crate) fn confirmation_begins(&mut self, number: u64, (group, topic): (GroupId, &'static str)) {
        let open = self.open_sockets_of(group).map(|(socket, _)| socket).collect::<BTreeSet<_>>();
        let (may_take, subscribed) = match topic {
            ROOM => (open.clone(), open),
            topic => (&open & &self.topics.hearers(topic), &open & &self.topics.subscribers(topic)),
        };
        // What comes while `on_open` runs waits for it.
        let opening = self.sockets.iter().filter(|(_, record)| !record.opened || record.running == Some("on_open"));
        let opening: Vec<SocketId> = opening.map(|(socket, _)| *socket).collect();
        opening.into_iter().for_each(|socket| self.logs().confirmations().is_uneven(socket));
        self.logs().confirmations().begins(number, (group, topic), (may_take, subscribed));
    }

    /// Promise 17: a confirmed publication has reached as many sockets as it is said to have. `is_exact`: nothing goes wrong, so
    /// that it has reached all that are open still. A Replica may not count those that were told of a loss, or if the log begins here.
    pub(crate) fn confirmation_ends(
        &mut self,
        (group, number): (GroupId, u64),
        report: &Result<PublicationReport, Error>,
        is_exact: bool,
    ) {
        let Ok(PublicationReport { position, sockets, missing }) = report else {
            return self.logs.confirmations().fails(number);
        };
        // An old life of the Group asks others than those who have the publication from the new one.
        let may_be_old = self.logs.may_be_old(group, self.now);
        let records = &self.sockets;
        let is_counted = |socket| {
            let replica = records.get(&socket).and_then(|record: &SocketRecord| record.replica);
            !may_be_old && replica.is_some_and(|replica| missing.iter().all(|(missing, _)| *missing != replica))
        };
        let outcome = self.logs.confirmations().ends(number, *sockets, is_counted);
        let is_open = |socket: &SocketId| records.get(socket).is_some_and(|record| record.is_open);
        let mut may_miss = |socket| position.offset() == 1 || self.logs.confirmations().may_be_late(socket);
        let outcome = outcome.and_then(|mut must_take| {
            must_take.retain(|socket| is_open(socket) && (is_counted(*socket) || !may_miss(*socket)));
            let is_right = !is_exact || *sockets >= must_take.len();
            if is_right { Ok(()) } else { Err(format!("{must_take:?} must have publication {number}: {report:?}")) }
        });
        self.check(17, outcome);
    }

    /// A life of a Group sends a publication to those who may be subscribed. What a life sends that is over does not count.
    pub(crate) fn publication_is_sent(&mut self, epoch: &LogEpoch, publication: &Publication, life: u64) {
        let Some(number) = number(&publication.message) else { return };
        let group = self.logs().group_of(number);
        if group.is_some_and(|group| self.current_life(*group.as_bytes()) == life) {
            self.logs().is_sent(number, &Position::new(epoch.clone(), publication.offset));
        }
    }

    /// Promise 18: records of logs of a Group are on disk.
    pub(crate) fn log_is_stored(&mut self, group: GroupId, records: &LogEntries, now: Timestamp) {
        if !records.is_empty() {
            let outcome = self.logs().stores(group, records, now);
            self.check(18, outcome);
        }
    }

    /// Promise 11: each transaction that has published was made as a whole, or not at all.
    pub(crate) fn check_transactions(&mut self, has_entry: impl Fn(GroupId, u64) -> bool) {
        let outcome = self.logs().check_transactions(has_entry);
        self.check(11, outcome);
    }

    /// Promise 18: a Group shows a part of a log.
    pub(crate) fn page_is_shown(&mut self, (topic, life): (&str, u64), head: &Position, publications: &[Publication]) {
        publications.iter().for_each(|publication| self.publication_is_shown(topic, head.epoch(), publication, life));
    }

    /// Promise 17: a socket receives a publication.
    pub(crate) fn hears_publication(&mut self, socket: SocketId, number: u64) {
        let now = self.now;
        let outcome = self.logs().hears(socket, number, now);
        self.check(17, outcome);
    }

    /// Promise 17: sockets were told in time what they have missed.
    pub(crate) fn check_told(&mut self) {
        let (open, now) = (self.open_sockets(), self.now);
        let outcome = self.logs().check_told(now, |socket| open.contains(&socket));
        self.check(17, outcome);
    }

    /// Promise 20: a socket has the topics that it has subscribed to, also after each hibernation of its Replica.
    pub(crate) fn finds_topics(&mut self, socket: SocketId, found: &[&str]) {
        if self.sockets.get(&socket).is_some_and(|record| record.is_open) {
            let outcome = self.topics().finds(socket, found);
            self.check(20, outcome);
        }
    }

    /// What has gone wrong so far.
    fn faults_so_far(&self) -> Faults {
        Faults { harmed: self.harmed, cuts: self.cuts(), crashes: self.presence.crashes_so_far() }
    }

    /// Promise 19: a life of a Group tells changes of its presence. What a life tells that is over is not said to be right.
    pub(crate) fn presence_is_told(&mut self, (group, life): (GroupId, u64), list: &PresenceChanges, now: Timestamp) {
        let (is_current, faults) = (self.current_life(*group.as_bytes()) == life, self.faults_so_far());
        let outcome = self.presence.told(group, list);
        self.check(19, outcome);
        if is_current {
            let outcome = self.presence.check_left((group, life), list, faults, now);
            self.check(19, outcome);
        }
    }

    /// The connection of a socket has a name and a value.
    pub(crate) fn connection_is_named(&mut self, socket: SocketId, named: (ConnectionId, &Bytes), now: Timestamp) {
        let faults = self.faults_so_far();
        self.presence.names(socket, named, faults, now);
    }

    /// A socket is subscribed to a topic.
    pub(crate) fn is_subscribed(&mut self, socket: SocketId, topic: &str) {
        let (faults, now) = (self.faults_so_far(), self.now);
        self.presence.subscribed(socket, topic, faults, now);
    }

    /// A life of a Group has counted the connections of a life of a Replica.
    pub(crate) fn connections_are_counted(
        &mut self,
        group: (GroupId, u64),
        replica: (ReplicaId, Epoch),
        following: Following,
        now: Timestamp,
    ) {
        let faults = self.faults_so_far();
        self.presence.counts(group, replica, following, faults, now);
    }

    /// A life of a Group begins a new presence.
    pub(crate) fn presence_begins_again(&mut self, (group, life): (GroupId, u64), now: Timestamp) {
        let faults = self.faults_so_far();
        let is_sure = self.relays_are_sure() && self.current_life(*group.as_bytes()) == life;
        let sockets = &self.sockets;
        self.presence.begins_again((group, life), faults, now, |(replica, life)| {
            let is_its =
                |record: &SocketRecord| record.is_open && record.replica == Some(replica) && record.is_of_life(life);
            sockets.iter().filter(|(_, record)| is_sure && is_its(record)).map(|(socket, _)| *socket).collect()
        });
    }

    /// Promise 19: a socket has a connection while a handler of it begins. What an old life of its Replica has is not said to be
    /// known.
    pub(crate) fn has_connection(
        &mut self,
        socket: SocketId,
        (group, replica): (GroupId, ReplicaId),
        client: &ClientId,
        now: Timestamp,
    ) {
        if self.runs_current_life(*replica.as_bytes()) {
            let outcome = self.presence.is_open(socket, (group, client), now);
            self.check(19, outcome);
        }
    }

    /// The socket of a client is closed with 1012.
    pub(crate) fn restarts(&mut self, socket: SocketId, (group, client): (GroupId, &ClientId), now: Timestamp) {
        let (life, faults) = (self.current_life(*group.as_bytes()), self.faults_so_far());
        self.presence.restarts(socket, (group, client), life, faults, now);
    }

    /// A client is being disconnected, or was.
    pub(crate) fn is_disconnected(&mut self, group: GroupId, client: &str) {
        let now = self.now;
        self.presence.disconnects(group, client, now);
    }

    /// Promise 19: the code of a Replica reads who is there, because it was told that it has to.
    pub(crate) fn reads_presence(
        &mut self,
        of: (GroupId, Place),
        life: ReplicaLife,
        told: PresenceVersion,
        page: &Result<PresencePage, Error>,
    ) {
        match page {
            Ok(page) => {
                let outcome = self.presence.read(of, life, told, page);
                self.check(19, outcome);
            }
            Err(_) => self.presence.cannot_read(life, of.1),
        }
    }

    /// Promise 19: the code of a Replica is told changes.
    pub(crate) fn follows_presence(&mut self, group: GroupId, life: ReplicaLife, news: &PresenceNews) {
        let outcome = self.presence.follows(group, life, news);
        self.check(19, outcome);
    }

    /// Promise 19: the code of a Group is told that a client has arrived or left.
    pub(crate) fn is_hooked(&mut self, group: (GroupId, u64), of: (Place, &ClientId), arrives: bool) {
        let outcome = self.presence.hooked(group, of, arrives);
        self.check(19, outcome);
    }

    /// Promise 19: a Group has said who is there.
    pub(crate) fn presence_page(
        &mut self,
        number: Option<u64>,
        of: (GroupId, Place),
        page: &Result<PresencePage, Error>,
    ) {
        let outcome = self.presence.page(number, of, page);
        self.check(19, outcome);
    }
}
