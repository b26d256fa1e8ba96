//! When tasks may act: [`TaskRecord`].

use std::collections::BTreeSet;

/// Names an activation of an object: the time in which its value is in memory without a break.
pub(crate) type ActivationId = u64;

/// What is known of tasks. Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug, Default)]
pub(crate) struct TaskRecord {
    next: ActivationId,
    /// The activations whose value was dropped.
    over: BTreeSet<ActivationId>,
    /// The lives that have crashed.
    crashed: BTreeSet<u64>,
}

impl TaskRecord {
    /// An activation begins.
    pub(crate) fn begin_activation(&mut self) -> ActivationId {
        self.next += 1;
        self.next
    }

    /// Records that the value of an activation was dropped.
    pub(crate) fn is_over(&mut self, activation: ActivationId) {
        self.over.insert(activation);
    }

    /// Records that a life has crashed.
    pub(crate) fn crashes(&mut self, life: u64) {
        self.crashed.insert(life);
    }

    /// Promise 21: the task of this activation and this life may act now.
    pub(crate) fn may_act(&self, activation: ActivationId, life: u64, runs: u64) -> Result<(), String> {
        if self.over.contains(&activation) {
            return Err(format!("a task of life {life} acts after its object has left memory"));
        }
        if self.crashed.contains(&life) {
            return Err(format!("a task of life {life} acts after its crash"));
        }
        if life != runs {
            return Err(format!("a task of life {life} acts in life {runs}"));
        }
        Ok(())
    }
}
