//! Calls with a deadline, and calls to many Replicas at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use dog::internal::{GroupVerb, Kind, LocalFuture, VerbAnswer};
use dog::{Error, ReplicaId};
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::address::{GroupAddress, Targets};
use crate::host::{CallPermits, Host};
use crate::message::{GroupAnswer, GroupCall, ReplicaAnswer, ReplicaCall};

/// How long an object waits for another's answer.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(3);

pub(super) fn deadline_passed() -> Error {
    Error::new(Kind::Deadline, "no answer came by the deadline")
}

/// An answer that does not belong to its call. Only a fault of the engine causes it.
pub(super) fn unexpected_answer() -> Error {
    Error::new(Kind::Unreachable, "the answer was of another kind than the call")
}

/// The answer of `call`, or an error after `deadline`.
pub(super) async fn by_deadline<T>(
    host: &Rc<impl Host>,
    deadline: Duration,
    call: impl Future<Output = Result<T, Error>> + Unpin,
) -> Result<T, Error> {
    match select(call, host.sleep(deadline)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(deadline_passed()),
    }
}

/// What a function of the user returns, or an error after `deadline`: then the function is dropped where it waits. Most
/// functions never wait, and cost no timer.
pub(super) async fn user_function_by_deadline<T>(
    host: &Rc<impl Host>,
    deadline: Duration,
    name: &'static str,
    function: impl Future<Output = dog::Result<T>>,
) -> dog::Result<T> {
    ended_within(host, deadline, function).await.unwrap_or_else(|| Err(too_slow(name, deadline).into()))
}

/// What a function of the user returns, or `None` after `time`: then the function is dropped where it waits.
pub(super) async fn ended_within<T>(
    host: &Rc<impl Host>,
    time: Duration,
    function: impl Future<Output = T>,
) -> Option<T> {
    let mut function = std::pin::pin!(function);
    if let Some(returned) = first_poll(function.as_mut()).await {
        return Some(returned);
    }
    match select(function, host.sleep(time)).await {
        Either::Left((returned, _)) => Some(returned),
        Either::Right(_) => None,
    }
}

/// Polls a future once. Returns its output if it does not have to wait.
pub(super) async fn first_poll<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn too_slow(name: &str, deadline: Duration) -> Error {
    let text = format!("{name} has not ended within {deadline:?}, the Group's ACTIVATE_DEADLINE: it was given up");
    Error::new(Kind::Deadline, text)
}

/// Has a Group reach or count sockets.
pub(super) async fn call_for_verb(
    host: &Rc<impl Host>,
    group: GroupAddress,
    verb: GroupVerb,
) -> Result<VerbAnswer, Error> {
    match by_deadline(host, ANSWER_DEADLINE, host.call_group(group, GroupCall::Verb(verb))).await? {
        GroupAnswer::Verb(answer) => Ok(answer),
        _ => Err(unexpected_answer()),
    }
}

/// Calls all targets at once. Returns their answers in the order of the targets; a target that did not answer by the
/// deadline has an error.
pub(super) async fn call_all(
    host: &Rc<impl Host>,
    targets: &Targets,
    call: &ReplicaCall,
    deadline: Duration,
) -> Vec<(ReplicaId, Result<ReplicaAnswer, Error>)> {
    call_all_with(host, targets, call, deadline, None).await
}

/// The same on behalf of a user's handler, with [`ANSWER_DEADLINE`] for all of it: first it waits for
/// [permits](crate::host::Transport::acquire_calls). Without permits no target is called.
pub(super) async fn call_all_for_handler(
    host: &Rc<impl Host>,
    targets: &Targets,
    call: &ReplicaCall,
) -> Vec<(ReplicaId, Result<ReplicaAnswer, Error>)> {
    call_all_within(host, targets, call, ANSWER_DEADLINE).await
}

/// The same with this deadline.
pub(super) async fn call_all_within(
    host: &Rc<impl Host>,
    targets: &Targets,
    call: &ReplicaCall,
    deadline: Duration,
) -> Vec<(ReplicaId, Result<ReplicaAnswer, Error>)> {
    let count = targets.iter().count();
    if count == 0 {
        return Vec::new();
    }
    let began = host.now();
    match by_deadline(host, deadline, host.acquire_calls(count)).await {
        Ok(permits) => {
            let left = deadline.saturating_sub(host.now().since(began));
            call_all_with(host, targets, call, left, Some(permits)).await
        }
        Err(error) => {
            targets.iter().map(|replica| (replica, Err(Error::new(error.kind(), error.to_string())))).collect()
        }
    }
}

async fn call_all_with(
    host: &Rc<impl Host>,
    targets: &Targets,
    call: &ReplicaCall,
    deadline: Duration,
    permits: Option<Box<dyn CallPermits>>,
) -> Vec<(ReplicaId, Result<ReplicaAnswer, Error>)> {
    let calls = targets.iter().zip(host.call_replicas(targets, call)).collect();
    answers_within(host, calls, deadline, permits).await
}

/// Waits for the answers to calls that were made. A Replica that did not answer by the deadline has an error.
pub(super) async fn answers_within(
    host: &Rc<impl Host>,
    calls: Vec<(ReplicaId, LocalFuture<Result<ReplicaAnswer, Error>>)>,
    deadline: Duration,
    mut permits: Option<Box<dyn CallPermits>>,
) -> Vec<(ReplicaId, Result<ReplicaAnswer, Error>)> {
    if calls.is_empty() {
        return Vec::new();
    }
    let (replicas, calls): (Vec<ReplicaId>, Vec<_>) = calls.into_iter().unzip();
    let numbered = |(at, answer): (usize, LocalFuture<_>)| async move { (at, answer.await) };
    let mut calls: FuturesUnordered<_> = calls.into_iter().enumerate().map(numbered).collect();
    let mut answers: Vec<Option<Result<ReplicaAnswer, Error>>> = replicas.iter().map(|_| None).collect();
    let mut timer = host.sleep(deadline);
    while let Either::Left((Some((at, answer)), still_running)) = select(calls.next(), timer).await {
        answers[at] = Some(answer);
        permits.iter_mut().for_each(|permits| permits.release_one());
        timer = still_running;
    }
    let answers = answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(deadline_passed())));
    replicas.into_iter().zip(answers).collect()
}
