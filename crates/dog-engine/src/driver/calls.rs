//! Calls with a deadline, and calls to many.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use dog::internal::Kind;
use dog::{Error, ReplicaId};
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::address::Targets;
use crate::host::{CallPermits, Host};
use crate::message::{ReplicaAnswer, ReplicaCall};

/// How long an object waits for another's answer.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(3);

pub(crate) fn too_late() -> Error {
    Error::new(Kind::Deadline, "no answer came by the deadline")
}

/// An answer that no such call has: only a fault of the engine itself.
pub(crate) fn unexpected() -> Error {
    Error::new(Kind::Unreachable, "the answer was of another kind than the question")
}

/// `call`'s answer, or an error after `deadline`.
pub(crate) async fn by_deadline<T>(
    host: &Rc<impl Host>,
    deadline: Duration,
    call: impl Future<Output = Result<T, Error>> + Unpin,
) -> Result<T, Error> {
    match select(call, host.sleep(deadline)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(too_late()),
    }
}

/// What one of the user's functions returns that others wait for, or an error after `deadline`: then it is dropped where it
/// waits. Most never wait, and cost no timer.
pub(crate) async fn in_time<T>(
    host: &Rc<impl Host>,
    deadline: Duration,
    name: &'static str,
    function: impl Future<Output = dog::Result<T>>,
) -> dog::Result<T> {
    let mut function = std::pin::pin!(function);
    if let Some(returned) = poll_fn(|context| Poll::Ready(poll_once(function.as_mut(), context))).await {
        return returned;
    }
    match select(function, host.sleep(deadline)).await {
        Either::Left((returned, _)) => returned,
        Either::Right(_) => Err(too_slow(name, deadline).into()),
    }
}

fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>, context: &mut Context<'_>) -> Option<T> {
    match future.poll(context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn too_slow(name: &str, deadline: Duration) -> Error {
    let text = format!("{name} has not ended within {deadline:?}, the Group's ACTIVATE_DEADLINE: it was given up");
    Error::new(Kind::Deadline, text)
}

/// Asks all at once, and gives what was answered by the deadline, in the order of the targets.
pub(crate) async fn ask_all(
    host: &Rc<impl Host>,
    targets: &Targets,
    call: &ReplicaCall,
    deadline: Duration,
) -> Vec<(ReplicaId, Result<ReplicaAnswer, Error>)> {
    ask_by_leave(host, targets, call, deadline, None).await
}

/// The same on behalf of a handler, which first waits for [permits](crate::host::Transport::acquire_calls): that takes from its deadline. Without
/// leave nobody is asked.
pub(crate) async fn ask_in_turn(
    host: &Rc<impl Host>,
    targets: &Targets,
    call: &ReplicaCall,
) -> Vec<(ReplicaId, Result<ReplicaAnswer, Error>)> {
    let many = targets.iter().count();
    if many == 0 {
        return Vec::new();
    }
    let began = host.now();
    match by_deadline(host, ANSWER_DEADLINE, host.acquire_calls(many)).await {
        Ok(leave) => {
            let left = ANSWER_DEADLINE.saturating_sub(host.now().since(began));
            ask_by_leave(host, targets, call, left, Some(leave)).await
        }
        Err(error) => {
            targets.iter().map(|replica| (replica, Err(Error::new(error.kind(), error.to_string())))).collect()
        }
    }
}

async fn ask_by_leave(
    host: &Rc<impl Host>,
    targets: &Targets,
    call: &ReplicaCall,
    deadline: Duration,
    mut leave: Option<Box<dyn CallPermits>>,
) -> Vec<(ReplicaId, Result<ReplicaAnswer, Error>)> {
    let replicas: Vec<ReplicaId> = targets.iter().collect();
    if replicas.is_empty() {
        return Vec::new();
    }
    let ask = |at: usize| {
        let answer = host.call_replica(targets.address(replicas[at]), call.clone());
        async move { (at, answer.await) }
    };
    let mut asked: FuturesUnordered<_> = (0..replicas.len()).map(ask).collect();
    let mut answers: Vec<Option<Result<ReplicaAnswer, Error>>> = replicas.iter().map(|_| None).collect();
    let mut end = host.sleep(deadline);
    while let Either::Left((Some((at, answer)), rest)) = select(asked.next(), end).await {
        answers[at] = Some(answer);
        leave.iter_mut().for_each(|leave| leave.release_one());
        end = rest;
    }
    let answers = answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(too_late())));
    replicas.into_iter().zip(answers).collect()
}
