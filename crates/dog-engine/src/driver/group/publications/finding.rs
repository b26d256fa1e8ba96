//! Where the log of a topic is.

use dog::Error;
use dog::internal::{Kind, LogBounds, LogTopic};

use super::logs::Place;
use super::publishes::Publishes;
use super::restoring::new_epoch;
use crate::host::Host;

/// Finds the log of a topic, or begins it if it is kept in memory. Returns what a durable one keeps.
///
/// # Errors
/// The user's code wants none, or there are too many.
pub(super) fn begin_log<G: Publishes>(
    group: &G,
    value: &G::Value,
    topic: &LogTopic,
) -> Result<Option<LogBounds>, Error> {
    let logs = group.publications().logs();
    let place = logs.borrow_mut().place(topic);
    match place {
        Place::Memory => return Ok(None),
        Place::Stored | Place::InDoubt => return logs.borrow().window(topic).map(|window| Some(window.bounds())),
        Place::Unknown => {}
    }
    let log = G::log(value, topic.name());
    let Some(bounds) = log.bounds() else {
        let text = format!("{topic} has no log: return one for it from Group::log, or use a broadcast");
        return Err(Error::new(Kind::NoLog, text));
    };
    let host = group.core().host();
    // Where a Group may leave memory at any time, a log in memory would end with it.
    if log.is_durable() || !host.profile().keeps_groups_in_memory {
        return Ok(Some(bounds));
    }
    logs.borrow_mut().begin(topic, bounds, new_epoch(&**host))?;
    Ok(None)
}
