//! `Socket::resume`: a client that comes back is told how much it has missed, and gets it.

use std::rc::{Rc, Weak};

use dog::internal::{Kind, LogTopic, Position, Recovered, Unrecovered};
use dog::{Error, SocketId};
use futures_channel::oneshot;

use super::askings::{Outcome, Waiting};
use super::catch_ups::Next;
use super::followers::{Follows, acknowledge_passed, acknowledge_soon, deliver_what_waits, fetch, living};
use super::replaying::go_on_soon;
use super::topics;
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::driver::object::Activation;
use crate::host::{Scheduler, Transport};
use crate::log::Recovery;
use crate::message::{GroupAnswer, GroupCall, TailCall};

/// A call of `resume`. Until it is dropped, publications of the topic wait for the socket.
struct Resuming<R: Follows> {
    driver: Weak<R>,
    topic: LogTopic,
    socket: SocketId,
}

impl<R: Follows> Drop for Resuming<R> {
    fn drop(&mut self) {
        let Some(driver) = living(&self.driver) else { return };
        let next = driver.followers().catch_ups().borrow_mut().end_resume(&self.topic, self.socket);
        if next == Next::GoOn {
            // In a later turn: the caller can send something before it.
            go_on_soon(&*driver, &self.topic, self.socket);
        }
    }
}

/// Subscribes a socket, and begins to replay what came after a position.
pub(super) async fn resume<R: Follows>(
    driver: &R,
    activation: &Activation,
    socket: SocketId,
    topic: LogTopic,
    since: Position,
) -> Outcome {
    let client = driver.seats().borrow().client(socket).cloned().ok_or_else(|| Error::of_socket(socket))?;
    if client.awaits_assignment() {
        return Ok(Err(Unrecovered::NotPermitted));
    }
    let was_subscribed = is_subscribed(driver, &topic, socket);
    driver.followers().catch_ups().borrow_mut().begin_resume(&topic, socket);
    let resuming = Resuming { driver: driver.weak(), topic: topic.clone(), socket };
    if let Some(topic) = topic.topic() {
        topics::subscribe(driver, activation, socket, topic.clone()).await?;
    }
    let outcome = recover(driver, &topic, socket, since).await;
    activation.check()?;
    topics::check_open(driver, socket)?;
    if let (false, Some(topic), Err(_) | Ok(Err(_))) = (was_subscribed, topic.topic(), &outcome) {
        topics::unsubscribe(driver, socket, topic)?;
    }
    drop(resuming);
    outcome
}

fn is_subscribed<R: Follows>(driver: &R, topic: &LogTopic, socket: SocketId) -> bool {
    let seats = driver.seats().borrow();
    let is_open = seats.client(socket).is_some();
    is_open && topic.topic().is_none_or(|topic| seats.topics().of_socket(socket).any(|own| own == topic))
}

async fn recover<R: Follows>(driver: &R, topic: &LogTopic, socket: SocketId, since: Position) -> Outcome {
    let host = Rc::clone(driver.core().host());
    if let Recovery::Known(known) = driver.followers().recover(topic, &since, host.now()) {
        return Ok(decide(driver, topic, socket, &since, known));
    }
    let (reply, receiver) = oneshot::channel();
    wait(driver, topic, Waiting { socket, since, is_late: false, reply });
    let closed = |_| Err(Error::of_socket(socket));
    let outcome = futures_util::FutureExt::map(receiver, |outcome| outcome.unwrap_or_else(closed));
    by_deadline(&host, ANSWER_DEADLINE, outcome).await
}

/// Asks the Group for the newest publications, once for all sockets that wait for them.
fn wait<R: Follows>(driver: &R, topic: &LogTopic, waiting: Waiting) {
    let Waiting { socket, since, reply, .. } = waiting;
    if !driver.followers().askings().borrow_mut().wait(topic, socket, since, reply) {
        return;
    }
    acknowledge_passed(driver, topic);
    let (replica, most) = (driver.seats().borrow().replica(), driver.followers().most());
    let subscribed = driver.subscribed_since(topic).unwrap_or(driver.core().host().now());
    let call = GroupCall::Tail(TailCall { replica, topic: topic.clone(), subscribed, most });
    let answer = driver.core().host().call_group(driver.group(), call);
    let (host, weak, topic) = (Rc::clone(driver.core().host()), driver.weak(), topic.clone());
    driver.core().host().spawn(Box::pin(async move {
        let answer = match by_deadline(&host, ANSWER_DEADLINE, answer).await {
            Ok(GroupAnswer::Tail(answer)) => Ok(answer),
            Ok(_) => Err(unexpected_answer()),
            Err(error) => Err(error),
        };
        let Some(driver) = living(&weak) else { return };
        match answer {
            Ok(tail) => {
                driver.followers().askings().borrow_mut().answered(&topic, tail);
                settle(&*driver, &topic);
            }
            Err(error) => {
                let waiting = driver.followers().askings().borrow_mut().take(&topic);
                refuse(waiting, &error);
            }
        }
    }));
}

/// Tells the sockets that wait for the Group's answer what they have missed, if it has come and can be used.
pub(super) fn settle<R: Follows>(driver: &R, topic: &LogTopic) {
    let (followers, now) = (driver.followers(), driver.core().host().now());
    let Some(tail) = followers.askings().borrow().tail(topic).cloned() else { return };
    if driver.has_subscribers(topic) && !followers.fill(topic, &tail, now) {
        // The log seems to have another epoch, or it is not known yet where to begin: `log_moved` comes here again.
        if followers.askings().borrow_mut().may_wait(topic) {
            return fetch(driver, topic);
        }
        let waiting = followers.askings().borrow_mut().take(topic);
        return refuse(waiting, &Error::new(Kind::Unreachable, "the log of the topic is not known yet: try again"));
    }
    let waiting = followers.askings().borrow_mut().take(topic);
    deliver_what_waits(driver, topic);
    for waiting in waiting {
        let Waiting { socket, since, is_late, reply } = &waiting;
        if reply.is_canceled() || !is_subscribed(driver, topic, *socket) {
            // The caller has gone, or the socket: its end drops the reply.
            continue;
        }
        let recovery = match followers.recover(topic, since, now) {
            Recovery::AskGroup if !*is_late => followers.recover_now(topic, since, now),
            recovery => recovery,
        };
        match recovery {
            Recovery::Known(known) => {
                let outcome = decide(driver, topic, *socket, since, known);
                // The caller may have gone.
                let _ = waiting.reply.send(Ok(outcome));
            }
            Recovery::AskGroup => wait(driver, topic, waiting),
        }
    }
    fetch(driver, topic);
    acknowledge_soon(driver);
}

fn refuse(waiting: Vec<Waiting>, error: &Error) {
    for Waiting { reply, .. } in waiting {
        // The caller may have gone.
        let _ = reply.send(Err(Error::new(error.kind(), error.to_string())));
    }
}

fn decide<R: Follows>(
    driver: &R,
    topic: &LogTopic,
    socket: SocketId,
    since: &Position,
    known: Result<u64, Unrecovered>,
) -> Result<Recovered, Unrecovered> {
    let count = known?;
    driver.followers().catch_ups().borrow_mut().recovered(topic, socket, since);
    Ok(Recovered { count, position: Position::new(since.epoch().clone(), since.offset() + count) })
}
