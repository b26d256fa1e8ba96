//! To whom publications are sent, and where a log ends is repeated until they have it (promise 17).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use dog::internal::{LogEpoch, LogTopic, Position};
use dog::{Error, ReplicaId};
use futures_util::future::select;

use super::kept_log::Sending;
use super::logs::WAKES_WITHIN;
use super::publishes::Publishes;
use crate::address::Targets;
use crate::books::TopicAudience;
use crate::driver::group::confirmations::Confirming;
use crate::driver::group::open_books::OpenBooks;
use crate::driver::object::{note_event, over};
use crate::fault_injection::{Fault, is_planted};
use crate::host::{Scheduler, Transport};
use crate::message::{HeadDelivery, PublicationDelivery, ReplicaCast};

/// The confirmed ones among publications, by their offsets.
pub(super) type Confirmed = BTreeMap<u64, Confirming>;

/// The Replicas that a publication has to be sent to.
pub(super) struct Audience {
    known: Vec<ReplicaId>,
    /// Those whose topics are not known: they are asked for them.
    unknown: Vec<ReplicaId>,
}

impl Audience {
    /// # Errors
    /// This life of the Group is over.
    pub(super) fn of<G: Publishes>(group: &G, topic: &LogTopic) -> Result<Self, Error> {
        group.books().map(|books| Self::in_books(&books, topic)).ok_or_else(over)
    }

    fn in_books(books: &OpenBooks, topic: &LogTopic) -> Self {
        let books = books.borrow();
        match topic.topic() {
            None => Self { known: books.listeners().all().collect(), unknown: Vec::new() },
            Some(topic) => {
                let TopicAudience { interested, unknown } = books.topic_audience(topic);
                Self { known: interested, unknown }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len() + self.unknown.len()
    }

    pub(super) fn all(&self) -> BTreeSet<ReplicaId> {
        self.known.iter().chain(&self.unknown).copied().collect()
    }
}

/// Sends publications that everybody may see, calls the Replicas with those that are confirmed, and has the end of the log repeated until it is acknowledged.
pub(super) fn send<G: Publishes>(
    group: &Rc<G>,
    to: &Audience,
    topic: &LogTopic,
    all: impl IntoIterator<Item = Sending>,
    confirmed: &mut Confirmed,
) {
    for Sending { position, publication, begin, bounds } in all {
        let mut confirming = confirmed.get_mut(&publication.offset);
        for (replicas, asks) in [(&to.known, false), (&to.unknown, true)] {
            let (new, old): (Vec<_>, Vec<_>) = replicas.iter().partition(|replica| begin.contains(replica));
            for (replicas, begins) in [(new, Some(bounds)), (old, None)] {
                if !replicas.is_empty() {
                    let (topic, epoch, publication) = (topic.clone(), position.epoch().clone(), publication.clone());
                    let delivery = PublicationDelivery { topic, epoch, publication, asks, begins };
                    let to = targets(&**group, replicas);
                    match &mut confirming {
                        Some(confirming) => confirming.call(&**group.core().host(), &to, delivery),
                        None => group.core().host().cast_replicas(&to, ReplicaCast::Publication(delivery)),
                    }
                }
            }
        }
    }
    tend(group);
}

fn targets<G: Publishes>(group: &G, replicas: Vec<ReplicaId>) -> Targets {
    Targets { group: group.address(), replicas: replicas.into(), except: None }
}

/// Something was published or read: repeats where logs end, and removes what is too old, for as long as there is something to do.
pub(super) fn tend<G: Publishes>(group: &Rc<G>) {
    if group.publications().is_tended().replace(true) {
        // It may sleep until something is too old.
        return group.publications().sleep().end_by(group.core().host().now() + WAKES_WITHIN);
    }
    let (host, weak) = (Rc::clone(group.core().host()), Rc::downgrade(group));
    group.core().host().spawn(Box::pin(async move {
        loop {
            let Some(group) = weak.upgrade().filter(|group| !group.core().life().has_ended()) else { return };
            let Some(sleep) = tend_now(&*group) else {
                group.publications().is_tended().set(false);
                // This may have been the only thing that kept the Group in memory.
                return note_event(&group);
            };
            let woken = group.publications().sleep().begin(host.now() + sleep);
            drop(group);
            select(host.sleep(sleep), woken).await;
        }
    }));
}

/// The log of a topic has begun again: those who follow it are told now, and again until they know it.
pub(super) fn begin_again<G: Publishes>(group: &Rc<G>, topic: &LogTopic, epoch: LogEpoch) -> Result<Position, Error> {
    let (now, logs, audience) =
        (group.core().host().now(), group.publications().logs(), Audience::of(&**group, topic)?);
    let position = logs.borrow_mut().begin_again(topic, epoch, &audience.all(), now)?;
    tend_now(&**group);
    tend(group);
    Ok(position)
}

fn tend_now<G: Publishes>(group: &G) -> Option<Duration> {
    let (now, books) = (group.core().host().now(), group.books()?);
    let audience = |topic: &LogTopic| Audience::in_books(&books, topic).all();
    let due = group.publications().logs().borrow_mut().due(now, audience);
    for (topic, position, replicas) in due.into_iter().filter(|_| !is_planted(Fault::HeadIsNotRepeated)) {
        let head = ReplicaCast::LogHead(HeadDelivery { topic, position });
        group.core().host().cast_replicas(&targets(group, replicas), head);
    }
    group.go_on_with_purges();
    group.publications().logs().borrow_mut().tend(now)
}

/// Sends what everybody may see from now on.
pub(super) fn show<G: Publishes>(group: &Rc<G>, topic: &LogTopic, confirmed: &mut Confirmed) {
    let Ok(audience) = Audience::of(&**group, topic) else { return };
    let shown = group.publications().logs().borrow_mut().shown(topic, || audience.all(), group.core().host().now());
    send(group, &audience, topic, shown, confirmed);
}
