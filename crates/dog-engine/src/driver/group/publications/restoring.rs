//! Reads what a Group has stored of its durable logs: a log when it is used first, or when it is in doubt; the names of all logs
//! before there is a new one; and which old records can be deleted.

use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;
use dog::Error;
use dog::internal::{LogBounds, LogEpoch, LogTopic};

use super::announcing::{Audience, Confirmed, show, tend};
use super::logs::Place;
use super::publishes::Publishes;
use crate::fault_injection::{Fault, is_planted};
use crate::host::{Host, HostObserver, ObjectStorage, Order, Scheduler, Space};
use crate::log::{AnswerBounds, LogRead, LogTopics, Restore, Segment, StoredLog};
use crate::repeats::log_limited;

/// Reads records of the Group.
pub(super) async fn read<G: Publishes>(group: &Rc<G>, read: LogRead) -> Result<Vec<(Bytes, Bytes)>, Error> {
    let LogRead { keys, limit, order } = read;
    let core = group.core();
    core.host().read_range(core.object(), Space::Log, keys, Some(limit), order).await
}

/// A name that no log had before.
pub(super) fn new_epoch(host: &impl Host) -> LogEpoch {
    LogEpoch::from_random(u128::from_be_bytes(host.secret()))
}

/// Reads a log. What was committed although its write has failed is shown.
pub(super) async fn restore<G: Publishes>(
    group: &Rc<G>,
    topic: &LogTopic,
    bounds: LogBounds,
    confirmed: &mut Confirmed,
) -> Result<(), Error> {
    let (host, publications) = (group.core().host(), group.publications());
    let is_known = || publications.logs().borrow_mut().place(topic) == Place::Stored;
    if is_planted(Fault::OffsetIsGivenTwice) && is_known() {
        return Ok(());
    }
    let epoch = new_epoch(&**host);
    let mut restore = match publications.logs().borrow_mut().stored(topic) {
        Some(log) => Restore::again(log, epoch),
        None => Restore::new(topic.name(), bounds, AnswerBounds::RECOVERY, epoch),
    };
    while let Some(next) = restore.next_read(host.now()) {
        restore.read(&read(group, next).await?)?;
    }
    let mut log = restore.finish()?;
    if log.window().next() == 1 {
        load_names(group).await?;
        note_purged(group, topic, &mut log).await?;
    }
    let audience = Audience::of(&**group, topic)?.all();
    publications.logs().borrow_mut().restored(topic, log, &audience, host.now())?;
    show(group, topic, confirmed);
    // Replicas that may follow the log are told where it ends.
    tend(group);
    Ok(())
}

/// Finds out whether an empty log was purged.
async fn note_purged<G: Publishes>(group: &Rc<G>, topic: &LogTopic, log: &mut StoredLog) -> Result<(), Error> {
    let names = group.publications().names();
    if !log.has_records() {
        names.borrow_mut().end(topic.name());
        return Ok(());
    }
    let found = read(group, LogTopics::read_one(topic.name())).await?;
    if names.borrow_mut().purged(topic.name(), &found)? {
        log.was_purged();
    }
    Ok(())
}

/// Whether this record is stored, although its write has failed: the offset after its last publication. After a write of a life that is
/// over, another life may have stored its own at the same place.
pub(super) async fn stored_until<G: Publishes>(
    group: &Rc<G>,
    written: Option<(Vec<u8>, Option<Bytes>)>,
) -> Result<Option<u64>, Error> {
    let Some((key, Some(record))) = written else { return Ok(None) };
    let keys = (Bound::Included(key.clone()), Bound::Included(key.clone()));
    let found = read(group, LogRead { keys, limit: 1, order: Order::Ascending }).await?;
    let is_stored = found.first().is_some_and(|(_, stored)| *stored == record);
    if is_stored { Ok(Some(Segment::decode(&key, &record)?.end())) } else { Ok(None) }
}

/// Reads which topics have a log.
pub(super) async fn load_names<G: Publishes>(group: &Rc<G>) -> Result<(), Error> {
    let names = group.publications().names();
    loop {
        let next = names.borrow().next_read();
        let Some(next) = next else { return Ok(()) };
        let found = read(group, next.clone()).await?;
        // Another may have read the same meanwhile.
        let is_next = names.borrow().next_read() == Some(next);
        if is_next {
            names.borrow_mut().found(&found)?;
        }
    }
}

/// Finds out which old records later commits can delete.
pub(super) async fn trim<G: Publishes>(group: &Rc<G>, topic: &LogTopic) {
    if let Err(error) = read_for_trim(group, topic).await {
        let (host, group) = (group.core().host(), group.address());
        log_limited!(host, warn, "a log is not shortened", %group, "{topic} cannot be shortened: {error}");
    }
}

pub(super) async fn read_for_trim<G: Publishes>(group: &Rc<G>, topic: &LogTopic) -> Result<(), Error> {
    let logs = group.publications().logs();
    let next = logs.borrow_mut().stored(topic).and_then(StoredLog::trim_read);
    let Some(next) = next else { return Ok(()) };
    let found = read(group, next).await?;
    logs.borrow_mut().stored(topic).map_or(Ok(()), |log| log.trim_found(&found))
}
