//! How many tasks the user's code has in one object: [`Tasks`].

use std::cell::Cell;

use dog::internal::Kind;
use dog::{Error, MAX_TASKS};

/// Counts the tasks that the user's code has spawned in one life of an object. `task` runs them.
#[derive(Debug, Default)]
pub(in crate::driver) struct Tasks {
    running: Cell<usize>,
}

impl Tasks {
    /// One more begins, unless there are [`MAX_TASKS`].
    pub(super) fn begin(&self) -> Result<(), Error> {
        let running = self.running.get();
        if running >= MAX_TASKS {
            let text = format!("the object has {MAX_TASKS} tasks already: wait until some have ended");
            return Err(Error::new(Kind::TooMany, text));
        }
        self.running.set(running + 1);
        Ok(())
    }

    /// One has ended.
    pub(super) fn end(&self) {
        self.running.set(self.running.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_limit_and_a_task_that_ends_makes_room() {
        let tasks = Tasks::default();
        (0..MAX_TASKS).for_each(|_| tasks.begin().unwrap());
        let refused = tasks.begin().unwrap_err();
        assert!(refused.is_too_many() && refused.to_string().contains("1000"), "{refused}");
        tasks.end();
        assert!(tasks.begin().is_ok() && tasks.begin().is_err());
    }
}
