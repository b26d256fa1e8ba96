//! The clock, timers and tasks of a host.

use std::time::Duration;

use dog::Timestamp;
use dog::internal::LocalFuture;

/// Time and tasks. All tasks of one object run on one thread.
pub trait Scheduler {
    /// The current time.
    fn now(&self) -> Timestamp;
    /// A timer that completes after `duration`.
    fn sleep(&self, duration: Duration) -> LocalFuture<()>;
    /// Runs `task` concurrently with everything else. It is first polled in a later turn of the event loop.
    fn spawn(&self, task: LocalFuture<()>);
}
