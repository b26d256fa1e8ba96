//! The logs of a Group: how many, how much memory they take, and who follows them: [`Logs`]. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::internal::{HistoryPage, Kind, LogBounds, LogEpoch, LogTopic, Position};
use dog::{Error, ReplicaId, Timestamp};

use crate::log::{AnswerBounds, Appended, Heads, LogHead, Missed, NewPublication, PageOrder, Recorded, TopicLog};
use crate::message::{MissedAnswer, MissedCall};

/// The most logs of one Group.
const MOST_LOGS: usize = 10_000;

/// The most bytes in all logs of one Group.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How long a Group may sleep while a Replica has not acknowledged the end of a log. The first repetition is due after this time.
pub(super) const WAKES_WITHIN: Duration = Duration::from_millis(250);

/// The shortest time between two looks for publications that are too old.
const EXPIRES_AFTER: Duration = Duration::from_secs(1);

/// All logs of a Group in memory. Ordered, so that nothing depends on a hash.
#[derive(Debug, Default)]
pub(super) struct Logs {
    all: BTreeMap<LogTopic, Log>,
    /// About how many bytes of memory they take.
    bytes: usize,
}

#[derive(Debug)]
struct Log {
    log: TopicLog,
    heads: Heads,
}

/// What has become of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) position: Position,
    /// What is to be sent. `None`: its key has named an earlier one.
    pub(super) new: Option<Sending>,
}

/// A publication that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) publication: Recorded,
    /// The Replicas that begin to follow the log with it.
    pub(super) begin: BTreeSet<ReplicaId>,
    pub(super) bounds: LogBounds,
}

impl Log {
    fn is_unused(&self) -> bool {
        self.log.memory() == 0 && self.heads.is_empty()
    }
}

impl Logs {
    pub(super) fn has(&self, topic: &LogTopic) -> bool {
        self.all.contains_key(topic)
    }

    /// Begins a log, unless there is one.
    ///
    /// # Errors
    /// The Group has too many.
    pub(super) fn begin(&mut self, topic: &LogTopic, bounds: LogBounds, epoch: LogEpoch) -> Result<(), Error> {
        if self.has(topic) {
            return Ok(());
        }
        if self.all.len() >= MOST_LOGS {
            // Nobody knows a position in a log that has kept nothing for long and is followed by nobody, or would be told `expired`.
            self.all.retain(|_, log| !log.is_unused());
        }
        if self.all.len() >= MOST_LOGS {
            let text = format!("the Group has {MOST_LOGS} logs: no other topic can be published to now");
            return Err(Error::new(Kind::TooMany, text));
        }
        let log = TopicLog::new(&LogHead { position: Position::new(epoch, 0), bounds });
        self.all.insert(topic.clone(), Log { log, heads: Heads::new(0) });
        Ok(())
    }

    /// Numbers a publication for a log that has begun. `audience` are the Replicas that it has to be sent to.
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
        let size = publication.size();
        if self.bytes + size > MOST_BYTES {
            self.all.values_mut().for_each(|log| log.log.expire(now));
            self.bytes = self.all.values().map(|log| log.log.memory()).sum();
        }
        let is_full = self.bytes + size > MOST_BYTES;
        let Log { log, heads } = self.all.get_mut(topic).ok_or_else(no_log)?;
        let before = log.memory();
        let position = |log: &TopicLog, offset| Position::new(log.window().epoch().clone(), offset);
        if is_full && !publication.key.as_ref().is_some_and(|key| log.knows(key, now)) {
            let text =
                format!("the logs of the Group have {MOST_BYTES} bytes: publish again later, or let them keep less");
            return Err(Error::new(Kind::TooMany, text));
        }
        let offset = match log.append(publication, now) {
            Appended::New(offset) => offset,
            Appended::Repeated(offset) => return Ok(Published { position: position(log, offset), new: None }),
            Appended::NotNow => {
                return Err(Error::new(Kind::Unreachable, "the log is being read: publish again later"));
            }
        };
        // In memory, a commit is done at once.
        let _ = log.begin_commit().map(Iterator::count);
        log.commit_succeeded();
        let new = log.next_visible();
        log.expire(now);
        let (begin, bounds) = (heads.follow_only(&audience()), log.window().bounds());
        heads.sent(offset, now);
        let new = new.map(|publication| Sending { publication, begin, bounds });
        let published = Published { position: position(log, offset), new };
        self.bytes = self.bytes - before + log.memory();
        Ok(published)
    }

    /// A page of a log that has begun.
    ///
    /// # Errors
    /// The reason why there is no such page.
    pub(super) fn history(
        &self,
        topic: &LogTopic,
        since: Option<&Position>,
        (order, limit): (PageOrder, u32),
        now: Timestamp,
    ) -> Result<HistoryPage, Error> {
        let window = self.all.get(topic).ok_or_else(no_log)?.log.window();
        let most = AnswerBounds { publications: limit, ..AnswerBounds::RECOVERY };
        match window.page(since, order, most, now) {
            Ok(page) => Ok(HistoryPage { head: window.position(), publications: page.publications, more: page.more }),
            Err(reason) => {
                let text = format!("the log of {topic} has no publications after that position: {reason}");
                Err(Error::new(Kind::Unrecovered(reason), text))
            }
        }
    }

    /// What a Replica has missed of a log that has begun.
    pub(super) fn missed(&self, call: &MissedCall, now: Timestamp) -> Result<MissedAnswer, Error> {
        let Log { log, heads } = self.all.get(&call.topic).ok_or_else(no_log)?;
        let (window, mut since) = (log.window(), call.since.clone());
        if call.begins && since.epoch() == window.epoch() {
            // What came before this position is not for the subscribers there, or an earlier life has given it to them.
            let acknowledged = heads.acknowledged(call.replica).unwrap_or(since.offset());
            since = Position::new(since.epoch().clone(), acknowledged);
        }
        let page = window.page(Some(&since), PageOrder::OldestFirst, AnswerBounds::RECOVERY, now);
        Ok(MissedAnswer { since, missed: Missed { head: window.head(), page } })
    }

    /// A Replica has everything up to this position.
    pub(super) fn acknowledge(&mut self, replica: ReplicaId, topic: &LogTopic, position: &Position, now: Timestamp) {
        let log = self.all.get_mut(topic).filter(|log| log.log.window().epoch() == position.epoch());
        log.into_iter().for_each(|log| log.heads.acknowledge(replica, position.offset(), now));
    }

    /// A life of a Replica is over, and its sockets are closed.
    pub(super) fn forget(&mut self, replica: ReplicaId) {
        self.all.values_mut().for_each(|log| log.heads.remove(replica));
    }

    /// The ends of logs that have to be repeated now, and to whom. `audience` are the Replicas that may still follow the log.
    pub(super) fn due(
        &mut self,
        now: Timestamp,
        audience: impl Fn(&LogTopic) -> BTreeSet<ReplicaId>,
    ) -> Vec<(LogTopic, Position, Vec<ReplicaId>)> {
        let mut due = Vec::new();
        for (topic, Log { log, heads }) in &mut self.all {
            if heads.next_time().is_none_or(|next| next > now) {
                continue;
            }
            heads.keep_only(&audience(topic));
            let replicas = heads.due(now);
            if !replicas.is_empty() {
                due.push((topic.clone(), log.window().position(), replicas));
            }
        }
        due
    }

    /// Removes what is too old. Returns how long the Group may sleep until it has something to do for its logs. `None`: they keep
    /// nothing, and everything is acknowledged.
    pub(super) fn tend(&mut self, now: Timestamp) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for Log { log, heads } in self.all.values_mut() {
            let before = log.memory();
            log.expire(now);
            self.bytes = self.bytes - before + log.memory();
            let repeats = heads.next_time().map(|at| at.since(now).min(WAKES_WITHIN));
            let expires = log.next_expiry().map(|at| at.since(now).max(EXPIRES_AFTER));
            next = repeats.into_iter().chain(expires).chain(next).min();
        }
        next
    }
}

fn no_log() -> Error {
    Error::new(Kind::NoLog, "the topic has no log: Group::log says which topics have one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn replica(name: &str) -> ReplicaId {
        ReplicaId::from_name("room", name)
    }

    fn begin(logs: &mut Logs, name: &str) -> Result<LogTopic, Error> {
        let topic = LogTopic::new(name)?;
        logs.begin(&topic, LogBounds::default(), LogEpoch::new("e")?)?;
        Ok(topic)
    }

    fn publish(logs: &mut Logs, topic: &LogTopic, bytes: usize, now: Timestamp) -> Result<u64, Error> {
        let audience = || BTreeSet::from([replica("a")]);
        let published = logs.publish(topic, NewPublication::new(vec![7; bytes]), audience, now)?;
        Ok(published.position.offset())
    }

    #[test]
    fn the_group_sleeps_until_a_head_has_to_be_repeated_and_then_until_something_is_too_old() {
        let mut logs = Logs::default();
        let topic = begin(&mut logs, "").unwrap();
        assert_eq!(logs.tend(at(0)), None);
        assert_eq!(publish(&mut logs, &topic, 1, at(0)).unwrap(), 1);
        assert_eq!(logs.tend(at(0)), Some(WAKES_WITHIN));
        let both = |_: &LogTopic| BTreeSet::from([replica("a")]);
        let position = Position::new(LogEpoch::new("e").unwrap(), 1);
        assert_eq!(logs.due(at(250), both), [(topic.clone(), position.clone(), vec![replica("a")])]);
        logs.acknowledge(replica("a"), &topic, &position, at(251));
        assert_eq!(logs.tend(at(1000)), Some(Duration::from_secs(299)));
        assert_eq!((logs.tend(at(300_000)), logs.bytes), (None, 0));
        assert_eq!(publish(&mut logs, &topic, 1, at(300_000)).unwrap(), 2, "the log goes on");
    }

    #[test]
    fn one_that_is_no_member_any_more_is_not_reminded() {
        let mut logs = Logs::default();
        let topic = begin(&mut logs, "t").unwrap();
        publish(&mut logs, &topic, 1, at(0)).unwrap();
        assert!(logs.due(at(250), |_| BTreeSet::new()).is_empty());
        assert_eq!(logs.all[&topic].heads.next_time(), None);
    }

    #[test]
    fn a_life_that_begins_goes_on_where_the_one_before_it_was() {
        let mut logs = Logs::default();
        let topic = begin(&mut logs, "").unwrap();
        let position = |offset| Position::new(LogEpoch::new("e").unwrap(), offset);
        for now in [0, 1, 2] {
            publish(&mut logs, &topic, 1, at(now)).unwrap();
        }
        logs.acknowledge(replica("a"), &topic, &position(1), at(3));
        let since = |name, begins| {
            let call = MissedCall { replica: replica(name), topic: topic.clone(), since: position(2), begins };
            let answer = logs.missed(&call, at(4)).unwrap();
            (answer.since.offset(), answer.missed.page.unwrap().publications.len())
        };
        assert_eq!([since("a", true), since("a", false), since("b", true)], [(1, 2), (2, 1), (2, 1)]);
    }

    #[test]
    fn a_group_has_10_000_logs_and_64_mib_in_them() {
        let mut logs = Logs::default();
        let first = begin(&mut logs, "0").unwrap();
        let topics: Vec<_> = (1..MOST_LOGS).map(|number| begin(&mut logs, &number.to_string()).unwrap()).collect();
        // Each log keeps four of them.
        let attempts = topics[..70].iter().flat_map(|topic| [topic; 4]);
        let published = attempts.filter(|topic| publish(&mut logs, topic, 255 * 1024, at(0)).is_ok()).count();
        assert!(published == 256 && logs.bytes <= MOST_BYTES, "{published}, {} bytes", logs.bytes);
        assert!(publish(&mut logs, &first, 255 * 1024, at(1)).unwrap_err().is_too_many());
        // Those that keep nothing make room for others.
        assert!(begin(&mut logs, "more").is_ok() && !logs.has(&first));
        logs.tend(at(300_000));
        assert_eq!(logs.bytes, 0);
    }
}
