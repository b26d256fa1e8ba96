//! Publications of the Group's transactions, which are written with its entries: [`Outbox`].

use std::collections::BTreeSet;
use std::rc::{Rc, Weak};

use dog::Error;
use dog::internal::{Kind, LocalFuture, LogReservation, LogTopic, NewPublication};

use super::announcing::{Confirmed, show};
use super::commits::{append, reserve};
use super::finding::begin_log;
use super::log_calls::Turn;
use super::publishes::Publishes;
use crate::driver::object::{Outbox, over};
use crate::host::Scheduler;
use crate::log::LogEntries;

/// The logs of a Group, for its transactions.
pub(in crate::driver::group) struct GroupOutbox<G>(pub(in crate::driver::group) Weak<G>);

impl<G: Publishes> Outbox for GroupOutbox<G> {
    fn reserve(&self, topics: BTreeSet<LogTopic>) -> LocalFuture<Result<Box<dyn LogReservation>, Error>> {
        let group = self.0.clone();
        Box::pin(async move {
            let group = group.upgrade().ok_or_else(over)?;
            let mut turns = Vec::new();
            // In the order of their names, so that two transactions do not wait for each other.
            for topic in topics {
                turns.push(turn(&group, topic).await?);
            }
            Ok(Box::new(Reservation { group, turns, begun: Vec::new() }) as Box<dyn LogReservation>)
        })
    }
}

async fn turn<G: Publishes>(group: &Rc<G>, topic: LogTopic) -> Result<Turn, Error> {
    let Some(value) = group.core().life().get() else {
        return Err(Error::new(
            Kind::NoLog,
            "the Group has no log before its activate has ended: Group::log is asked then",
        ));
    };
    match begin_log(&**group, &value, &topic)? {
        Some(bounds) => reserve(group, &topic, bounds).await,
        None => {
            let text = format!(
                "the log of {topic} is in memory: return a durable one from Group::log to publish in a transaction"
            );
            Err(Error::new(Kind::NoLog, text))
        }
    }
}

/// Logs that take nothing else until this is dropped.
struct Reservation<G: Publishes> {
    group: Rc<G>,
    turns: Vec<Turn>,
    /// The logs that the transaction writes.
    begun: Vec<LogTopic>,
}

impl<G: Publishes> LogReservation for Reservation<G> {
    fn append(&mut self, all: Vec<(LogTopic, NewPublication)>) -> Result<LogEntries, Error> {
        let (publications, now) = (self.group.publications(), self.group.core().host().now());
        for (topic, _) in &all {
            publications.names().borrow_mut().begin(topic.name())?;
        }
        let size = all.iter().map(|(_, publication)| publication.size()).sum();
        publications.logs().borrow_mut().check_room(size, now)?;
        for (topic, publication) in all {
            append(&self.group, &topic, publication, now)?;
        }
        let mut entries = LogEntries::new();
        for topic in self.turns.iter().map(Turn::topic) {
            let begun = publications.logs().borrow_mut().stored(topic).and_then(|log| log.begin_commit(now));
            if let Some(begun) = begun {
                entries.extend(begun);
                self.begun.push(topic.clone());
            }
        }
        Ok(entries)
    }

    fn settled(self: Box<Self>, is_durable: bool) {
        for topic in &self.begun {
            self.group.publications().settle(topic, is_durable);
            show(&self.group, topic, &mut Confirmed::new());
        }
    }
}
