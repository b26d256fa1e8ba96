//! [`Backpressure`]: which sockets are not read because receivers cannot keep up with what their clients send.
//!
//! A socket is held back while it sends to a worker that is full, or sends much to a Group with a member that lags.
//! Messages from other sources are limited by refusing them instead.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use dog::SocketId;
use dog_engine::address::GroupAddress;

/// How often lagging sockets and full workers are checked.
const CHECK: Duration = Duration::from_millis(50);

/// After this many checks (6 s), lagging sockets of another worker do not hold anybody back any more. That worker gives
/// them up earlier, unless it is stuck.
const REMOTE_CHECKS: u8 = 120;

#[derive(Default)]
pub(super) struct Backpressure {
    /// The sockets of this worker that are held back.
    held_back: RefCell<Vec<SocketId>>,
    /// Groups with lagging sockets on another worker, each with that worker and the number of checks since it reported
    /// them.
    lag_elsewhere: RefCell<HashMap<(GroupAddress, usize), u8>>,
    next_check: Cell<Option<Instant>>,
}

impl Backpressure {
    /// Notes whether another worker has lagging sockets of a Group.
    pub(super) fn lags_elsewhere(&self, group: GroupAddress, worker: usize, lags: bool) {
        let mut all = self.lag_elsewhere.borrow_mut();
        if lags {
            all.insert((group, worker), 0);
        } else {
            all.remove(&(group, worker));
        }
    }

    /// Returns whether any socket of another worker lags.
    #[inline]
    pub(super) fn any_lags_elsewhere(&self) -> bool {
        !self.lag_elsewhere.borrow().is_empty()
    }

    /// Returns whether a socket of this Group lags on one of the other workers.
    pub(super) fn group_lags_elsewhere(&self, group: GroupAddress, workers: usize) -> bool {
        let all = self.lag_elsewhere.borrow();
        (0..workers).any(|worker| all.contains_key(&(group, worker)))
    }

    pub(super) fn hold_back(&self, socket: SocketId) {
        self.held_back.borrow_mut().push(socket);
    }

    /// Returns the sockets that are held back, and forgets them. The caller must read them or hold them back again.
    pub(super) fn take_held_back(&self) -> Vec<SocketId> {
        std::mem::take(&mut *self.held_back.borrow_mut())
    }

    /// Schedules the next check if `waits` is true and none is scheduled.
    #[inline]
    pub(super) fn schedule(&self, waits: bool, now: Instant) {
        if waits && self.next_check.get().is_none() {
            self.next_check.set(Some(now + CHECK));
        }
    }

    /// Completes when the next check is due.
    pub(super) async fn is_due(&self) {
        match self.next_check.get() {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Returns whether the check is due. If so, it counts as done.
    pub(super) fn begin_check(&self, now: Instant) -> bool {
        if self.next_check.get().is_none_or(|at| now < at) {
            return false;
        }
        self.next_check.set(None);
        self.lag_elsewhere.borrow_mut().retain(|_, checks| {
            *checks += 1;
            *checks < REMOTE_CHECKS
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use dog::GroupId;
    use dog_engine::address::ClassIndex;

    use super::*;

    #[test]
    fn checks_come_only_while_somebody_waits_and_other_workers_are_not_waited_for_for_ever() {
        let (waits, start) = (Backpressure::default(), Instant::now());
        let group = GroupAddress { class: ClassIndex(0), group: GroupId::from_name("class", "a") };
        waits.schedule(false, start);
        assert!(!waits.begin_check(start + CHECK), "no check was scheduled");
        waits.lags_elsewhere(group, 1, true);
        assert!(waits.group_lags_elsewhere(group, 2) && !waits.group_lags_elsewhere(group, 1));
        let mut now = start;
        for _ in 0..REMOTE_CHECKS {
            assert!(waits.any_lags_elsewhere());
            waits.schedule(true, now);
            assert!(!waits.begin_check(now), "too early");
            now += CHECK;
            assert!(waits.begin_check(now));
        }
        assert!(!waits.any_lags_elsewhere());
    }
}
