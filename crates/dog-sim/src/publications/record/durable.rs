//! What the disk says of durable logs, and what transactions have published: promises 11 and 18.

use std::time::Duration;

use dog::{GroupId, Position, Timestamp};
use dog_engine::log::{LogEntries, Segment};

use super::LogRecord;
use crate::publications::logs_of_run::PUBLISHED;
use crate::publications::transactions::{Outcome, TransactionRecord};

/// For this time after the node of a Group was struck off, its old life may still answer, with what it knew then.
const OLD_LIFE_ANSWERS: Duration = Duration::from_secs(20);

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
        for (topic, key, record) in of_logs() {
            if let (None, Some(kept), Some(disk)) =
                (record, self.of_run.kept(topic), self.disk.get_mut(&(group, topic)))
            {
                disk.deletes(key, kept, now)?;
            }
        }
        Ok(())
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
    pub(super) fn may_be_old(&self, group: GroupId, now: Timestamp) -> bool {
        self.superseded.get(&group).is_some_and(|at| now < *at + OLD_LIFE_ANSWERS)
    }
}
