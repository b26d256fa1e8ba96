//! The logs that a Replica follows for its sockets: what comes is put into order, what is missing is fetched from the Group, and
//! what has come is acknowledged (promise 17).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use dog::internal::{LocalFuture, LogTopic, Logs as Feature, Position, ROOM, Topic, Unrecovered};
use dog::{Error, SocketId, Timestamp};

use super::confirming::{Confirming, not_counted};
use super::topics::{Subscribable, ask_for_topics};
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::driver::object::watch;
use crate::fault_injection::{Fault, is_planted};
use crate::host::{Scheduler, Transport};
use crate::log::{Arrival, Follower, LogHead, Recorded};
use crate::message::{
    Acknowledgement, GroupAnswer, GroupCall, GroupCast, HeadDelivery, MissedAnswer, MissedCall, PublicationDelivery,
    ReplicaAnswer,
};
use crate::reply::Reply;

/// How long acknowledgements are collected before they are sent. The Group repeats the end of a log after 250 ms.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(100);

/// How long a Replica waits before it asks again, if its Group could not be asked.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The logs of the topics that have subscribers here, once something was published to them.
#[derive(Default)]
pub(super) struct Followers {
    topics: RefCell<BTreeMap<LogTopic, Followed>>,
    /// Where the logs without subscribers here were last seen: nothing is missing.
    passed: RefCell<BTreeMap<LogTopic, Position>>,
    /// Whether a task sends acknowledgements.
    acknowledges: Cell<bool>,
    began: Cell<u64>,
    confirming: Confirming,
}

struct Followed {
    /// Tells it apart from what was followed before with the same topic.
    number: u64,
    state: State,
}

enum State {
    /// The Group is being asked, or has to be, where to begin: after this position at the latest.
    Begins {
        since: Position,
        is_asking: bool,
    },
    Follows(Follower),
}

/// A question that the Group is being asked.
struct Question {
    number: u64,
    answer: LocalFuture<Result<GroupAnswer, Error>>,
}

/// A Replica that follows logs.
pub(super) trait Follows: Subscribable {
    fn followers(&self) -> &Followers;
    /// To the subscribers of the topic here. Returns how many accepted it.
    fn deliver_publication(&self, topic: &LogTopic, publication: &Recorded) -> usize;
    /// Whether the topic has subscribers here.
    fn has_subscribers(&self, topic: &LogTopic) -> bool;
    /// Tells the user's code that publications are lost.
    fn publications_lost(&self, topic: &LogTopic, reason: Unrecovered);
}

impl Followers {
    fn is_empty(&self) -> bool {
        !Feature::ON || self.topics.borrow().is_empty()
    }

    /// The life has ended.
    pub(super) fn clear(&self) {
        if Feature::ON {
            self.topics.borrow_mut().clear();
            self.passed.borrow_mut().clear();
            self.confirming.clear();
        }
    }

    /// Begins to follow a log when the Group has said where.
    fn begin(&self, topic: LogTopic, since: Position) {
        self.insert(topic, State::Begins { since, is_asking: false });
    }

    /// Follows a log from this position on, unless it is followed.
    fn follow(&self, topic: &LogTopic, from: &LogHead) {
        if !self.topics.borrow().contains_key(topic) {
            self.passed.borrow_mut().remove(topic);
            self.insert(topic.clone(), State::Follows(Follower::new(from)));
        }
    }

    fn insert(&self, topic: LogTopic, state: State) {
        let number = self.began.get() + 1;
        self.began.set(number);
        self.topics.borrow_mut().insert(topic, Followed { number, state });
    }

    /// A log has no subscribers here any more: who subscribes next gets what is published next.
    fn unfollow(&self, topic: &LogTopic) {
        let Some(followed) = self.topics.borrow_mut().remove(topic) else { return };
        let position = match followed.state {
            State::Begins { since, .. } => since,
            State::Follows(follower) => follower.window().position(),
        };
        self.passed.borrow_mut().insert(topic.clone(), position);
        self.confirming.unfollowed(topic);
    }

    fn pass(&self, topic: &LogTopic, position: Position) {
        self.topics.borrow_mut().remove(topic);
        self.passed.borrow_mut().insert(topic.clone(), position);
    }

    fn take_passed(&self, topic: &LogTopic) -> Vec<(LogTopic, Position)> {
        self.passed.borrow_mut().remove_entry(topic).into_iter().collect()
    }

    /// What has to be acknowledged now, and whether something will have to be later.
    fn to_acknowledge(&self, now: Timestamp) -> (Vec<(LogTopic, Position)>, bool) {
        let mut positions: Vec<_> = std::mem::take(&mut *self.passed.borrow_mut()).into_iter().collect();
        let mut later = false;
        for (topic, followed) in &mut *self.topics.borrow_mut() {
            let State::Follows(follower) = &mut followed.state else { continue };
            positions.extend(follower.acknowledgement(now).map(|position| (topic.clone(), position)));
            // It was delivered, and no socket is given it again.
            follower.shrink(0);
            later |= follower.acknowledge_at().is_some();
        }
        (positions, later)
    }
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
    let arrival = match driver.followers().topics.borrow_mut().get_mut(&topic).map(|followed| &mut followed.state) {
        Some(State::Follows(follower)) => Some(follower.came(&epoch, &publication, now)),
        // The answer has it, or the Group repeats where the log ends.
        Some(State::Begins { .. }) => return wait_for_delivery(driver, &topic, &publication, confirm),
        None => None,
    };
    match (arrival, confirm) {
        (Some(Arrival::Known), Some(reply)) => return reply.send(Err(not_counted())),
        (_, confirm) => wait_for_delivery(driver, &topic, &publication, confirm),
    }
    match arrival {
        Some(Arrival::InOrder) => {
            deliver(driver, &topic, &publication);
            deliver_what_waits(driver, &topic);
            acknowledge_soon(driver);
        }
        Some(Arrival::Ahead) if is_planted(Fault::GapIsNotNoticed) => deliver(driver, &topic, &publication),
        Some(Arrival::Known) => {}
        Some(Arrival::Ahead | Arrival::OtherEpoch) => fetch(driver, &topic),
        None => {
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
    let now = driver.core().host().now();
    let is_new = match driver.followers().topics.borrow_mut().get_mut(&topic).map(|followed| &mut followed.state) {
        Some(State::Follows(follower)) => {
            follower.told(&position, now);
            false
        }
        Some(State::Begins { .. }) => false,
        None => true,
    };
    if is_new {
        driver.followers().begin(topic.clone(), position);
    }
    fetch(driver, &topic);
    acknowledge_soon(driver);
}

fn deliver_what_waits<R: Follows>(driver: &R, topic: &LogTopic) {
    let now = driver.core().host().now();
    let next = || match &mut driver.followers().topics.borrow_mut().get_mut(topic)?.state {
        State::Follows(follower) => follower.advance(now),
        State::Begins { .. } => None,
    };
    while let Some(publication) = next() {
        deliver(driver, topic, &publication);
    }
}

fn deliver<R: Follows>(driver: &R, topic: &LogTopic, publication: &Recorded) {
    let sockets = driver.deliver_publication(topic, publication);
    driver.followers().confirming.delivered(topic, publication.offset, sockets);
}

fn wait_for_delivery<R: Follows>(
    driver: &R,
    topic: &LogTopic,
    publication: &Recorded,
    confirm: Option<Reply<ReplicaAnswer>>,
) {
    let confirming = &driver.followers().confirming;
    confirm.into_iter().for_each(|reply| confirming.wait(topic, publication.offset, reply));
}

/// Asks the Group for what is missing, until nothing is.
fn fetch<R: Follows>(driver: &R, topic: &LogTopic) {
    let Some(question) = ask(driver, topic) else { return };
    let (host, weak, topic) = (Rc::clone(driver.core().host()), driver.weak(), topic.clone());
    driver.core().host().spawn(Box::pin(async move {
        let mut next = Some(question);
        while let Some(Question { number, answer }) = next {
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

fn living<R: Follows>(weak: &Weak<R>) -> Option<Rc<R>> {
    weak.upgrade().filter(|driver| !driver.core().life().has_ended())
}

/// The next question about a log, if there is one and the Group is not being asked.
fn ask<R: Follows>(driver: &R, topic: &LogTopic) -> Option<Question> {
    let mut topics = driver.followers().topics.borrow_mut();
    let Followed { number, state } = topics.get_mut(topic)?;
    let (since, begins) = match state {
        State::Begins { since, is_asking } => {
            if std::mem::replace(is_asking, true) {
                return None;
            }
            // What came before there were subscribers is not for them.
            acknowledge(driver, driver.followers().take_passed(topic));
            (since.clone(), true)
        }
        State::Follows(follower) => (follower.begin_fetch()?, false),
    };
    let replica = driver.seats().borrow().replica();
    let call = MissedCall { replica, topic: topic.clone(), since, begins };
    Some(Question { number: *number, answer: driver.core().host().call_group(driver.group(), GroupCall::Missed(call)) })
}

fn answered<R: Follows>(driver: &R, topic: &LogTopic, number: u64, answer: Result<MissedAnswer, Error>) {
    let now = driver.core().host().now();
    let lost = {
        let mut topics = driver.followers().topics.borrow_mut();
        // What was followed then may have lost its last subscriber meanwhile.
        let Some(followed) = topics.get_mut(topic).filter(|followed| followed.number == number) else { return };
        match (&mut followed.state, answer) {
            (State::Begins { is_asking, .. }, Err(_)) => {
                *is_asking = false;
                None
            }
            (State::Follows(follower), Err(_)) => {
                follower.fetch_failed();
                None
            }
            (State::Follows(follower), Ok(answer)) => follower.fetched(answer.missed, now).err(),
            (state @ State::Begins { .. }, Ok(MissedAnswer { since, missed })) => {
                let bounds = missed.head.bounds;
                let begins_at = if missed.page.is_ok() { since } else { missed.head.position.clone() };
                let mut follower = Follower::new(&LogHead { position: begins_at, bounds });
                let lost = missed.page.as_ref().err().copied();
                if lost.is_none() {
                    // It has asked nothing yet, so nothing can be lost.
                    let _ = follower.fetched(missed, now);
                }
                *state = State::Follows(follower);
                lost
            }
        }
    };
    deliver_what_waits(driver, topic);
    acknowledge_soon(driver);
    if let Some(reason) = lost {
        driver.followers().confirming.lost(topic);
        driver.publications_lost(topic, reason);
    }
}

/// Acknowledges what has come, within 100 ms.
fn acknowledge_soon<R: Follows>(driver: &R) {
    if driver.followers().acknowledges.replace(true) {
        return;
    }
    let (host, weak) = (Rc::clone(driver.core().host()), driver.weak());
    driver.core().host().spawn(Box::pin(async move {
        loop {
            host.sleep(ACKNOWLEDGE_WITHIN).await;
            let Some(driver) = living(&weak) else { return };
            let (positions, later) = driver.followers().to_acknowledge(host.now());
            acknowledge(&*driver, positions);
            if !later {
                return driver.followers().acknowledges.set(false);
            }
        }
    }));
}

fn acknowledge<R: Follows>(driver: &R, positions: Vec<(LogTopic, Position)>) {
    if !positions.is_empty() {
        let acknowledgement = Acknowledgement { replica: driver.seats().borrow().replica(), positions };
        driver.core().host().cast_group(driver.group(), GroupCast::AcknowledgeLog(acknowledgement));
    }
}

/// The followed logs of which a socket may be the last subscriber: those to give to [`unfollow_unused`] when it has ended.
pub(super) fn followed_by<R: Follows>(driver: &R, socket: SocketId) -> Vec<LogTopic> {
    if driver.followers().is_empty() {
        return Vec::new();
    }
    let seats = driver.seats().borrow();
    let names = seats.topics().of_socket(socket).map(Topic::as_str).chain([ROOM]);
    let topics = names.filter_map(|name| LogTopic::new(name).ok());
    topics.filter(|topic| driver.followers().topics.borrow().contains_key(topic)).collect()
}

/// Those of these logs that have no subscribers here any more are not followed any more.
pub(super) fn unfollow_unused<R: Follows>(driver: &R, topics: &[LogTopic]) {
    for topic in topics.iter().filter(|topic| !driver.has_subscribers(topic)) {
        driver.followers().unfollow(topic);
        // Now, because the Replica may leave memory soon.
        acknowledge(driver, driver.followers().take_passed(topic));
    }
}

/// The Replica leaves memory, without sockets.
pub(super) fn acknowledge_all<R: Follows>(driver: &R) {
    if Feature::ON {
        let (positions, _) = driver.followers().to_acknowledge(driver.core().host().now());
        acknowledge(driver, positions);
    }
}

/// A subscription to a topic has ended.
pub(super) fn subscription_ended<R: Follows>(driver: &R, topic: &str) {
    if !driver.followers().is_empty()
        && let Ok(topic) = LogTopic::new(topic)
    {
        unfollow_unused(driver, &[topic]);
    }
}
