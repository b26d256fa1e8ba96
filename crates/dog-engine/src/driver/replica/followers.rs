//! The logs that a Replica follows for its sockets: what comes is put into order, what is missing is fetched from the Group, and
//! what has come is acknowledged (promise 17).

use std::rc::{Rc, Weak};
use std::time::Duration;

use dog::internal::{LocalFuture, LogEpoch, LogTopic, Logs as Feature, Position, ROOM, Topic, Unrecovered};
use dog::{Error, Message, SocketId, Timestamp};

use super::confirming::not_counted;
use super::followed_logs::{Came, Followers, Question};
use super::topics::{Subscribable, ask_for_topics};
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::driver::object::watch;
use crate::fault_injection::{Fault, is_planted};
use crate::host::{Scheduler, Transport};
use crate::log::{AnswerBounds, LogHead, Recorded};
use crate::message::{
    Acknowledgement, GroupAnswer, GroupCall, GroupCast, HeadDelivery, MissedAnswer, MissedCall, PublicationDelivery,
    ReplicaAnswer,
};
use crate::reply::Reply;

/// How long acknowledgements are collected before they are sent. The Group repeats the end of a log after 250 ms.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(100);

/// How long a Replica waits before it asks again, if its Group could not be asked.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The number of a question that the Group is being asked, and the answer.
type Asked = (u64, LocalFuture<Result<GroupAnswer, Error>>);

/// Which sockets have taken a publication.
#[derive(Default)]
pub(super) struct Delivered {
    /// How many have.
    pub(super) taken: usize,
    /// Those that have not, because too much waits for them, and stay open.
    pub(super) behind: Vec<SocketId>,
}

/// A Replica that follows logs.
pub(super) trait Follows: Subscribable {
    fn followers(&self) -> &Followers;
    /// To the subscribers of the topic here that are not behind.
    fn deliver_publication(&self, topic: &LogTopic, epoch: &LogEpoch, publication: &Recorded) -> Delivered;
    /// Whether the user's code writes publications as sockets get them.
    const RENDERS: bool;
    /// A publication as the socket gets it. `None` if the user's code has panicked.
    fn rendered(&self, topic: &LogTopic, publication: &Recorded, socket: SocketId) -> Option<Message>;
    /// Whether the topic has subscribers here.
    fn has_subscribers(&self, topic: &LogTopic) -> bool;
    /// Since when the topic has subscribers here. `None` if some are of the life before.
    fn subscribed_since(&self, topic: &LogTopic) -> Option<Timestamp>;
    /// The subscribers of the topic here.
    fn subscribers(&self, topic: &LogTopic) -> Vec<SocketId>;
    /// Tells the user's code that publications are lost for these sockets.
    fn publications_lost(&self, topic: &LogTopic, reason: Unrecovered, sockets: &[SocketId]);
    /// These sockets have fallen behind: they go on when their clients have taken what waits for them.
    fn fell_behind(&self, topic: &LogTopic, sockets: Vec<SocketId>);
    /// These sockets have publications that wait for their `on_open`.
    fn on_open_holds(&self, sockets: Vec<SocketId>);
    /// Something has come: sockets that are behind, or have come back, may go on.
    fn log_moved(&self, topic: &LogTopic);
}

/// A publication has come from the Group. If it wants to know how many sockets take it, it is told when they have.
pub(super) fn publication_came<R: Follows>(
    driver: &R,
    delivery: PublicationDelivery,
    confirm: Option<Reply<ReplicaAnswer>>,
) {
    let PublicationDelivery { topic, epoch, publication, asks, begins } = delivery;
    if asks {
        ask_for_topics(driver);
    }
    if !driver.has_subscribers(&topic) {
        driver.followers().pass(&topic, Position::new(epoch, publication.offset));
        confirm.into_iter().for_each(|reply| reply.send(Ok(ReplicaAnswer::Delivered(0))));
        return acknowledge_soon(driver);
    }
    if let Some(bounds) = begins {
        let before = Position::new(epoch.clone(), publication.offset.saturating_sub(1));
        driver.followers().follow(&topic, &LogHead { position: before, bounds });
    }
    let now = driver.core().host().now();
    let came = driver.followers().came(&topic, &epoch, &publication, now);
    match (came, confirm) {
        (Came::Known, Some(reply)) => return reply.send(Err(not_counted())),
        (_, confirm) => {
            let confirming = driver.followers().confirming();
            confirm.into_iter().for_each(|reply| confirming.wait(&topic, publication.offset, reply));
        }
    }
    match came {
        Came::InOrder => {
            deliver(driver, &topic, &epoch, &publication);
            deliver_what_waits(driver, &topic);
            acknowledge_soon(driver);
            driver.log_moved(&topic);
        }
        Came::Known | Came::Later => {}
        Came::Early if is_planted(Fault::GapIsNotNoticed) => deliver(driver, &topic, &epoch, &publication),
        Came::Early => fetch(driver, &topic),
        Came::First => {
            let before = Position::new(epoch, publication.offset.saturating_sub(1));
            driver.followers().begin(topic.clone(), before);
            fetch(driver, &topic);
        }
    }
}

/// The same, when the Group waits until it is delivered.
pub(super) fn publication_called<R: Follows>(
    driver: &Rc<R>,
    delivery: PublicationDelivery,
    reply: Reply<ReplicaAnswer>,
) {
    publication_came(&**driver, delivery, Some(reply));
    watch(driver);
}

/// The Group has said where a log ends, because it misses an acknowledgement.
pub(super) fn head_came<R: Follows>(driver: &R, HeadDelivery { topic, position }: HeadDelivery) {
    if !driver.has_subscribers(&topic) {
        driver.followers().pass(&topic, position);
        return acknowledge_soon(driver);
    }
    if !driver.followers().told(&topic, &position, driver.core().host().now()) {
        driver.followers().begin(topic.clone(), position);
    }
    fetch(driver, &topic);
    acknowledge_soon(driver);
}

/// To all subscribers that are not behind. Those that are get it later.
fn deliver<R: Follows>(driver: &R, topic: &LogTopic, epoch: &LogEpoch, publication: &Recorded) {
    let followers = driver.followers();
    followers.limit(publication.size());
    if followers.catch_ups().borrow().any(topic) {
        let before = Position::new(epoch.clone(), publication.offset - 1);
        note_wait(driver, topic, &before);
    }
    let Delivered { taken, behind } = driver.deliver_publication(topic, epoch, publication);
    followers.confirming().delivered(topic, publication.offset, taken);
    if !behind.is_empty() {
        let before = Position::new(epoch.clone(), publication.offset - 1);
        let mut catch_ups = followers.catch_ups().borrow_mut();
        behind.iter().for_each(|socket| catch_ups.fell_behind(topic, *socket, &before));
        drop(catch_ups);
        driver.fell_behind(topic, behind);
    }
}

/// What comes after this position waits for the sockets that are held.
fn note_wait<R: Follows>(driver: &R, topic: &LogTopic, after: &Position) {
    let first = driver.followers().catch_ups().borrow_mut().waits(topic, after);
    if topic.name() == ROOM && !first.is_empty() {
        driver.on_open_holds(first);
    }
}

pub(super) fn deliver_what_waits<R: Follows>(driver: &R, topic: &LogTopic) {
    let now = driver.core().host().now();
    while let Some((epoch, publication)) = driver.followers().advance(topic, now) {
        deliver(driver, topic, &epoch, &publication);
    }
}

/// Asks the Group for what is missing, until nothing is.
pub(super) fn fetch<R: Follows>(driver: &R, topic: &LogTopic) {
    let Some(asked) = ask(driver, topic) else { return };
    let (host, weak, topic) = (Rc::clone(driver.core().host()), driver.weak(), topic.clone());
    driver.core().host().spawn(Box::pin(async move {
        let mut next = Some(asked);
        while let Some((number, answer)) = next {
            let answer = match by_deadline(&host, ANSWER_DEADLINE, answer).await {
                Ok(GroupAnswer::Missed(answer)) => Ok(answer),
                Ok(_) => Err(unexpected_answer()),
                Err(error) => Err(error),
            };
            let has_failed = answer.is_err();
            let Some(driver) = living(&weak) else { return };
            answered(&*driver, &topic, number, answer);
            drop(driver);
            if has_failed {
                host.sleep(ASK_AGAIN).await;
            }
            next = living(&weak).and_then(|driver| ask(&*driver, &topic));
        }
    }));
}

pub(super) fn living<R: Follows>(weak: &Weak<R>) -> Option<Rc<R>> {
    weak.upgrade().filter(|driver| !driver.core().life().has_ended())
}

/// Asks the next question about a log, if there is one and the Group is not being asked.
fn ask<R: Follows>(driver: &R, topic: &LogTopic) -> Option<Asked> {
    let Question { number, since, begins } = driver.followers().next_question(topic)?;
    if begins {
        acknowledge_passed(driver, topic);
    }
    let (replica, now) = (driver.seats().borrow().replica(), driver.core().host().now());
    let begins = begins.then(|| driver.subscribed_since(topic).unwrap_or(now));
    let call = MissedCall { replica, topic: topic.clone(), since, begins, most: AnswerBounds::RECOVERY };
    Some((number, driver.core().host().call_group(driver.group(), GroupCall::Missed(call))))
}

fn answered<R: Follows>(driver: &R, topic: &LogTopic, number: u64, answer: Result<MissedAnswer, Error>) {
    let now = driver.core().host().now();
    let Some(answered) = driver.followers().answered(topic, number, answer, now) else { return };
    if let Err((reason, before)) = answered {
        tell_lost(driver, topic, reason, &before);
    }
    deliver_what_waits(driver, topic);
    acknowledge_soon(driver);
    driver.log_moved(topic);
}

/// What came after this position is lost. Sockets that are behind find out themselves.
fn tell_lost<R: Follows>(driver: &R, topic: &LogTopic, reason: Unrecovered, before: &Position) {
    driver.followers().confirming().lost(topic);
    note_wait(driver, topic, before);
    let mut sockets = driver.subscribers(topic);
    driver.followers().catch_ups().borrow().retain_others(topic, &mut sockets);
    driver.publications_lost(topic, reason, &sockets);
}

/// Acknowledges what has come, within 100 ms.
pub(super) fn acknowledge_soon<R: Follows>(driver: &R) {
    if !driver.followers().begin_acknowledging() {
        return;
    }
    let (host, weak) = (Rc::clone(driver.core().host()), driver.weak());
    driver.core().host().spawn(Box::pin(async move {
        loop {
            host.sleep(ACKNOWLEDGE_WITHIN).await;
            let Some(driver) = living(&weak) else { return };
            let now = host.now();
            let (positions, later) = driver.followers().to_acknowledge(now, now);
            acknowledge(&*driver, positions);
            if !later {
                return driver.followers().end_acknowledging();
            }
        }
    }));
}

/// The same, for a host that can give it back as the answer.
pub(super) fn take_acknowledgement<R: Follows>(driver: &R) -> Option<GroupCast> {
    if !Feature::ON || driver.core().life().has_ended() {
        return None;
    }
    let now = driver.core().host().now();
    let (positions, _) = driver.followers().to_acknowledge(now + ACKNOWLEDGE_WITHIN, now);
    acknowledgement(driver, positions)
}

fn acknowledge<R: Follows>(driver: &R, positions: Vec<(LogTopic, Position)>) {
    if let Some(cast) = acknowledgement(driver, positions) {
        driver.core().host().cast_group(driver.group(), cast);
    }
}

fn acknowledgement<R: Follows>(driver: &R, positions: Vec<(LogTopic, Position)>) -> Option<GroupCast> {
    let replica = driver.seats().borrow().replica();
    (!positions.is_empty()).then(|| GroupCast::AcknowledgeLog(Acknowledgement { replica, positions }))
}

/// What came before there were subscribers is not for those that come now.
pub(super) fn acknowledge_passed<R: Follows>(driver: &R, topic: &LogTopic) {
    acknowledge(driver, driver.followers().take_passed(topic));
}

/// The followed logs of which a socket may be the last subscriber: those to give to [`unfollow_unused`] when it has ended.
pub(super) fn followed_by<R: Follows>(driver: &R, socket: SocketId) -> Vec<LogTopic> {
    if Feature::ON && !driver.followers().catch_ups().borrow().is_empty() {
        driver.followers().catch_ups().borrow_mut().remove_socket(socket);
    }
    if driver.followers().is_empty() {
        return Vec::new();
    }
    let seats = driver.seats().borrow();
    let names = seats.topics().of_socket(socket).map(Topic::as_str).chain([ROOM]);
    let topics = names.filter_map(|name| LogTopic::new(name).ok());
    topics.filter(|topic| driver.followers().has(topic)).collect()
}

/// Those of these logs that have no subscribers here any more are not followed any more.
pub(super) fn unfollow_unused<R: Follows>(driver: &R, topics: &[LogTopic]) {
    for topic in topics.iter().filter(|topic| !driver.has_subscribers(topic)) {
        driver.followers().unfollow(topic);
        // Now, because the Replica may leave memory soon.
        acknowledge_passed(driver, topic);
    }
}

/// The Replica leaves memory, without sockets.
pub(super) fn acknowledge_all<R: Follows>(driver: &R) {
    if Feature::ON {
        let now = driver.core().host().now();
        acknowledge(driver, driver.followers().to_acknowledge(now, now).0);
    }
}

/// A subscription of these sockets to a topic has ended.
pub(super) fn subscription_ended<R: Follows>(driver: &R, topic: &str, sockets: &[SocketId]) {
    let followers = driver.followers();
    if (followers.is_empty() && followers.catch_ups().borrow().is_empty()) || !Feature::ON {
        return;
    }
    if let Ok(topic) = LogTopic::new(topic) {
        let mut catch_ups = followers.catch_ups().borrow_mut();
        sockets.iter().for_each(|socket| catch_ups.remove(&topic, *socket));
        drop(catch_ups);
        unfollow_unused(driver, &[topic]);
    }
}
