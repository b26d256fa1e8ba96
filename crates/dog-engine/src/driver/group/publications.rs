//! Publications: the Group numbers and keeps them, sends them to the Replicas that have subscribers, and repeats where a log ends
//! until they have it (promises 17 and 18).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use dog::internal::{Kind, LocalFuture, LogEpoch, LogTopic, LogVerb, LogVerbAnswer, Logs as Feature, Position};
use dog::{Error, Log, ReplicaId, Timestamp};
use futures_channel::oneshot;
use futures_util::future::select;

use super::confirmations::{Confirmations, Confirming, confirm};
use super::logs::{Logs, Published, Sending, WAKES_WITHIN};
use super::open_books::OpenBooks;
use super::verbs::Speaks;
use crate::address::Targets;
use crate::books::TopicAudience;
use crate::driver::call_time::LONGEST;
use crate::driver::calls::{deadline_passed, unexpected_answer};
use crate::driver::object::{note_event, over, start};
use crate::driver::sleep::Sleep;
use crate::fault_injection::{Fault, is_planted};
use crate::host::{Host, Lifecycle, Scheduler, Transport};
use crate::log::NewPublication;
use crate::message::{Acknowledgement, GroupAnswer, HeadDelivery, MissedCall, PublicationDelivery, ReplicaCast};
use crate::reply::Reply;

/// How many calls wait until the Group is in memory, and how many bytes of publications are in them.
const MOST_WAITING: usize = 10_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The logs of a Group, and the calls about them that wait.
#[derive(Default)]
pub(super) struct Publications {
    logs: RefCell<Logs>,
    waiting: RefCell<VecDeque<Pending>>,
    bytes: Cell<usize>,
    confirmations: Confirmations,
    /// Whether a task waits until the Group is in memory.
    wakes: Cell<bool>,
    /// Whether a task tends the logs.
    is_tended: Cell<bool>,
    /// Its sleep.
    sleep: Sleep,
}

/// A call about a log.
pub(super) enum Asked {
    /// Of the App, a Replica or the Group itself, which has come then and waits as long.
    Verb(LogVerb, (Timestamp, Duration)),
    /// Of a Replica.
    Missed(MissedCall),
}

struct Pending {
    asked: Asked,
    reply: Reply<GroupAnswer>,
}

impl Asked {
    fn topic(&self) -> &LogTopic {
        match self {
            Self::Verb(verb, _) => verb.topic(),
            Self::Missed(call) => &call.topic,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Verb(verb, _) => verb.carried(),
            Self::Missed(_) => 0,
        }
    }
}

impl Publications {
    /// Queues a call. If too many wait, it is answered with an error.
    fn wait(&self, pending: Pending) {
        let bytes = self.bytes.get() + pending.asked.bytes();
        if self.waiting.borrow().len() >= MOST_WAITING || bytes > MOST_BYTES {
            let text = "too many publications wait until the Group is in memory: try again later";
            return pending.reply.send(Err(Error::new(Kind::TooMany, text)));
        }
        self.bytes.set(bytes);
        self.waiting.borrow_mut().push_back(pending);
    }

    fn next(&self) -> Option<Pending> {
        let pending = self.waiting.borrow_mut().pop_front()?;
        self.bytes.update(|bytes| bytes - pending.asked.bytes());
        Some(pending)
    }

    /// Whether the Group has to stay in memory: it keeps publications or keys, or does not know that all Replicas have them.
    pub(super) fn are_kept(&self, now: Timestamp) -> bool {
        Feature::ON && (!self.waiting.borrow().is_empty() || self.logs.borrow_mut().tend(now).is_some())
    }

    /// The life is over. Callers get an error.
    pub(super) fn clear(&self) {
        if !Feature::ON {
            return;
        }
        self.bytes.set(0);
        let (waiting, logs) = (self.waiting.take(), self.logs.take());
        drop((waiting, logs));
    }

    /// A Replica has publications.
    pub(super) fn acknowledged(&self, acknowledgement: &Acknowledgement, now: Timestamp) {
        let mut logs = self.logs.borrow_mut();
        for (topic, position) in &acknowledgement.positions {
            logs.acknowledge(acknowledgement.replica, topic, position, now);
        }
    }

    /// A life of a Replica is over, and its sockets are closed.
    pub(super) fn forget(&self, replica: ReplicaId) {
        if Feature::ON {
            self.logs.borrow_mut().forget(replica);
        }
    }
}

/// A Group that numbers publications.
pub(super) trait Publishes: Speaks {
    fn publications(&self) -> &Publications;
    /// The user's function.
    fn log(value: &Self::Value, topic: &str) -> Log;
    /// How long a publication may wait.
    fn deadline(value: &Self::Value) -> Duration;
}

/// Answers a call about a log when the Group is in memory, after those that came before it.
pub(super) fn call<G: Publishes>(
    group: &Rc<G>,
    woken: impl Future<Output = Result<Rc<G::Value>, Error>> + 'static,
    asked: Asked,
    reply: Reply<GroupAnswer>,
) {
    let (this, publications) = (Rc::clone(group), group.publications());
    publications.wait(Pending { asked, reply });
    if publications.wakes.replace(true) {
        return;
    }
    start(group, async move {
        let woken = woken.await;
        while let Some(Pending { asked, reply }) = this.publications().next() {
            let outcome = match &woken {
                Ok(value) => carry_out(&this, value, asked),
                Err(error) => Err(Error::new(error.kind(), error.to_string())),
            };
            match outcome {
                Ok(Outcome::Answer(answer)) => reply.send(Ok(answer)),
                Ok(Outcome::Confirming(position, confirming)) => confirm(&this, position, confirming, reply),
                Err(error) => reply.send(Err(error)),
            }
        }
        this.publications().wakes.set(false);
    });
}

/// A verb of the Group's own code.
pub(super) fn own_call<G: Publishes>(
    group: &G,
    woken: impl FnOnce(&Rc<G>) -> LocalFuture<Result<Rc<G::Value>, Error>> + 'static,
    verb: LogVerb,
) -> LocalFuture<Result<LogVerbAnswer, Error>> {
    let (this, activation) = (group.weak(), group.core().life().activation());
    Box::pin(async move {
        activation.check()?;
        let this = this.upgrade().ok_or_else(over)?;
        let (sender, receiver) = oneshot::channel();
        // The receiver may have gone.
        let reply = Reply::new(move |answer| drop(sender.send(answer)));
        let came = this.core().host().now();
        call(&this, woken(&this), Asked::Verb(verb, (came, LONGEST)), reply);
        match receiver.await.unwrap_or_else(|_| Err(over()))? {
            GroupAnswer::Log(answer) => Ok(answer),
            _ => Err(unexpected_answer()),
        }
    })
}

/// What has become of a call.
enum Outcome {
    Answer(GroupAnswer),
    /// The publication has this position. The answer comes when the Replicas have answered.
    Confirming(Position, Confirming),
}

fn carry_out<G: Publishes>(group: &Rc<G>, value: &Rc<G::Value>, asked: Asked) -> Result<Outcome, Error> {
    let now = group.core().host().now();
    begin_log(&**group, value, asked.topic())?;
    let answer = match asked {
        Asked::Verb(_, (came, within)) if now.since(came) > within.min(G::deadline(value)) => {
            return Err(deadline_passed());
        }
        Asked::Verb(LogVerb::Publish { topic, publication }, _) => {
            let (position, _) = publish(group, &topic, publication, None)?;
            GroupAnswer::Log(LogVerbAnswer::Published(position))
        }
        Asked::Verb(LogVerb::PublishConfirmed { topic, publication }, _) => {
            let begun = group.publications().confirmations.begin(Audience::of_group(group, &topic)?.len())?;
            let (position, confirming) = publish(group, &topic, publication, Some(begun))?;
            return Ok(Outcome::Confirming(position, confirming.unwrap_or_default()));
        }
        Asked::Verb(LogVerb::History { topic, since, order, limit }, _) => {
            let page = group.publications().logs.borrow().history(&topic, since.as_ref(), (order, limit), now)?;
            GroupAnswer::Log(LogVerbAnswer::History(page))
        }
        Asked::Missed(call) => GroupAnswer::Missed(group.publications().logs.borrow().missed(&call, now)?),
    };
    Ok(Outcome::Answer(answer))
}

/// Begins the log of a topic, if the user's code wants one.
fn begin_log<G: Publishes>(group: &G, value: &G::Value, topic: &LogTopic) -> Result<(), Error> {
    if group.publications().logs.borrow().has(topic) {
        return Ok(());
    }
    let Some(bounds) = G::log(value, topic.name()).bounds() else {
        let text = format!("{topic} has no log: return one for it from Group::log, or use a broadcast");
        return Err(Error::new(Kind::NoLog, text));
    };
    let host = group.core().host();
    if !host.profile().keeps_groups_in_memory {
        return Err(Error::new(
            Kind::NoLog,
            "this host keeps no log in memory, and Group::log asks for one: use a broadcast",
        ));
    }
    let epoch = LogEpoch::from_random(u128::from_be_bytes(host.secret()));
    group.publications().logs.borrow_mut().begin(topic, bounds, epoch)
}

/// Numbers a publication and sends it. With `confirming`, the Replicas are called.
fn publish<G: Publishes>(
    group: &Rc<G>,
    topic: &LogTopic,
    publication: NewPublication,
    mut confirming: Option<Confirming>,
) -> Result<(Position, Option<Confirming>), Error> {
    publication.check()?;
    let (audience, now) = (Audience::of_group(group, topic)?, group.core().host().now());
    let published = group.publications().logs.borrow_mut().publish(topic, publication, || audience.all(), now);
    let Published { position, new } = published?;
    if let Some(sending) = new {
        send(&**group, audience, topic, &position, &sending, confirming.as_mut());
        tend(group);
    }
    Ok((position, confirming))
}

/// The Replicas that a publication has to be sent to.
struct Audience {
    known: Vec<ReplicaId>,
    /// Those whose topics are not known: they are asked for them.
    unknown: Vec<ReplicaId>,
}

impl Audience {
    fn of_group<G: Publishes>(group: &Rc<G>, topic: &LogTopic) -> Result<Self, Error> {
        Ok(Self::of(&group.books().ok_or_else(over)?, topic))
    }

    fn of(books: &OpenBooks, topic: &LogTopic) -> Self {
        let books = books.borrow();
        match topic.topic() {
            None => Self { known: books.listeners().all().collect(), unknown: Vec::new() },
            Some(topic) => {
                let TopicAudience { interested, unknown } = books.topic_audience(topic);
                Self { known: interested, unknown }
            }
        }
    }

    fn len(&self) -> usize {
        self.known.len() + self.unknown.len()
    }

    fn all(&self) -> BTreeSet<ReplicaId> {
        self.known.iter().chain(&self.unknown).copied().collect()
    }
}

fn send<G: Publishes>(
    group: &G,
    to: Audience,
    topic: &LogTopic,
    position: &Position,
    sending: &Sending,
    mut confirming: Option<&mut Confirming>,
) {
    let Sending { publication, begin, bounds } = sending;
    for (replicas, asks) in [(to.known, false), (to.unknown, true)] {
        let (new, old): (Vec<_>, Vec<_>) = replicas.into_iter().partition(|replica| begin.contains(replica));
        for (replicas, begins) in [(new, Some(*bounds)), (old, None)] {
            if !replicas.is_empty() {
                let (topic, epoch, publication) = (topic.clone(), position.epoch().clone(), publication.clone());
                let delivery = PublicationDelivery { topic, epoch, publication, asks, begins };
                let to = targets(group, replicas);
                match &mut confirming {
                    Some(confirming) => confirming.call(&**group.core().host(), &to, delivery),
                    None => group.core().host().cast_replicas(&to, ReplicaCast::Publication(delivery)),
                }
            }
        }
    }
}

fn targets<G: Publishes>(group: &G, replicas: Vec<ReplicaId>) -> Targets {
    Targets { group: group.address(), replicas: replicas.into(), except: None }
}

/// Something was published: repeats where logs end, and removes what is too old, for as long as there is something to do.
fn tend<G: Publishes>(group: &Rc<G>) {
    if group.publications().is_tended.replace(true) {
        // It may sleep until something is too old.
        return group.publications().sleep.end_by(group.core().host().now() + WAKES_WITHIN);
    }
    let (host, weak) = (Rc::clone(group.core().host()), Rc::downgrade(group));
    group.core().host().spawn(Box::pin(async move {
        loop {
            let Some(group) = weak.upgrade().filter(|group| !group.core().life().has_ended()) else { return };
            let Some(sleep) = tend_now(&*group) else {
                group.publications().is_tended.set(false);
                // This may have been the only thing that kept the Group in memory.
                return note_event(&group);
            };
            let woken = group.publications().sleep.begin(host.now() + sleep);
            drop(group);
            select(host.sleep(sleep), woken).await;
        }
    }));
}

fn tend_now<G: Publishes>(group: &G) -> Option<Duration> {
    let (now, books) = (group.core().host().now(), group.books()?);
    let audience = |topic: &LogTopic| Audience::of(&books, topic).all();
    let due = group.publications().logs.borrow_mut().due(now, audience);
    for (topic, position, replicas) in due.into_iter().filter(|_| !is_planted(Fault::HeadIsNotRepeated)) {
        let head = ReplicaCast::LogHead(HeadDelivery { topic, position });
        group.core().host().cast_replicas(&targets(group, replicas), head);
    }
    group.publications().logs.borrow_mut().tend(now)
}
