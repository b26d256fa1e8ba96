//! The logs of a Group: how many, how much memory they take, and what is asked of them: [`Logs`]. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::internal::{HistoryPage, Kind, LogBounds, LogEpoch, LogTopic, Position, Unrecovered};
use dog::{Error, ReplicaId, Timestamp};

use super::kept_log::{KeptLog, Sending};
use crate::log::{Appended, LogEntries, LogHead, Missed, NewPublication, Page, StoredLog, Tail, TopicLog, Window};
use crate::message::{MissedAnswer, MissedCall, TailAnswer, TailCall};

/// The most logs of one Group in memory.
const MOST_LOGS: usize = 10_000;

/// The most bytes in all logs of one Group in memory.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How long a Group may sleep while a Replica has not acknowledged the end of a log. The first repetition is due after this time.
pub(super) const WAKES_WITHIN: Duration = Duration::from_millis(250);

/// The shortest time between two looks for publications that are too old.
const EXPIRES_AFTER: Duration = Duration::from_secs(1);

/// All logs of a Group in memory: those that are kept there, and the durable ones that are in use. Ordered, so that nothing depends on
/// a hash.
#[derive(Debug, Default)]
pub(super) struct Logs {
    all: BTreeMap<LogTopic, KeptLog>,
    /// About how many bytes of memory they take.
    bytes: usize,
}

/// Where the log of a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not in memory.
    Unknown,
    /// It is kept in memory.
    Memory,
    /// It is stored, and in use.
    Stored,
    /// It is stored, and has to be read again before it goes on.
    InDoubt,
}

/// What has become of a publication for a log in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) position: Position,
    /// What is to be sent. `None`: its key has named an earlier one.
    pub(super) new: Option<Sending>,
}

impl Logs {
    pub(super) fn place(&mut self, topic: &LogTopic) -> Place {
        match self.all.get_mut(topic).map(KeptLog::stored) {
            None => Place::Unknown,
            Some(None) => Place::Memory,
            Some(Some(log)) if log.is_in_doubt() => Place::InDoubt,
            Some(Some(_)) => Place::Stored,
        }
    }

    /// Begins a log in memory, unless the topic has one.
    ///
    /// # Errors
    /// The Group has too many.
    pub(super) fn begin(&mut self, topic: &LogTopic, bounds: LogBounds, epoch: LogEpoch) -> Result<(), Error> {
        if self.all.contains_key(topic) {
            return Ok(());
        }
        let log = TopicLog::new(&LogHead { position: Position::new(epoch, 0), bounds });
        self.insert(topic, KeptLog::in_memory(log))
    }

    /// A durable log was read. `audience` are the Replicas that may follow it.
    ///
    /// # Errors
    /// The Group has too many logs in use.
    pub(super) fn restored(
        &mut self,
        topic: &LogTopic,
        log: StoredLog,
        audience: &BTreeSet<ReplicaId>,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.all.contains_key(topic) {
            self.change(topic, |kept| kept.restored_again(log, now));
            return Ok(());
        }
        self.insert(topic, KeptLog::restored(log, audience, now))
    }

    fn insert(&mut self, topic: &LogTopic, mut log: KeptLog) -> Result<(), Error> {
        if self.all.len() >= MOST_LOGS {
            // Nobody knows a position in a log that has kept nothing for long and is followed by nobody, or would be told `expired`.
            self.all.retain(|_, log| !log.is_unused());
            self.count_all();
        }
        if self.has_most() {
            return Err(too_many_logs());
        }
        self.bytes += log.count().1;
        self.all.insert(topic.clone(), log);
        Ok(())
    }

    /// Whether the Group can have no other log. Those that were purged do not count, unless there are as many of them.
    fn has_most(&self) -> bool {
        let used = || self.all.values().filter(|log| !log.is_purged()).count();
        self.all.len() >= MOST_LOGS && (self.all.len() >= 2 * MOST_LOGS || used() >= MOST_LOGS)
    }

    /// A log in memory is purged, and has begun again before.
    pub(super) fn purge(&mut self, topic: &LogTopic) {
        self.change(topic, |log| log.set_purged(true));
        self.purged_and_known();
    }

    /// A log in memory is used.
    ///
    /// # Errors
    /// It was purged, and the Group has too many others meanwhile.
    pub(super) fn use_again(&mut self, topic: &LogTopic) -> Result<(), Error> {
        if self.all.get(topic).is_some_and(KeptLog::is_purged) {
            if self.has_most() {
                return Err(too_many_logs());
            }
            self.change(topic, |log| log.set_purged(false));
        }
        Ok(())
    }

    /// Removes the logs in memory that were purged and of which all Replicas know it. Returns the durable ones, which have to be
    /// removed from the storage first.
    pub(super) fn purged_and_known(&mut self) -> Vec<(LogTopic, LogBounds)> {
        let mut stored = Vec::new();
        let mut freed = 0;
        self.all.retain(|topic, log| {
            let is_gone = log.is_purged_and_known(0);
            if is_gone && log.stored().is_some() {
                stored.push((topic.clone(), log.window().bounds()));
                return true;
            }
            freed += if is_gone { log.count().0 } else { 0 };
            !is_gone
        });
        self.bytes -= freed;
        stored
    }

    /// What removes a durable log that was purged from the storage, if all Replicas know it, and nobody but the caller needs it.
    pub(super) fn begin_removal(&mut self, topic: &LogTopic) -> Option<LogEntries> {
        let log = self.all.get_mut(topic).filter(|log| log.is_purged_and_known(1))?;
        log.stored()?.begin_removal()
    }

    /// A durable log was removed from the storage.
    pub(super) fn remove(&mut self, topic: &LogTopic) {
        if let Some(mut log) = self.all.remove(topic) {
            self.bytes -= log.count().0;
        }
    }

    /// Changes a log, and counts its bytes again.
    fn change<T>(&mut self, topic: &LogTopic, change: impl FnOnce(&mut KeptLog) -> T) -> Option<T> {
        let log = self.all.get_mut(topic)?;
        let changed = change(log);
        let (before, after) = log.count();
        self.bytes = self.bytes - before + after;
        Some(changed)
    }

    fn count_all(&mut self) {
        self.bytes = self.all.values_mut().map(|log| log.count().1).sum();
    }

    /// Whether this many more bytes are too many, also when what is not needed has left memory.
    fn is_full(&mut self, more: usize, now: Timestamp) -> bool {
        if self.bytes + more > MOST_BYTES {
            self.all.values_mut().for_each(|log| log.expire(now));
            self.all.retain(|_, log| log.stored().is_none() || !log.is_unused());
            self.count_all();
        }
        self.bytes + more > MOST_BYTES
    }

    /// # Errors
    /// There is no room for this many more bytes.
    pub(super) fn check_room(&mut self, bytes: usize, now: Timestamp) -> Result<(), Error> {
        if self.is_full(bytes, now) { Err(too_many_bytes()) } else { Ok(()) }
    }

    /// Whether there is room for a publication. One that its key makes a repeated one needs none.
    fn admit(&mut self, topic: &LogTopic, publication: &NewPublication, now: Timestamp) -> Result<(), Error> {
        let is_full = self.is_full(publication.size(), now);
        let log = self.all.get_mut(topic).ok_or_else(no_log)?;
        if is_full && !publication.key.as_ref().is_some_and(|key| log.knows(key, now)) {
            return Err(too_many_bytes());
        }
        Ok(())
    }

    /// Numbers a publication for a log in memory. `audience` are the Replicas that it has to be sent to.
    ///
    /// # Errors
    /// The logs of the Group have too many bytes.
    pub(super) fn publish(
        &mut self,
        topic: &LogTopic,
        publication: NewPublication,
        audience: impl FnOnce() -> BTreeSet<ReplicaId>,
        now: Timestamp,
    ) -> Result<Published, Error> {
        self.admit(topic, &publication, now)?;
        let published = self.change(topic, |log| {
            let offset = match log.append(publication, now) {
                Appended::New(offset) => offset,
                Appended::Repeated(offset) => return Ok(Published { position: log.position(offset), new: None }),
                Appended::NotNow => return Err(not_now()),
            };
            log.commit_in_memory();
            Ok(Published { position: log.position(offset), new: log.show(audience, now).pop() })
        });
        published.ok_or_else(no_log)?
    }

    /// A log begins again. `audience` are the Replicas that may follow it. Returns where.
    pub(super) fn begin_again(
        &mut self,
        topic: &LogTopic,
        epoch: LogEpoch,
        audience: &BTreeSet<ReplicaId>,
        now: Timestamp,
    ) -> Result<Position, Error> {
        self.change(topic, |log| log.has_begun_again(epoch, audience, now)).ok_or_else(no_log)
    }

    /// Numbers a publication for a durable log that is in use. It is shown after a commit.
    ///
    /// # Errors
    /// The logs of the Group take too much memory.
    pub(super) fn append(
        &mut self,
        topic: &LogTopic,
        publication: NewPublication,
        now: Timestamp,
    ) -> Result<Appended, Error> {
        self.admit(topic, &publication, now)?;
        let log = self.all.get_mut(topic).ok_or_else(no_log)?;
        // It is counted exactly when it is shown.
        self.bytes += log.count_more(publication.size());
        Ok(log.append(publication, now))
    }

    /// What of a durable log is to be sent, because everybody may see it from now on.
    pub(super) fn shown(
        &mut self,
        topic: &LogTopic,
        audience: impl FnOnce() -> BTreeSet<ReplicaId>,
        now: Timestamp,
    ) -> Vec<Sending> {
        self.change(topic, |log| log.show(audience, now)).unwrap_or_default()
    }

    /// A durable log that is in use.
    pub(super) fn stored(&mut self, topic: &LogTopic) -> Option<&mut StoredLog> {
        self.all.get_mut(topic)?.stored()
    }

    /// A durable log has to stay in memory until this is called with `false` as often as with `true`.
    pub(super) fn hold(&mut self, topic: &LogTopic, holds: bool) {
        if let Some(log) = self.all.get_mut(topic) {
            log.hold(holds);
        }
    }

    /// What everybody may see of a log in memory, or in use.
    pub(super) fn window(&self, topic: &LogTopic) -> Result<&Window, Error> {
        self.all.get(topic).map(KeptLog::window).ok_or_else(no_log)
    }

    /// After which position a Replica has missed publications, or why they cannot be given.
    ///
    /// # Errors
    /// The log is not in memory.
    pub(super) fn missed_since(&self, call: &MissedCall) -> Result<Result<Position, Unrecovered>, Error> {
        let log = self.all.get(&call.topic).ok_or_else(no_log)?;
        let since = &call.since;
        let Some(subscribed) = call.begins.filter(|_| since.epoch() == log.window().epoch()) else {
            return Ok(Ok(since.clone()));
        };
        // What came before this position is not for the subscribers there, or an earlier life has given it to them.
        let begin = match log.acknowledged(call.replica) {
            Some(acknowledged) => Ok(acknowledged),
            // Perhaps what was for them was lost with an earlier life of the Group.
            None => log.window().before(subscribed).map(|before| before.min(since.offset())),
        };
        Ok(begin.map(|offset| Position::new(since.epoch().clone(), offset)))
    }

    /// The answer to who asks for a history.
    pub(super) fn history(&self, topic: &LogTopic, page: Result<Page, Unrecovered>) -> Result<HistoryPage, Error> {
        match page {
            Ok(page) => {
                let head = self.window(topic)?.position();
                Ok(HistoryPage { head, publications: page.publications, more: page.more })
            }
            Err(reason) => {
                let text = format!("the log of {topic} has no publications after that position: {reason}");
                Err(Error::new(Kind::Unrecovered(reason), text))
            }
        }
    }

    /// The answer to a Replica that has missed publications since this position.
    pub(super) fn missed(
        &self,
        topic: &LogTopic,
        since: Position,
        page: Result<Page, Unrecovered>,
    ) -> Result<MissedAnswer, Error> {
        let log = self.all.get(topic).ok_or_else(no_log)?;
        Ok(MissedAnswer { since, missed: Missed { head: log.window().head(), page }, is_purged: log.is_purged() })
    }

    /// The answer to a Replica that follows the log from now on: its newest publications.
    pub(super) fn tail(&mut self, call: &TailCall, tail: Tail) -> Result<TailAnswer, Error> {
        let log = self.all.get_mut(&call.topic).ok_or_else(no_log)?;
        let unseen = || log.window().before(call.subscribed).unwrap_or(tail.head.position.offset());
        let since = log.acknowledged(call.replica).unwrap_or_else(unseen);
        log.heads().follow(call.replica);
        Ok(TailAnswer { since, tail })
    }

    /// A Replica has everything up to this position.
    pub(super) fn acknowledge(&mut self, replica: ReplicaId, topic: &LogTopic, position: &Position, now: Timestamp) {
        let log = self.all.get_mut(topic).filter(|log| log.window().epoch() == position.epoch());
        log.into_iter().for_each(|log| log.heads().acknowledge(replica, position.offset(), now));
    }

    /// A life of a Replica is over, and its sockets are closed.
    pub(super) fn forget(&mut self, replica: ReplicaId) {
        self.all.values_mut().for_each(|log| log.heads().remove(replica));
    }

    /// The ends of logs that have to be repeated now, and to whom. `audience` are the Replicas that may still follow the log.
    pub(super) fn due(
        &mut self,
        now: Timestamp,
        audience: impl Fn(&LogTopic) -> BTreeSet<ReplicaId>,
    ) -> Vec<(LogTopic, Position, Vec<ReplicaId>)> {
        let mut due = Vec::new();
        for (topic, log) in &mut self.all {
            if log.heads().next_time().is_none_or(|next| next > now) {
                continue;
            }
            log.heads().keep_only(&audience(topic));
            let replicas = log.heads().due(now);
            if !replicas.is_empty() {
                due.push((topic.clone(), log.window().position(), replicas));
            }
        }
        due
    }

    /// Removes what is too old. Returns how long the Group may sleep until it has something to do for its logs. `None`: it may leave
    /// memory, because what they keep is stored, and everything is acknowledged.
    pub(super) fn tend(&mut self, now: Timestamp) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for log in self.all.values_mut() {
            log.expire(now);
            let (before, after) = log.count();
            self.bytes = self.bytes - before + after;
            let repeats = log.heads().next_time().map(|at| at.since(now).min(WAKES_WITHIN));
            let removes = log.is_purged().then_some(WAKES_WITHIN);
            let expires = log.next_expiry().map(|at| at.since(now).max(EXPIRES_AFTER));
            next = repeats.into_iter().chain(removes).chain(expires).chain(next).min();
        }
        next
    }
}

pub(super) fn no_log() -> Error {
    Error::new(Kind::NoLog, "the topic has no log: Group::log says which topics have one")
}

fn too_many_logs() -> Error {
    let text = format!("the Group has {MOST_LOGS} logs: purge some that are not used any more");
    Error::new(Kind::TooMany, text)
}

fn too_many_bytes() -> Error {
    let text = format!("the logs of the Group have {MOST_BYTES} bytes: publish again later, or let them keep less");
    Error::new(Kind::TooMany, text)
}

pub(super) fn not_now() -> Error {
    Error::new(Kind::Unreachable, "the log is being read: publish again later")
}

#[cfg(test)]
mod tests;
