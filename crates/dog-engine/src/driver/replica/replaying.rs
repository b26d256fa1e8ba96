//! Sends to sockets that are behind what they have missed, at the pace of their clients.

use std::rc::Rc;

use dog::SocketId;
use dog::internal::{LogTopic, Logs as Feature, Position, ROOM};

use super::catch_ups::{Next, Step};
use super::followers::{ASK_AGAIN, Follows, living};
use super::openings::ON_OPEN_HOLDS;
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::host::{Scheduler, Transport};
use crate::log::AnswerBounds;
use crate::message::{GroupAnswer, GroupCall, MissedCall};

/// How many bytes are sent to a socket before its client has to have taken them.
const AT_ONCE: usize = 64 * 1024;

/// What each publication counts in addition to its bytes.
const KEEPING: usize = 64;

/// How much is fetched at once for sockets that need what the Replica does not keep.
const PAGE: AnswerBounds = AnswerBounds { publications: 256, bytes: 64 * 1024 };

/// Sends to a socket what it has missed, as far as its client takes it now.
fn go_on<R: Follows>(driver: &R, topic: &LogTopic, socket: SocketId) {
    let (followers, mut sent) = (driver.followers(), 0);
    let next = || {
        let step = |window: &_| followers.catch_ups().borrow_mut().step(topic, socket, window);
        // Without a window nothing has come that is not sent.
        followers.with_window(topic, step).unwrap_or(Step::Nothing)
    };
    loop {
        match next() {
            Step::Send(publication) => {
                let rendered = if R::RENDERS { driver.rendered(topic, &publication, socket) } else { None };
                if R::RENDERS && rendered.is_none() {
                    return;
                }
                let message = rendered.as_ref().unwrap_or(&publication.message);
                let bytes = message.len();
                if sent >= AT_ONCE || !driver.outlets().takes(socket, bytes) {
                    followers.catch_ups().borrow_mut().is_full(topic, socket, publication);
                    return go_on_when_drained(driver, topic, socket);
                }
                sent += bytes + KEEPING;
                driver.outlets().deliver(message, &[socket], &[]);
            }
            Step::Fetch => return fetch_page(driver, topic),
            Step::Lost(reason) => return driver.publications_lost(topic, reason, &[socket]),
            Step::Nothing => return,
        }
    }
}

/// The same in a later turn, because the user's code may run now.
pub(super) fn go_on_soon<R: Follows>(driver: &R, topic: &LogTopic, socket: SocketId) {
    let (weak, topic) = (driver.weak(), topic.clone());
    driver.core().host().spawn(Box::pin(async move {
        living(&weak).into_iter().for_each(|driver| go_on(&*driver, &topic, socket));
    }));
}

/// The same when the client has taken what waits for it.
pub(super) fn go_on_when_drained<R: Follows>(driver: &R, topic: &LogTopic, socket: SocketId) {
    let (weak, topic, drained) = (driver.weak(), topic.clone(), driver.outlets().drained(socket));
    driver.core().host().spawn(Box::pin(async move {
        drained.await;
        let Some(driver) = living(&weak) else { return };
        let next = driver.followers().catch_ups().borrow_mut().drained(&topic, socket);
        if next == Next::GoOn {
            go_on(&*driver, &topic, socket);
        }
    }));
}

/// Something has come for the topic.
pub(super) fn all_go_on<R: Follows>(driver: &R, topic: &LogTopic) {
    if driver.followers().catch_ups().borrow().any(topic) {
        let ready = driver.followers().catch_ups().borrow_mut().ready(topic);
        ready.into_iter().for_each(|socket| go_on(driver, topic, socket));
    }
}

/// Asks the Group for what the Replica does not keep, until no socket needs anything: one question at a time.
fn fetch_page<R: Follows>(driver: &R, topic: &LogTopic) {
    let Some(mut since) = begin_fetch(driver, topic) else { return };
    let (host, weak, topic) = (Rc::clone(driver.core().host()), driver.weak(), topic.clone());
    driver.core().host().spawn(Box::pin(async move {
        loop {
            let Some(driver) = living(&weak) else { return };
            let replica = driver.seats().borrow().replica();
            let call = MissedCall { replica, topic: topic.clone(), since: since.clone(), begins: None, most: PAGE };
            let answer = driver.core().host().call_group(driver.group(), GroupCall::Missed(call));
            drop(driver);
            let answer = match by_deadline(&host, ANSWER_DEADLINE, answer).await {
                Ok(GroupAnswer::Missed(answer)) => Ok(answer.missed),
                Ok(_) => Err(unexpected_answer()),
                Err(error) => Err(error),
            };
            if answer.is_err() {
                host.sleep(ASK_AGAIN).await;
            }
            let Some(driver) = living(&weak) else { return };
            let mut catch_ups = driver.followers().catch_ups().borrow_mut();
            let lost = match answer {
                Ok(missed) => catch_ups.fetched(&topic, &since, &missed),
                Err(_) => {
                    catch_ups.fetch_failed(&topic);
                    Vec::new()
                }
            };
            drop(catch_ups);
            lost.into_iter().for_each(|(socket, reason)| driver.publications_lost(&topic, reason, &[socket]));
            all_go_on(&*driver, &topic);
            // Those that have gone on may need something again: then another task asks.
            let Some(next) = begin_fetch(&*driver, &topic) else { return };
            since = next;
        }
    }));
}

fn begin_fetch<R: Follows>(driver: &R, topic: &LogTopic) -> Option<Position> {
    driver.followers().catch_ups().borrow_mut().begin_fetch(topic)
}

/// `on_open` of a socket waits for something: publications to the room wait until it has ended.
pub(super) fn opens<R: Follows>(driver: &R, socket: SocketId) {
    if Feature::ON
        && let Ok(room) = dog::internal::LogTopic::new(ROOM)
    {
        driver.followers().catch_ups().borrow_mut().opens(&room, socket);
    }
}

/// `on_open` of a socket has ended.
pub(super) fn opened<R: Follows>(driver: &R, socket: SocketId) {
    if !Feature::ON || driver.followers().catch_ups().borrow().is_empty() {
        return;
    }
    if let Ok(room) = LogTopic::new(ROOM) {
        let next = driver.followers().catch_ups().borrow_mut().opened(&room, socket);
        if next == Next::GoOn {
            go_on_soon(driver, &room, socket);
        }
    }
}

/// Publications wait for the `on_open` of these sockets: not for ever.
pub(super) fn limit_on_open<R: Follows>(driver: &R, sockets: Vec<SocketId>) {
    let (host, weak) = (Rc::clone(driver.core().host()), driver.weak());
    driver.core().host().spawn(Box::pin(async move {
        host.sleep(ON_OPEN_HOLDS).await;
        let Some(driver) = living(&weak) else { return };
        sockets.into_iter().for_each(|socket| opened(&*driver, socket));
    }));
}
