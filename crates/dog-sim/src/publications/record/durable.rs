//! What the disk says of durable logs, what transactions have published, and which logs have begun again: promises 11 and 18.

use std::time::Duration;

use dog::{Error, GroupId, LogEpoch, Position, Timestamp};
use dog_engine::log::{LogEntries, Segment};

use super::{LogRecord, Now};
use crate::publications::logs_of_run::PUBLISHED;
use crate::publications::model::{LogModel, LogReset};
use crate::publications::transactions::{Outcome, TransactionRecord};

/// For this time after the node of a Group was struck off, its old life may still answer, with what it knew then.
const OLD_LIFE_ANSWERS: Duration = Duration::from_secs(20);

/// The key that names a stored log begins with this, and the topic follows.
const NAMES: &[u8] = b"\x01\0";

impl LogRecord {
    /// Records of logs are on disk, or are deleted there.
    pub(crate) fn stores(&mut self, group: GroupId, records: &LogEntries, now: Timestamp) -> Result<(), String> {
        let topic = |key: &[u8]| {
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            PUBLISHED.iter().find(|topic| topic.as_bytes() == name && key.len() == name.len() + 17).copied()
        };
        let of_logs = || records.iter().filter_map(|(key, record)| Some((topic(key)?, key, record)));
        for (topic, key, record) in of_logs() {
            let Some(record) = record else { continue };
            let segment = Segment::decode(key, record).map_err(|error| format!("what is stored: {error}"))?;
            let stored = self.disk.entry((group, topic)).or_default().stores(key, segment)?;
            for (number, position, _) in stored {
                let publication = self.publications.get(&number);
                let Some(publication) = publication.filter(|of| (of.group, of.topic) == (group, topic)) else {
                    return Err(format!(
                        "publication {number} is stored in the log of {topic:?}, which is not its own"
                    ));
                };
                if publication.is_refused {
                    return Err(format!("publication {number} is stored at {position}, but an error has denied it"));
                }
            }
        }
        let named =
            |key: &[u8]| PUBLISHED.iter().find(|topic| key.strip_prefix(NAMES) == Some(topic.as_bytes())).copied();
        let names: Vec<_> = records.iter().filter_map(|(key, record)| Some((named(key)?, record))).collect();
        for (topic, key, record) in of_logs() {
            if let (None, Some(kept), Some(disk)) =
                (record, self.of_run.kept(topic), self.disk.get_mut(&(group, topic)))
            {
                let removes = names.iter().any(|(of, record)| *of == topic && record.is_none());
                disk.deletes(key, removes, kept, now)?;
            }
        }
        names.into_iter().try_for_each(|(topic, record)| {
            let is_purged = record.as_ref().is_some_and(|record| !record.is_empty());
            self.disk.entry((group, topic)).or_default().is_named(is_purged)
        })
    }

    /// A log is to begin again. Returns the epochs that it has had, as far as is known.
    pub(crate) fn begins_again(&mut self, of: (GroupId, &'static str), reset: LogReset) -> Vec<LogEpoch> {
        let mut known = self.log(of.0, of.1).map(LogModel::begins_again).unwrap_or_default();
        if self.is_durable(of.1) {
            known.extend(self.disk.entry(of).or_default().begins_again(reset));
        }
        known
    }

    /// This is the answer. If the log has begun again, none of the epochs that it had before is shown again.
    pub(crate) fn has_begun_again(
        &mut self,
        of: (GroupId, &'static str),
        reset: LogReset,
        known: &[LogEpoch],
        answer: &Result<Option<Position>, Error>,
        now: Now,
    ) -> Result<(), String> {
        let has_log = self.of_run.kept(of.1).is_some();
        self.moment += 1;
        let moment = self.moment;
        match answer {
            Err(error) if error.is_no_log() && has_log => Err(format!("{reset:?} of {:?}, {has_log}: {error}", of.1)),
            Err(_) => Ok(()),
            Ok(_) if !has_log => Err(format!("{reset:?} of {:?}, which has no log", of.1)),
            // An old life may have answered, which knows another log.
            Ok(_) if self.may_be_old(of.0, now.0) => Ok(()),
            Ok(Some(start)) if start.offset() != 0 || known.contains(start.epoch()) => {
                Err(format!("the log of {:?} begins again at {start}, and has had {known:?}", of.1))
            }
            Ok(_) => {
                self.log(of.0, of.1).into_iter().for_each(|log| log.has_begun_again(known, moment));
                let disk = self.disk.get(&of).filter(|_| reset == LogReset::Purge);
                disk.map_or(Ok(()), |disk| disk.check_purged(known))
            }
        }
    }

    /// Since which moment the epoch of a position is gone, because its log has begun again.
    pub(super) fn gone(&self, of: (GroupId, &'static str), position: &Position) -> Option<u64> {
        self.logs.get(&of).and_then(|log| log.gone(position.epoch()))
    }

    /// The current life of a Group shows a publication.
    ///
    /// # Errors
    /// It was gone before.
    pub(crate) fn check_not_gone(&self, number: u64, position: &Position) -> Result<(), String> {
        let Some(publication) = self.publications.get(&number) else { return Ok(()) };
        match self.gone((publication.group, publication.topic), position) {
            Some(_) => Err(format!("publication {number} is shown at {position}, and its log had begun again before")),
            None => Ok(()),
        }
    }

    /// Whether the disk has this publication, or has had it.
    pub(super) fn is_stored(&self, group: GroupId, number: u64) -> bool {
        let topic = self.publications.get(&number).map_or("", |publication| publication.topic);
        self.disk.get(&(group, topic)).is_some_and(|disk| disk.has(number))
    }

    /// Who has got the position of a publication, or is shown it: a durable log has it there.
    pub(super) fn check_on_disk(
        &self,
        of: (GroupId, &'static str),
        position: &Position,
        number: u64,
    ) -> Result<(), String> {
        if !self.is_durable(of.1) {
            return Ok(());
        }
        self.disk.get(&of).cloned().unwrap_or_default().check_shown(position, number)
    }

    /// A transaction begins to publish.
    pub(crate) fn transaction_begins(&mut self, group: GroupId, numbers: Vec<u64>) {
        self.transactions.push(TransactionRecord { group, numbers, outcome: Outcome::Unknown });
    }

    /// The transaction that publishes `number` has ended.
    pub(crate) fn transaction_ends(&mut self, number: u64, outcome: Outcome) {
        let transaction = self.transactions.iter_mut().find(|transaction| transaction.numbers.contains(&number));
        let Some(transaction) = transaction else { return };
        transaction.outcome = outcome;
        for number in transaction.numbers.iter().filter(|_| outcome == Outcome::Refused) {
            self.publications.entry(*number).and_modify(|publication| publication.is_refused = true);
        }
    }

    /// Each transaction has written its entry and has published everything, or nothing of it has happened. `has_entry` says
    /// whether the entry of a transaction is on disk.
    pub(crate) fn check_transactions(&self, has_entry: impl Fn(GroupId, u64) -> bool) -> Result<(), String> {
        for TransactionRecord { group, numbers, outcome } in &self.transactions {
            let entry = numbers.first().is_some_and(|number| has_entry(*group, *number));
            let published: Vec<bool> = numbers.iter().map(|number| self.is_stored(*group, *number)).collect();
            let is_half = published.iter().any(|published| *published != entry);
            if is_half || (*outcome != Outcome::Unknown && entry != (*outcome == Outcome::Made)) {
                return Err(format!(
                    "a transaction with {numbers:?} has ended as {outcome:?}: its entry: {entry}, its publications: {published:?}"
                ));
            }
        }
        Ok(())
    }

    /// The node of a life of a Group was struck off. Until it notices, that life may answer with what it knew then.
    pub(crate) fn is_superseded(&mut self, group: GroupId, now: Timestamp) {
        self.superseded.insert(group, now);
    }

    /// Whether an old life of a Group may have answered.
    pub(crate) fn may_be_old(&self, group: GroupId, now: Timestamp) -> bool {
        self.superseded.get(&group).is_some_and(|at| now < *at + OLD_LIFE_ANSWERS)
    }
}
