//! Checks of what the parts of the [`RunRecord`] have recorded.

use std::collections::BTreeSet;

use dog::{Alarm, Error, GroupId, LogEpoch, Position, Publication, ReplicaId, SocketId, Timestamp};

use crate::log_record::Now;
use crate::publications::number;
use crate::record::{RunRecord, SocketRecord};
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

    /// A life of a Group sends a publication to those who may be subscribed. What a life sends that is over does not count.
    pub(crate) fn publication_is_sent(&mut self, epoch: &LogEpoch, publication: &Publication, life: u64) {
        let Some(number) = number(&publication.message) else { return };
        let group = self.logs().group_of(number);
        if group.is_some_and(|group| self.current_life(*group.as_bytes()) == life) {
            self.logs().is_sent(number, &Position::new(epoch.clone(), publication.offset));
        }
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
}
