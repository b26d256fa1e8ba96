//! Checks of what the parts of the [`RunRecord`] have recorded.

use std::collections::BTreeSet;

use dog::{Alarm, ReplicaId, SocketId, Timestamp};

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

    /// Promise 20: a socket has the topics that it has subscribed to, also after each hibernation of its Replica.
    pub(crate) fn finds_topics(&mut self, socket: SocketId, found: &[&str]) {
        if self.sockets.get(&socket).is_some_and(|record| record.is_open) {
            let outcome = self.topics().finds(socket, found);
            self.check(20, outcome);
        }
    }
}
