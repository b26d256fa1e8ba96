//! What tasks of objects do in a run, and the checks of promise 21: a task acts in its own life only, and ticks on time.

use std::time::Duration;

use dog::Timestamp;

use crate::task_record::ActivationId;
use crate::witness::Witness;

/// The value of an object owns one, so that its end is recorded.
#[derive(Debug)]
pub(crate) struct Activation {
    witness: Witness,
    id: ActivationId,
    life: u64,
}

impl Activation {
    /// The activation whose code runs now.
    pub(crate) fn begin(witness: &Witness) -> Self {
        let mut record = witness.record();
        let life = record.running_life();
        let id = record.tasks().begin_activation();
        Self { witness: witness.clone(), id, life }
    }

    /// The number of the life.
    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// A task of this activation with an interval that is made at this moment.
    pub(crate) fn task(&self, now: Timestamp) -> TaskCheck {
        let (period, ticks) = {
            let mut record = self.witness.record();
            (Duration::from_millis(record.random.within(1..=400)), record.random.within(1..=10))
        };
        let (witness, activation, life) = (self.witness.clone(), self.id, self.life);
        TaskCheck { witness, activation, life, began: now, period, left: ticks, due: 0 }
    }
}

impl Drop for Activation {
    fn drop(&mut self) {
        self.witness.record().tasks().is_over(self.id);
    }
}

/// Checks what one task does.
#[derive(Debug)]
pub(crate) struct TaskCheck {
    witness: Witness,
    activation: ActivationId,
    life: u64,
    began: Timestamp,
    period: Duration,
    /// How many ticks it waits for.
    left: u64,
    /// The number of the last tick, with those that were skipped.
    due: u64,
}

impl TaskCheck {
    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    pub(crate) fn witness(&self) -> &Witness {
        &self.witness
    }

    /// A tick has come. Returns whether the task goes on.
    pub(crate) fn ticks(&mut self, skipped: u64, now: Timestamp) -> bool {
        self.due += skipped + 1;
        self.left -= 1;
        let (passed, periods) = (now.since(self.began).as_nanos(), u128::from(self.due));
        // The clock that objects see has whole milliseconds.
        let is_early = passed + 1_000_000 < self.period.as_nanos() * periods;
        let is_bunched = passed >= self.period.as_nanos() * (periods + 1);
        let mut record = self.witness.record();
        let runs = record.running_life();
        let mut outcome = record.tasks().may_act(self.activation, self.life, runs);
        if is_early || is_bunched {
            outcome = Err(format!("tick {} of {:?} comes after {passed} ns", self.due, self.period));
        }
        record.check(21, outcome);
        self.left > 0
    }

    /// A verb of the task has failed, although its life has not ended.
    pub(crate) fn cannot_act(&self, error: &dog::Error) {
        self.witness.record().broken(21, format!("a task of life {} cannot act: {error}", self.life));
    }

    /// Whether the task ends with a panic.
    pub(crate) fn panics(&self) -> bool {
        self.witness.record().random.happens(30)
    }
}
