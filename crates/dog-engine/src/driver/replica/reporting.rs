//! How a Replica reports its seats to its Group: until they are acknowledged, and again when the Group has been silent.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use dog::{Error, Timestamp};

use crate::address::GroupAddress;
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline};
use crate::driver::object::Living;
use crate::host::{Host, Scheduler, Transport};
use crate::message::GroupCast;
use crate::seats::Seats;

/// How long a report waits for its acknowledgement before it is sent again, and the delay of reports that are not urgent.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

/// How long a Replica with seats hears nothing from its Group before it sends a census. A Group that is alive asks more
/// often. One that is not has crashed, and nobody may have had a reason to wake it; but it may owe its members something,
/// such as the view with a sibling whom they do not know.
const SILENCE: Duration = Duration::from_secs(40);

/// How long after that census the next one follows, unless the Group has answered.
const CENSUS_AGAIN: Duration = Duration::from_secs(3);

/// Where a Replica stands with its reports, as plain state.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    /// Whether the last report was not acknowledged yet. What changes meanwhile waits for the acknowledgement: a report
    /// repeats everything before it, so a crowd that comes within one round trip would cause as many reports as it has
    /// clients, each longer than the last.
    unacknowledged: Cell<bool>,
    /// Whether a task repeats reports.
    repeats: Cell<bool>,
    /// Whether a task watches for silence.
    watches: Cell<bool>,
    /// When the Group was last heard.
    heard: Cell<Timestamp>,
    /// Tasks that wait for the acknowledgement of a change.
    waiting: RefCell<Vec<Waker>>,
}

impl Reporting {
    /// The Group has sent something.
    pub(super) fn note_heard(&self, now: Timestamp) {
        self.heard.set(now);
    }

    fn silence_left(&self, now: Timestamp) -> Duration {
        SILENCE.saturating_sub(now.since(self.heard.get()))
    }

    /// Returns whether a report may be sent now.
    fn may_report(&self) -> bool {
        !self.unacknowledged.get()
    }

    fn note_sent(&self) {
        self.unacknowledged.set(true);
    }

    /// The Group has acknowledged a report. Returns whether the changes since then have to be reported.
    fn note_acknowledged(&self) -> bool {
        self.unacknowledged.replace(false)
    }

    /// Returns whether the task that repeats reports has to be started.
    fn begin_repeating(&self) -> bool {
        !self.repeats.replace(true)
    }

    /// Everything is acknowledged.
    fn end_repeating(&self) {
        self.repeats.set(false);
        self.unacknowledged.set(false);
    }

    /// Returns whether the task that watches for silence has to be started.
    fn begin_watching(&self) -> bool {
        !self.watches.replace(true)
    }

    fn end_watching(&self) {
        self.watches.set(false);
    }

    /// Completes when `is_acknowledged` says so. It is asked at every [`wake`](Self::wake).
    async fn wait(&self, is_acknowledged: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
        poll_fn(|context| match is_acknowledged() {
            Ok(true) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
            Ok(false) => {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }

    /// The Group has acknowledged something, or the life has ended.
    pub(super) fn wake(&self) {
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// A Replica that reports its seats.
pub(super) trait Reports: Living {
    fn reporting(&self) -> &Reporting;
    fn seats(&self) -> &RefCell<Seats>;
    fn group(&self) -> GroupAddress;
    fn weak(&self) -> Weak<Self>;
}

/// Reports what the Group has not acknowledged, now and every second until it is acknowledged.
pub(super) fn report<R: Reports>(replica: &R) {
    if !replica.reporting().may_report() {
        return;
    }
    let Some(report) = replica.seats().borrow().report() else { return };
    replica.reporting().note_sent();
    replica.core().host().cast_group(replica.group(), GroupCast::Report(report));
    watch_for_silence(replica);
    repeat(replica);
}

/// Reports that a ticket was used, or that a socket has opened. The Group counts a ticket as a seat until it expires, so this
/// is not urgent: where every message is paid for, it is sent within 1 s, together with what else has changed by then.
pub(super) fn report_newcomer<R: Reports>(replica: &R) {
    if replica.core().host().profile().liveness.are_timed() { report(replica) } else { repeat(replica) }
}

/// Reports everything up to this change, and ends when the Group has acknowledged it, or after 3 s. `check` is asked meanwhile
/// whether the caller may go on.
pub(super) async fn reported<R: Reports>(
    replica: &R,
    change: u64,
    check: impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    report(replica);
    let is_acknowledged = || check().map(|()| replica.seats().borrow().is_acknowledged(change));
    let acknowledged = replica.reporting().wait(is_acknowledged);
    by_deadline(replica.core().host(), ANSWER_DEADLINE, pin!(acknowledged)).await
}

/// The Group has acknowledged a report: what has changed since is reported next.
pub(super) fn acknowledged<R: Reports>(replica: &R) {
    replica.reporting().wake();
    if replica.reporting().note_acknowledged() {
        report(replica);
    }
}

/// Every second, reports what was not acknowledged, until everything is.
fn repeat<R: Reports>(replica: &R) {
    if !replica.reporting().begin_repeating() {
        return;
    }
    let (host, weak, group) = (Rc::clone(replica.core().host()), replica.weak(), replica.group());
    replica.core().host().spawn(Box::pin(async move {
        loop {
            host.sleep(REPORT_AGAIN).await;
            let Some(replica) = living(&weak) else { return };
            let Some(report) = replica.seats().borrow().report() else {
                return replica.reporting().end_repeating();
            };
            host.cast_group(group, GroupCast::Report(report));
        }
    }));
}

/// As long as somebody is seated here, sends a census when the Group has been silent. This wakes a Group that has crashed,
/// and its own census then makes good what it left undone.
fn watch_for_silence<R: Reports>(replica: &R) {
    let timed = replica.core().host().profile().liveness.are_timed();
    if !timed || replica.seats().borrow().occupied() == 0 || !replica.reporting().begin_watching() {
        return;
    }
    let (host, weak, group) = (Rc::clone(replica.core().host()), replica.weak(), replica.group());
    replica.core().host().spawn(Box::pin(async move {
        let mut delay = SILENCE;
        loop {
            host.sleep(delay).await;
            let Some(replica) = living(&weak) else { return };
            if replica.seats().borrow().occupied() == 0 {
                return replica.reporting().end_watching();
            }
            delay = replica.reporting().silence_left(host.now());
            if delay.is_zero() {
                let census = replica.seats().borrow().census();
                host.cast_group(group, GroupCast::Report(census));
                delay = CENSUS_AGAIN;
            }
        }
    }));
}

fn living<R: Reports>(weak: &Weak<R>) -> Option<Rc<R>> {
    weak.upgrade().filter(|replica| !replica.core().life().has_ended())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_report_is_under_way_at_a_time() {
        let reporting = Reporting::default();
        assert!(reporting.may_report());
        assert!(!reporting.note_acknowledged(), "nothing was sent");
        reporting.note_sent();
        assert!(!reporting.may_report());
        assert!(reporting.note_acknowledged(), "what has changed since is next");
        assert!(reporting.may_report());
    }

    #[test]
    fn there_is_one_task_for_each_purpose() {
        let reporting = Reporting::default();
        assert!(reporting.begin_repeating() && !reporting.begin_repeating());
        reporting.note_sent();
        reporting.end_repeating();
        assert!(reporting.may_report(), "everything is acknowledged");
        assert!(reporting.begin_repeating());
        assert!(reporting.begin_watching() && !reporting.begin_watching());
        reporting.end_watching();
        assert!(reporting.begin_watching());
    }

    #[test]
    fn silence_counts_from_the_last_word_of_the_group() {
        let reporting = Reporting::default();
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        reporting.note_heard(at(100));
        assert_eq!(reporting.silence_left(at(110)), Duration::from_secs(30));
        assert_eq!(reporting.silence_left(at(140)), Duration::ZERO);
    }
}
