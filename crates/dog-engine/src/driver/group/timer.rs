//! The timer of a Group: when its books have to be advanced next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use dog::Timestamp;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, abortable};

use crate::host::{Host, LivenessChecks};

/// At most one timer runs.
#[derive(Debug, Default)]
pub(super) struct Timer {
    next: Cell<Option<Timestamp>>,
    running: RefCell<Option<AbortHandle>>,
}

impl Timer {
    /// Has `fire` called at this deadline, but after `shortest` at the earliest, instead of at the one before. `fire` has to say
    /// that the timer has [fired](Self::fired).
    pub(super) fn schedule<H: Host>(
        &self,
        host: &Rc<H>,
        deadline: Option<Timestamp>,
        shortest: Duration,
        fire: impl FnOnce() + 'static,
    ) {
        if !self.has_to_change(deadline, host.profile().liveness) {
            return;
        }
        self.cancel();
        let Some(deadline) = deadline else { return };
        let (host, delay) = (Rc::clone(host), deadline.since(host.now()).max(shortest));
        let sleep = host.sleep(delay);
        let (task, running) = abortable(async move {
            sleep.await;
            fire();
        });
        self.set(deadline, running);
        host.spawn(Box::pin(task.map(drop)));
    }

    /// Whether the timer has to be changed for this deadline. One that fires too early does no harm where timers are free.
    /// Where a timer keeps the Group in memory, it has to be exact.
    fn has_to_change(&self, deadline: Option<Timestamp>, liveness: LivenessChecks) -> bool {
        match (self.next.get(), deadline) {
            (Some(next), Some(deadline)) => next > deadline || (next < deadline && !liveness.are_timed()),
            (Some(_), None) => !liveness.are_timed(),
            (None, Some(_)) => true,
            (None, None) => false,
        }
    }

    /// Stops the timer.
    pub(super) fn cancel(&self) {
        self.next.set(None);
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    /// A timer runs until this deadline.
    fn set(&self, deadline: Timestamp, running: AbortHandle) {
        self.next.set(Some(deadline));
        self.running.replace(Some(running));
    }

    /// The timer has fired.
    pub(super) fn fired(&self) {
        self.next.set(None);
        self.running.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_changes_if_it_is_too_late_and_also_if_it_is_too_early_where_that_costs() {
        let at = Timestamp::from_millis;
        let (timed, on_demand) = (LivenessChecks::Timed, LivenessChecks::OnDemand);
        let timer = Timer::default();
        assert!(!timer.has_to_change(None, timed));
        assert!(timer.has_to_change(Some(at(5)), timed));
        timer.set(at(5), AbortHandle::new_pair().0);
        for (deadline, changes, changes_on_demand) in
            [(Some(at(5)), false, false), (Some(at(4)), true, true), (Some(at(6)), false, true), (None, false, true)]
        {
            assert_eq!(timer.has_to_change(deadline, timed), changes, "{deadline:?}");
            assert_eq!(timer.has_to_change(deadline, on_demand), changes_on_demand, "{deadline:?}");
        }
        timer.fired();
        assert!(timer.has_to_change(Some(at(9)), timed));
    }
}
