//! Where the log of a topic is.

use dog::Error;
use dog::internal::{Kind, LogBounds, LogTopic};

use super::logs::Place;
use super::publishes::Publishes;
use super::restoring::new_epoch;
use crate::host::Host;

/// Where a log is, or has to be.
enum Found {
    /// In memory.
    Here,
    /// Nowhere: it is kept in memory, and not begun.
    New(LogBounds),
    /// In the storage, with these bounds.
    Durable(LogBounds),
}

/// Finds the log of a topic, or begins it if it is kept in memory. Returns what a durable one keeps.
///
/// # Errors
/// The user's code wants none, or there are too many.
pub(super) fn begin_log<G: Publishes>(
    group: &G,
    value: &G::Value,
    topic: &LogTopic,
) -> Result<Option<LogBounds>, Error> {
    match find(group, value, topic)? {
        Found::Here => Ok(None),
        Found::Durable(bounds) => Ok(Some(bounds)),
        Found::New(bounds) => {
            let epoch = new_epoch(&**group.core().host());
            group.publications().logs().borrow_mut().begin(topic, bounds, epoch)?;
            Ok(None)
        }
    }
}

/// Finds the log of a topic. Returns what a durable one keeps. One that is kept in memory may not have begun.
///
/// # Errors
/// The user's code wants none.
pub(super) fn find_log<G: Publishes>(
    group: &G,
    value: &G::Value,
    topic: &LogTopic,
) -> Result<Option<LogBounds>, Error> {
    find(group, value, topic).map(|found| match found {
        Found::Here | Found::New(_) => None,
        Found::Durable(bounds) => Some(bounds),
    })
}

fn find<G: Publishes>(group: &G, value: &G::Value, topic: &LogTopic) -> Result<Found, Error> {
    let logs = group.publications().logs();
    let place = logs.borrow_mut().place(topic);
    match place {
        Place::Memory => return Ok(Found::Here),
        Place::Stored | Place::InDoubt => {
            return logs.borrow().window(topic).map(|window| Found::Durable(window.bounds()));
        }
        Place::Unknown => {}
    }
    let log = G::log(value, topic.name());
    let Some(bounds) = log.bounds() else {
        let text = format!("{topic} has no log: return one for it from Group::log, or use a broadcast");
        return Err(Error::new(Kind::NoLog, text));
    };
    // Where a Group may leave memory at any time, a log in memory would end with it.
    let is_durable = log.is_durable() || !group.core().host().profile().keeps_groups_in_memory;
    Ok(if is_durable { Found::Durable(bounds) } else { Found::New(bounds) })
}
