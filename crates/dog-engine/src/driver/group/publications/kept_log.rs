//! One log of a Group in memory, with those who follow it: [`KeptLog`]. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use dog::internal::{LogBounds, LogEpoch, Position};
use dog::{ReplicaId, Timestamp};

use crate::log::{Appended, Heads, NewPublication, Recorded, StoredLog, TopicLog, Window};

/// How long after a durable log was read its end is sent to Replicas that may follow it, unless they have acknowledged it meanwhile.
const FIND_AFTER: Duration = Duration::from_millis(250);

/// A log that is kept in memory, or a durable one that is in use.
#[derive(Debug)]
pub(super) struct KeptLog {
    log: Kept,
    heads: Heads,
    /// How many bytes were counted for it.
    counted: usize,
    /// Who needs it in memory.
    holds: usize,
    /// Whether a log in memory was purged, and not used since.
    is_purged: bool,
}

#[derive(Debug)]
enum Kept {
    Memory(Box<TopicLog>),
    Stored(Box<StoredLog>),
}

/// A publication that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) position: Position,
    pub(super) publication: Recorded,
    /// The Replicas that begin to follow the log with it.
    pub(super) begin: BTreeSet<ReplicaId>,
    pub(super) bounds: LogBounds,
}

impl KeptLog {
    pub(super) fn in_memory(log: TopicLog) -> Self {
        Self { log: Kept::Memory(Box::new(log)), heads: Heads::new(0), counted: 0, holds: 0, is_purged: false }
    }

    /// A durable log that was read. How far the Replicas in `audience` have come is not known, if an earlier life has published
    /// anything.
    pub(super) fn restored(log: StoredLog, audience: &BTreeSet<ReplicaId>, now: Timestamp) -> Self {
        let head = log.window().position().offset();
        let mut heads = Heads::new(head);
        if head > 0 || log.is_purged() {
            audience.iter().for_each(|replica| heads.find(*replica, now + FIND_AFTER));
        }
        Self { log: Kept::Stored(Box::new(log)), heads, counted: 0, holds: 0, is_purged: false }
    }

    /// A durable log that was in doubt was read again.
    pub(super) fn restored_again(&mut self, log: StoredLog, now: Timestamp) {
        if log.window().epoch() != self.window().epoch() {
            self.heads.restart(log.window().position().offset(), now);
        }
        self.log = Kept::Stored(Box::new(log));
    }

    /// The durable log.
    pub(super) fn stored(&mut self) -> Option<&mut StoredLog> {
        match &mut self.log {
            Kept::Memory(_) => None,
            Kept::Stored(log) => Some(log),
        }
    }

    /// What everybody may see.
    pub(super) fn window(&self) -> &Window {
        match &self.log {
            Kept::Memory(log) => log.window(),
            Kept::Stored(log) => log.window(),
        }
    }

    pub(super) fn heads(&mut self) -> &mut Heads {
        &mut self.heads
    }

    pub(super) fn acknowledged(&self, replica: ReplicaId) -> Option<u64> {
        self.heads.acknowledged(replica)
    }

    /// A position of this epoch.
    pub(super) fn position(&self, offset: u64) -> Position {
        Position::new(self.window().epoch().clone(), offset)
    }

    pub(super) fn knows(&mut self, key: &[u8], now: Timestamp) -> bool {
        match &mut self.log {
            Kept::Memory(log) => log.knows(key, now),
            Kept::Stored(log) => log.knows(key, now),
        }
    }

    pub(super) fn append(&mut self, publication: NewPublication, now: Timestamp) -> Appended {
        match &mut self.log {
            Kept::Memory(log) => log.append(publication, now),
            Kept::Stored(log) => log.append(publication, now),
        }
    }

    /// In memory, a commit is done at once.
    pub(super) fn commit_in_memory(&mut self) {
        if let Kept::Memory(log) = &mut self.log {
            let _ = log.begin_commit().map(Iterator::count);
            log.commit_succeeded();
        }
    }

    /// Whether it was purged, and not used since.
    pub(super) fn is_purged(&self) -> bool {
        match &self.log {
            Kept::Memory(_) => self.is_purged,
            Kept::Stored(log) => log.is_purged(),
        }
    }

    /// It was purged, and nobody needs to be told: it can be removed. `most_holds`: those who know that.
    pub(super) fn is_purged_and_known(&self, most_holds: usize) -> bool {
        self.is_purged() && self.holds <= most_holds && self.heads.next_time().is_none()
    }

    /// A log in memory is purged, or used again.
    pub(super) fn set_purged(&mut self, is_purged: bool) {
        self.is_purged = is_purged;
    }

    /// The log begins again: those in `audience`, who may follow it, are told at once. A durable one has begun again already.
    pub(super) fn has_begun_again(
        &mut self,
        epoch: LogEpoch,
        audience: &BTreeSet<ReplicaId>,
        now: Timestamp,
    ) -> Position {
        // In memory nothing is pending, so it can begin again at any time.
        if let Kept::Memory(log) = &mut self.log
            && log.begin_reset()
        {
            log.reset(epoch);
        }
        let position = self.window().position();
        self.heads.restart(position.offset(), now);
        audience.iter().for_each(|replica| self.heads.find(*replica, now));
        position
    }

    fn next_visible(&mut self) -> Option<Recorded> {
        match &mut self.log {
            Kept::Memory(log) => log.next_visible(),
            Kept::Stored(log) => log.next_visible(),
        }
    }

    /// What is to be sent, because everybody may see it from now on. `audience` are the Replicas that it has to be sent to.
    pub(super) fn show(&mut self, audience: impl FnOnce() -> BTreeSet<ReplicaId>, now: Timestamp) -> Vec<Sending> {
        let shown: Vec<_> = std::iter::from_fn(|| self.next_visible()).collect();
        let Some(last) = shown.last() else { return Vec::new() };
        let mut begin = self.heads.follow_only(&audience());
        self.heads.sent(last.offset, now);
        self.expire(now);
        let bounds = self.window().bounds();
        let sending = |publication: Recorded| {
            let position = self.position(publication.offset);
            Sending { position, publication, begin: std::mem::take(&mut begin), bounds }
        };
        shown.into_iter().map(sending).collect()
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        match &mut self.log {
            Kept::Memory(log) => log.expire(now),
            Kept::Stored(log) => log.expire(now),
        }
    }

    /// Until when the Group has to stay in memory for what the log keeps there.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        match &self.log {
            Kept::Memory(log) => log.next_expiry(),
            Kept::Stored(_) => None,
        }
    }

    fn memory(&self) -> usize {
        match &self.log {
            Kept::Memory(log) => log.memory(),
            Kept::Stored(log) => log.memory(),
        }
    }

    /// How many bytes were counted, and how many are from now on.
    pub(super) fn count(&mut self) -> (usize, usize) {
        let before = std::mem::replace(&mut self.counted, 0);
        self.counted = self.memory();
        (before, self.counted)
    }

    /// Counts more bytes, until they are all counted again.
    pub(super) fn count_more(&mut self, bytes: usize) -> usize {
        self.counted += bytes;
        bytes
    }

    pub(super) fn hold(&mut self, holds: bool) {
        self.holds = if holds { self.holds + 1 } else { self.holds.saturating_sub(1) };
    }

    /// Whether nothing is lost when it leaves memory, and nobody needs it there.
    pub(super) fn is_unused(&self) -> bool {
        match &self.log {
            Kept::Memory(log) => log.memory() == 0 && self.heads.is_empty(),
            Kept::Stored(log) => {
                self.holds == 0 && !log.is_in_doubt() && !log.is_purged() && self.heads.next_time().is_none()
            }
        }
    }
}
