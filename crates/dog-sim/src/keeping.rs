//! What objects keep: promises 10 and 11 of their storage and alarms, and 13 of what is attached to their sockets.

use std::collections::{BTreeMap, BTreeSet};

use dog::{SocketId, Timestamp};

use crate::ledger::Ledger;

/// What all objects have kept, by their ids.
pub(crate) type Kept = BTreeMap<[u8; 32], Keeping>;

/// What an object has kept.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    /// The count that was acknowledged last.
    acknowledged: u64,
    every: BTreeSet<u64>,
    /// The alarm that was acknowledged and has not rung. None while another is being set, which may replace it.
    pub(crate) alarm: Option<Timestamp>,
    alarms: u64,
}

impl Ledger {
    /// Promises 10 and 11: a count was acknowledged. No other life can have had the same.
    pub(crate) fn kept(&mut self, object: [u8; 32], count: u64) {
        self.checks.count(10);
        let kept = self.kept.entry(object).or_default();
        let is_new = kept.every.insert(count);
        kept.acknowledged = kept.acknowledged.max(count);
        if !is_new {
            self.broken(10, format!("{:02x}…: count {count} was acknowledged twice", object[0]));
        }
    }

    /// Promise 11: what stands there when a life begins, or at the end.
    pub(crate) fn found(&mut self, object: [u8; 32], counts: (u64, u64)) {
        let acknowledged = self.kept.get(&object).map_or(0, |kept| kept.acknowledged);
        let (first, second) = counts;
        self.checks.count(11);
        if first != second {
            self.broken(11, format!("{:02x}…: half a transaction: {first} and {second}", object[0]));
        }
        if first < acknowledged {
            self.broken(11, format!("{:02x}…: {first} is found where {acknowledged} was acknowledged", object[0]));
        }
    }

    /// An alarm is being set. Returns its number.
    pub(crate) fn alarm_begins(&mut self, object: [u8; 32]) -> u64 {
        let kept = self.kept.entry(object).or_default();
        kept.alarm = None;
        kept.alarms += 1;
        kept.alarms
    }

    /// It is set, and unless another has been begun since it must ring.
    pub(crate) fn alarm_set(&mut self, object: [u8; 32], number: u64, at: Timestamp) {
        let kept = self.kept.entry(object).or_default();
        if kept.alarms == number {
            kept.alarm = Some(at);
        }
    }

    pub(crate) fn alarm_rang(&mut self, object: [u8; 32], now: Timestamp) {
        if let Some(kept) = self.kept.get_mut(&object) {
            kept.alarm = kept.alarm.filter(|at| *at > now);
        }
    }

    /// Promise 11: whatever has been due for a while must have rung.
    pub(crate) fn check_alarm(&mut self, object: [u8; 32]) {
        let now = self.now;
        if let Some(at) = self.kept.get(&object).and_then(|kept| kept.alarm).filter(|at| *at < now) {
            self.broken(11, format!("{:02x}…: the alarm of {at:?} has not rung", object[0]));
        }
    }

    /// A number to be attached to a socket.
    pub(crate) fn new_attachment(&mut self) -> u64 {
        self.next_attachment += 1;
        self.next_attachment
    }

    pub(crate) fn attached(&mut self, socket: SocketId, number: u64) {
        if let Some(handled) = self.sockets.get_mut(&socket) {
            handled.attached = Some(number);
        }
    }

    /// Promise 13: what was attached comes back, however often its Replica has rested.
    pub(crate) fn finds_attached(&mut self, socket: SocketId, found: Option<u64>) {
        self.checks.count(13);
        let attached = self.sockets.get(&socket).and_then(|handled| handled.attached);
        if found != attached {
            self.broken(13, format!("socket {}: {found:?} is attached, and was {attached:?}", socket.raw()));
        }
    }
}
