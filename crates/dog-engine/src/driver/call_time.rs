//! Typed calls to a Group, seen from the caller, and how long they may take.
//!
//! A call that is made while an `on_call` is being polled has nine tenths of the time that is left of that one. So a cycle of
//! calls ends after fewer than a hundred of them, however fast it turns: what is left when a call leaves would not be enough,
//! because the time on the way to another node is not counted, and nodes have no common clock. It also means that `on_call`
//! learns of an inner call that has not ended before its own time is over.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{Kind, LogVerb, LogVerbAnswer};
use dog::{Error, Timestamp};

use super::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::address::GroupAddress;
use crate::fault_injection::{Fault, is_planted};
use crate::host::Host;
use crate::message::{GroupAnswer, GroupCall};

/// The longest time that a caller gives to a Group, whose policy it does not know.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// How much longer a caller waits: the Group's own answer comes first, because it says more.
const GRACE: Duration = Duration::from_secs(1);

thread_local! {
    /// When the `on_call` that this thread polls must have ended.
    static CURRENT: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

/// Polls an `on_call` that must have ended at `deadline`.
pub(super) async fn until<T>(deadline: Timestamp, on_call: impl Future<Output = T>) -> T {
    /// Restores the value also if the user's code panics.
    struct Restore(Option<Timestamp>);

    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }

    let mut on_call = pin!(on_call);
    poll_fn(|context| {
        let _restore = Restore(CURRENT.replace(Some(deadline)));
        on_call.as_mut().poll(context)
    })
    .await
}

/// The time that a call which is made now may take.
fn time_left(now: Timestamp) -> Duration {
    CURRENT.get().map_or(LONGEST, |deadline| deadline.since(now).min(LONGEST) * 9 / 10)
}

/// Calls a Group's `on_call`. Must be polled first where the call is made.
pub(super) async fn call_group<H: Host>(host: &Rc<H>, group: GroupAddress, call: Bytes) -> Result<Bytes, Error> {
    let within = time_left(host.now());
    if within.is_zero() {
        return Err(Error::new(Kind::Deadline, "the time of the call that makes this call is over"));
    }
    if is_planted(Fault::CallsAreRepeated) {
        let repeated = host.call_group(group, GroupCall::Call { call: call.clone(), within });
        host.spawn(Box::pin(async move { drop(repeated.await) }));
    }
    let answer = host.call_group(group, GroupCall::Call { call, within });
    match by_deadline(host, within + GRACE, answer).await? {
        GroupAnswer::Called(reply) => Ok(reply),
        _ => Err(unexpected_answer()),
    }
}

/// Has a Group use the log of a topic. `within`: how long the caller waits, if it knows the Group's policy.
pub(super) async fn call_for_log<H: Host>(
    host: &Rc<H>,
    group: GroupAddress,
    verb: LogVerb,
    within: Option<Duration>,
) -> Result<LogVerbAnswer, Error> {
    // Without the policy, the Group's own answer comes first.
    let (within, mut waits) = within.map_or((LONGEST, LONGEST + GRACE), |within| (within, within));
    if matches!(verb, LogVerb::PublishConfirmed { .. }) {
        // The Replicas answer after the publication has its position.
        waits += ANSWER_DEADLINE;
    }
    match by_deadline(host, waits, host.call_group(group, GroupCall::Log { verb, within })).await? {
        GroupAnswer::Log(answer) => Ok(answer),
        _ => Err(unexpected_answer()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_call_inherits_nine_tenths_of_what_is_left_of_the_call_that_makes_it() {
        assert_eq!(time_left(at(0)), LONGEST);
        let inner = async { [0, 8, 12].map(|second| time_left(at(second))) };
        let left = until(at(10), inner).now_or_never();
        assert_eq!(left, Some([9_000, 1_800, 0].map(Duration::from_millis)));
        assert_eq!(until(at(100), async { time_left(at(0)) }).now_or_never(), Some(LONGEST * 9 / 10));
        assert_eq!(time_left(at(0)), LONGEST);
    }

    #[test]
    fn a_call_that_panics_leaves_nothing_behind() {
        let panics = until(at(10), async { panic!("on purpose") });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panics.now_or_never())).is_err());
        assert_eq!(time_left(at(0)), LONGEST);
    }
}
