//! Typed calls, which the user's `on_call` answers: their bounds, their deadline, and what their callers get.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{Kind, decode, encode_call};
use dog::{Error, Failure, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::driver::call_time::until;
use crate::driver::calls::ended_within;
use crate::driver::failures::{UserFunction, report_failure};
use crate::driver::object::{Living, answer, start};
use crate::driver::quota::{InProgress, Quota};
use crate::host::{HostObserver, Occurrence, Scheduler};
use crate::message::GroupAnswer;
use crate::reply::Reply;

/// The most calls that are in progress in one Group.
const MOST_CALLS: usize = 10_000;

/// The most bytes of calls that are in progress in one Group.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The calls in progress.
#[derive(Debug)]
pub(super) struct Calls {
    quota: Rc<Quota>,
}

impl Default for Calls {
    fn default() -> Self {
        Self { quota: Quota::new(MOST_CALLS, MOST_BYTES) }
    }
}

impl Calls {
    /// Admits one more call with this many bytes, if the Group has not too many.
    fn admit(&self, bytes: usize) -> Result<InProgress, Error> {
        let too_many = || Error::new(Kind::Unreachable, "the Group has too many calls in progress: try again later");
        self.quota.admit(bytes).ok_or_else(too_many)
    }

    /// Answers a call by the user's `on_call`, when the Group is in memory.
    pub(super) fn begin<O: Living, C: DeserializeOwned, R: Serialize>(
        self: &Rc<Self>,
        group: &Rc<O>,
        woken: impl Future<Output = Result<Rc<O::Value>, Error>> + 'static,
        (call, within): (Bytes, Duration),
        reply: Reply<GroupAnswer>,
        call_deadline: fn(&O::Value) -> Duration,
        on_call: impl AsyncFnOnce(Rc<O::Value>, C) -> dog::Result<R> + 'static,
    ) {
        let mut counted = Counted::begin(Rc::clone(group.core().host()));
        let admission = match self.admit(call.len()) {
            Ok(admission) => admission,
            Err(error) => return reply.send(Err(error)),
        };
        let (this, arrived) = (Rc::clone(group), group.core().host().now());
        start(group, async move {
            let outcome = async {
                let awake = woken.await?;
                let allowed = call_deadline(&awake).min(within);
                let outcome = run(&*this, &call, (arrived, allowed), async |call| on_call(awake, call).await).await;
                counted.ok = outcome.is_ok();
                outcome.map_err(|Refusal { error, cause }| {
                    let (host, object) = (&**this.core().host(), this.core().object());
                    report_failure(host, UserFunction::OnCall, Some(object), None, &cause);
                    error
                })
            };
            answer(reply, outcome).await;
            drop((admission, counted));
        });
    }
}

/// Tells the host of one call. Dropped when it has ended.
struct Counted<H: HostObserver> {
    host: Rc<H>,
    ok: bool,
}

impl<H: HostObserver> Counted<H> {
    fn begin(host: Rc<H>) -> Self {
        host.occurred(Occurrence::CallBegins);
        Self { host, ok: false }
    }
}

impl<H: HostObserver> Drop for Counted<H> {
    fn drop(&mut self) {
        self.host.occurred(Occurrence::CallEnded { ok: self.ok });
    }
}

/// A call without a reply: what the caller gets, and what the log says.
struct Refusal {
    error: Error,
    cause: Failure,
}

impl Refusal {
    /// The caller is told everything.
    fn open(kind: Kind, text: String) -> Self {
        Self { error: Error::new(kind, text.as_str()), cause: Error::new(kind, text).into() }
    }
}

async fn run<C: DeserializeOwned, R: Serialize>(
    group: &impl Living,
    call: &[u8],
    (arrived, allowed): (Timestamp, Duration),
    on_call: impl AsyncFnOnce(C) -> dog::Result<R>,
) -> Result<GroupAnswer, Refusal> {
    let host = group.core().host();
    let late = |done| {
        let text = format!("on_call {done} within {allowed:?}, the time of its caller or Policy::call_deadline");
        Refusal::open(Kind::Deadline, text)
    };
    let deadline = arrived + allowed;
    let left = deadline.since(host.now());
    if left.is_zero() {
        return Err(late("could not begin"));
    }
    let call = decode(call)
        .map_err(|_| Refusal::open(Kind::Encoding, "the bytes are not a Group::Call of this release".into()))?;
    match ended_within(host, left, until(deadline, on_call(call))).await {
        Some(Ok(reply)) => match encode_call("reply", &reply) {
            Ok(reply) => Ok(GroupAnswer::Called(reply)),
            Err(error) => Err(Refusal::open(error.kind(), error.to_string())),
        },
        Some(Err(cause)) => Err(Refusal { error: Error::new(Kind::Handler, "the Group's on_call failed"), cause }),
        None => Err(late("has not ended")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_in_progress_are_bounded_by_number_and_by_bytes() {
        let calls = Rc::new(Calls::default());
        let mut all: Vec<InProgress> = (0..MOST_CALLS).map(|_| calls.admit(1).unwrap()).collect();
        assert!(calls.admit(1).unwrap_err().is_unreachable());
        all.pop();
        all.push(calls.admit(1).unwrap());
        all.clear();
        let large = calls.admit(MOST_BYTES).unwrap();
        assert!(calls.admit(1).unwrap_err().is_unreachable());
        drop(large);
        assert!(calls.admit(MOST_BYTES).is_ok());
    }
}
