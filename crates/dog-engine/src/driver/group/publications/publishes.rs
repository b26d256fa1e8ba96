//! A Group that numbers publications: [`Publishes`], and what it has for it: [`Publications`].

use std::cell::{Cell, RefCell};
use std::time::Duration;

use dog::internal::{LogTopic, Logs as Feature};
use dog::{Log, ReplicaId, Timestamp};

use super::log_calls::{CommitQueue, Waking};
use super::logs::Logs;
use crate::driver::group::confirmations::Confirmations;
use crate::driver::group::verbs::Speaks;
use crate::driver::sleep::Sleep;
use crate::log::LogTopics;
use crate::message::Acknowledgement;

/// The logs of a Group, and the calls about them that wait.
#[derive(Default)]
pub(in crate::driver::group) struct Publications {
    logs: RefCell<Logs>,
    /// Which topics have a durable log.
    names: RefCell<LogTopics>,
    commits: RefCell<CommitQueue>,
    waking: RefCell<Waking>,
    confirmations: Confirmations,
    /// Whether a task waits until the Group is in memory.
    wakes: Cell<bool>,
    /// Whether a task tends the logs.
    is_tended: Cell<bool>,
    /// Its sleep.
    sleep: Sleep,
    /// Whether those who follow durable logs were told where they end.
    has_reminded: Cell<bool>,
}

impl Publications {
    pub(super) fn logs(&self) -> &RefCell<Logs> {
        &self.logs
    }

    pub(super) fn names(&self) -> &RefCell<LogTopics> {
        &self.names
    }

    pub(super) fn commits(&self) -> &RefCell<CommitQueue> {
        &self.commits
    }

    pub(super) fn waking(&self) -> &RefCell<Waking> {
        &self.waking
    }

    pub(super) fn confirmations(&self) -> &Confirmations {
        &self.confirmations
    }

    pub(super) fn wakes(&self) -> &Cell<bool> {
        &self.wakes
    }

    pub(super) fn has_reminded(&self) -> &Cell<bool> {
        &self.has_reminded
    }

    pub(super) fn is_tended(&self) -> &Cell<bool> {
        &self.is_tended
    }

    pub(super) fn sleep(&self) -> &Sleep {
        &self.sleep
    }

    /// What a durable log has under way is stored, or has failed.
    pub(super) fn settle(&self, topic: &LogTopic, is_durable: bool) {
        if let Some(log) = self.logs.borrow_mut().stored(topic) {
            if is_durable {
                log.succeeded();
            } else {
                log.failed();
            }
        }
    }

    /// Whether the Group has to stay in memory: it keeps publications or keys, or does not know that all Replicas have them.
    pub(in crate::driver::group) fn are_kept(&self, now: Timestamp) -> bool {
        let waits = || !self.waking.borrow().is_empty() || !self.commits.borrow().is_empty();
        Feature::ON && (waits() || self.logs.borrow_mut().tend(now).is_some())
    }

    /// The life is over. Callers get an error.
    pub(in crate::driver::group) fn clear(&self) {
        if !Feature::ON {
            return;
        }
        let (waiting, logs, commits) = (self.waking.take(), self.logs.take(), self.commits.take());
        drop((waiting, logs, commits));
    }

    /// A Replica has publications.
    pub(in crate::driver::group) fn acknowledged(&self, acknowledgement: &Acknowledgement, now: Timestamp) {
        let mut logs = self.logs.borrow_mut();
        for (topic, position) in &acknowledgement.positions {
            logs.acknowledge(acknowledgement.replica, topic, position, now);
        }
    }

    /// A life of a Replica is over, and its sockets are closed.
    pub(in crate::driver::group) fn forget(&self, replica: ReplicaId) {
        if Feature::ON {
            self.logs.borrow_mut().forget(replica);
        }
    }
}

/// A Group that numbers publications.
pub(in crate::driver::group) trait Publishes: Speaks {
    fn publications(&self) -> &Publications;
    /// The user's function.
    fn log(value: &Self::Value, topic: &str) -> Log;
    /// How long a publication may wait.
    fn deadline(value: &Self::Value) -> Duration;
    /// Goes on with purges, as far as that is possible now: [`go_on`](super::unfinished::go_on).
    fn go_on_with_purges(&self);
}
