//! The topics of a Replica's sockets: subscribing, messages for a topic, and how the Group learns which topics have subscribers
//! here.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use dog::internal::{Except, Kind, LocalFuture, MAX_PRESENCE_TOPICS, MAX_PRESENCE_TOPICS_OF_SOCKET, Topic, Topics};
use dog::{ClientId, Error, Message, SocketId};

use super::outlets::Outlets;
use super::reporting::Reports;
use crate::address::Targets;
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::driver::object::{Activation, watch};
use crate::fault_injection::{Fault, is_planted};
use crate::host::{Scheduler, SocketHost, Transport};
use crate::message::{GroupAnswer, GroupCall, InterestAnswer, InterestReport, ReplicaCast, TopicDelivery};
use crate::seats::InterestRound;

/// How long a report waits for its answer before the next one follows, and how long one waits that only says that topics have
/// lost their subscribers.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

/// Reports of topics that are under way, and the callers that wait for them.
#[derive(Default)]
pub(super) struct InterestReporting {
    /// Whether a task reports now. There is one at a time, so that reports do not overtake each other.
    reports: Cell<bool>,
    /// Whether a task will report soon.
    is_scheduled: Cell<bool>,
    waiting: RefCell<Vec<Waiting>>,
}

/// A caller that waits until the Group knows a topic.
struct Waiting {
    topic: Topic,
    outcome: Rc<Outcome>,
}

#[derive(Default)]
struct Outcome {
    known: RefCell<Option<Result<(), Error>>>,
    waker: RefCell<Option<Waker>>,
}

impl Outcome {
    fn set(&self, known: Result<(), Error>) {
        self.known.replace(Some(known));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait(self: Rc<Self>) -> LocalFuture<Result<(), Error>> {
        Box::pin(poll_fn(move |context| match self.known.take() {
            Some(known) => Poll::Ready(known),
            None => {
                self.waker.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        }))
    }
}

impl InterestReporting {
    fn wait_for(&self, topic: Topic) -> LocalFuture<Result<(), Error>> {
        let outcome = Rc::<Outcome>::default();
        self.waiting.borrow_mut().push(Waiting { topic, outcome: Rc::clone(&outcome) });
        outcome.wait()
    }

    /// Ends the wait of those for whose topic `outcome` says how it has ended.
    fn settle(&self, outcome: impl Fn(&Topic) -> Option<Result<(), Error>>) {
        let mut settled = Vec::new();
        self.waiting.borrow_mut().retain(|waiting| match outcome(&waiting.topic) {
            Some(known) => {
                settled.push((Rc::clone(&waiting.outcome), known));
                false
            }
            None => true,
        });
        settled.into_iter().for_each(|(waiting, known)| waiting.set(known));
    }
}

/// A Replica whose sockets have topics.
pub(super) trait Subscribable: Reports {
    fn interests(&self) -> &InterestReporting;
    fn outlets(&self) -> &Outlets<Self::Host>;
    /// All siblings.
    fn targets(&self) -> Targets;
    fn is_reported_and_empty(&self) -> bool;
    /// Whether a topic has a presence.
    fn has_presence(topic: &str) -> bool;
    /// The Group knows that the topic has subscribers here, and that these sockets may be among them.
    fn subscription_is_known(&self, topic: &str, sockets: &[SocketId]);
    /// The subscriptions of these sockets to the topic have ended.
    fn subscription_ended(&self, topic: &str, sockets: &[SocketId]);
}

pub(super) fn check_open<R: Subscribable>(replica: &R, socket: SocketId) -> Result<(), Error> {
    let is_open = replica.seats().borrow().client(socket).is_some();
    if is_open { Ok(()) } else { Err(Error::of_socket(socket)) }
}

/// Subscribes a socket, and waits until the Group knows that the topic has subscribers here.
pub(super) async fn subscribe<R: Subscribable>(
    driver: &R,
    activation: &Activation,
    socket: SocketId,
    topic: Topic,
) -> Result<(), Error> {
    check_open(driver, socket)?;
    check_presence(driver, socket, &topic)?;
    let now = driver.core().host().now();
    let subscribed = driver.seats().borrow_mut().topics_mut().subscribe(socket, &topic, now)?;
    if subscribed.is_new {
        keep(driver, socket);
    }
    if !subscribed.is_unknown {
        if subscribed.is_new {
            driver.subscription_is_known(&topic, &[socket]);
        }
        return Ok(());
    }
    let known = driver.interests().wait_for(topic.clone());
    report(driver);
    if is_planted(Fault::SubscriptionIsNotAwaited) {
        return Ok(());
    }
    let known = by_deadline(driver.core().host(), ANSWER_DEADLINE, known).await;
    activation.check()?;
    check_open(driver, socket)?;
    if known.is_err() && subscribed.is_new {
        end_subscription(driver, socket, &topic);
    }
    known
}

/// Fails if the socket would have too many topics with a presence.
fn check_presence<R: Subscribable>(driver: &R, socket: SocketId, topic: &Topic) -> Result<(), Error> {
    if !R::has_presence(topic) {
        return Ok(());
    }
    let seats = driver.seats().borrow();
    let others = seats.topics().of_socket(socket).filter(|own| *own != topic && R::has_presence(own));
    if others.count() < MAX_PRESENCE_TOPICS_OF_SOCKET {
        return Ok(());
    }
    let most = MAX_PRESENCE_TOPICS_OF_SOCKET;
    let text = format!("the socket has {most} topics with a presence: unsubscribe from one first");
    Err(Error::new(Kind::TooMany, text))
}

pub(super) fn unsubscribe<R: Subscribable>(driver: &R, socket: SocketId, topic: &str) -> Result<(), Error> {
    check_open(driver, socket)?;
    end_subscription(driver, socket, topic);
    Ok(())
}

fn end_subscription<R: Subscribable>(driver: &R, socket: SocketId, topic: &str) {
    if driver.seats().borrow_mut().topics_mut().unsubscribe(socket, topic) {
        keep(driver, socket);
        report_soon(driver);
        driver.subscription_ended(topic, &[socket]);
    }
}

/// Keeps the topics of a socket where its number and its client are kept.
fn keep<R: Subscribable>(driver: &R, socket: SocketId) {
    let seats = driver.seats().borrow();
    driver.core().host().set_topics(socket, &mut seats.topics().of_socket(socket));
}

pub(super) fn topics_of<R: Subscribable>(driver: &R, socket: SocketId) -> Vec<Topic> {
    let mut topics: Vec<_> = driver.seats().borrow().topics().of_socket(socket).cloned().collect();
    topics.sort_unstable();
    topics
}

/// To the subscribers of a topic on this Replica that are not left out.
/// Returns how many accepted the message.
pub(super) fn emit_to<R: Subscribable>(driver: &R, topic: &str, message: &Message, except: Except<&ClientId>) -> usize {
    let seats = driver.seats().borrow();
    let subscribers = seats.topics().subscribers(topic);
    if subscribers.is_empty() {
        return 0;
    }
    driver.outlets().deliver(message, subscribers, seats.left_out(&except))
}

/// To the subscribers of a topic on all Replicas. Each sibling finds its own.
pub(super) fn broadcast_to<R: Subscribable>(driver: &R, topic: Topic, message: &Message, except: Except<&ClientId>) {
    emit_to(driver, &topic, message, except);
    let siblings = driver.targets();
    if siblings.iter().next().is_some() {
        let (message, except) = (message.clone(), except.client().cloned());
        let delivery = TopicDelivery { topic, message, except, asks: false };
        driver.core().host().cast_replicas(&siblings, ReplicaCast::DeliverTopic(delivery));
    }
}

/// A message for a topic has come from a sibling or the Group.
pub(super) fn topic_delivery_came<R: Subscribable>(driver: &R, delivery: &TopicDelivery) {
    emit_to(driver, &delivery.topic, &delivery.message, delivery.except.as_ref().into());
    if delivery.asks {
        ask_for_topics(driver);
    }
}

/// The Group does not know the topics of this Replica.
pub(super) fn ask_for_topics<R: Subscribable>(driver: &R) {
    driver.seats().borrow_mut().topics_mut().ask();
    report(driver);
}

/// The Group learns within 1 s of what it need not know at once.
pub(super) fn report_soon<R: Subscribable>(driver: &R) {
    if !Topics::ON || driver.seats().borrow().topics().is_reported() || driver.interests().is_scheduled.replace(true) {
        return;
    }
    let (host, weak) = (Rc::clone(driver.core().host()), driver.weak());
    driver.core().host().spawn(Box::pin(async move {
        host.sleep(REPORT_AGAIN).await;
        if let Some(driver) = weak.upgrade() {
            driver.interests().is_scheduled.set(false);
            report(&*driver);
        }
    }));
}

/// Tells the Group which topics have subscribers here, and again until it has answered.
fn report<R: Subscribable>(driver: &R) {
    if !Topics::ON || driver.interests().reports.replace(true) {
        return;
    }
    let (host, weak) = (Rc::clone(driver.core().host()), driver.weak());
    driver.core().host().spawn(Box::pin(async move {
        while let Some((round, report)) = begin_round(&weak) {
            let Some(group) = weak.upgrade().map(|driver| driver.group()) else { return };
            let call = host.call_group(group, GroupCall::Interest(report));
            // A report that is lost must not cost its callers their whole deadline.
            let answer = by_deadline(&host, REPORT_AGAIN, call).await;
            let Some(driver) = weak.upgrade() else { return };
            if !end_round(&*driver, &round, answer) {
                drop(driver);
                host.sleep(REPORT_AGAIN).await;
            }
        }
    }));
}

/// A report that is under way.
struct Round {
    round: InterestRound,
    /// The topics with a presence that it names as subscribed to.
    present: Vec<Topic>,
}

/// The next report, if there is something to report.
fn begin_round<R: Subscribable>(driver: &Weak<R>) -> Option<(Round, InterestReport)> {
    let driver = driver.upgrade().filter(|driver| !driver.core().life().has_ended())?;
    let next = driver.seats().borrow().interest();
    let Some((round, report)) = next else {
        driver.interests().reports.set(false);
        if driver.is_reported_and_empty() {
            // This may have been the only thing that kept it in memory.
            watch(&driver);
        }
        return None;
    };
    let present = report.topics.iter().filter(|(topic, is_subscribed)| *is_subscribed && R::has_presence(topic));
    let present = present.map(|(topic, _)| topic.clone()).collect();
    Some((Round { round, present }, report))
}

/// Returns whether the next report may follow at once.
fn end_round<R: Subscribable>(
    driver: &R,
    Round { round, present }: &Round,
    answer: Result<GroupAnswer, Error>,
) -> bool {
    let answer = match answer {
        Ok(GroupAnswer::Interest(answer)) => answer,
        Ok(_) => {
            driver.interests().settle(|_| Some(Err(unexpected_answer())));
            return false;
        }
        Err(error) if error.is_deadline() => return true,
        Err(error) => {
            driver.interests().settle(|_| Some(Err(Error::new(error.kind(), error.to_string()))));
            return false;
        }
    };
    driver.seats().borrow_mut().topics_mut().answered(*round, &answer);
    if let InterestAnswer::Taken { refused } = &answer {
        refused.iter().for_each(|topic| refuse(driver, topic));
        for topic in present {
            let sockets = driver.seats().borrow().topics().subscribers(topic).to_vec();
            driver.subscription_is_known(topic, &sockets);
        }
    }
    let seats = driver.seats().borrow();
    driver.interests().settle(|topic| (!seats.topics().is_unknown(topic)).then_some(Ok(())));
    true
}

/// The Group has too many topics for this one.
fn refuse<R: Subscribable>(driver: &R, topic: &Topic) {
    let text = if R::has_presence(topic) {
        format!("the Group has {MAX_PRESENCE_TOPICS} topics with a presence: no other can be subscribed to")
    } else {
        "the Group has 100000 topics: no other can be subscribed to".to_owned()
    };
    let error = || Error::new(Kind::TooMany, text.clone());
    driver.interests().settle(|waiting| (waiting == topic).then(|| Err(error())));
    let sockets = driver.seats().borrow_mut().topics_mut().refuse(topic);
    sockets.iter().for_each(|socket| keep(driver, *socket));
    driver.subscription_ended(topic, &sockets);
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn each_caller_waits_for_its_own_topic() {
        let interests = InterestReporting::default();
        let [a, b] = ["a", "b"].map(|name| Topic::new(name).unwrap());
        let mut first = interests.wait_for(a.clone());
        let mut second = interests.wait_for(b.clone());
        assert!(first.as_mut().now_or_never().is_none());
        interests.settle(|topic| (*topic == a).then_some(Ok(())));
        assert!(matches!(first.as_mut().now_or_never(), Some(Ok(()))));
        assert!(second.as_mut().now_or_never().is_none());
        interests.settle(|_| Some(Err(unexpected_answer())));
        assert!(matches!(second.as_mut().now_or_never(), Some(Err(error)) if error.is_unreachable()));
        assert!(interests.waiting.borrow().is_empty());
    }
}
