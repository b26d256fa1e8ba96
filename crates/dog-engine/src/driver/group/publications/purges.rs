//! Purges of durable logs. The log is gone with one write; what was stored of it is deleted in batches, between which others have
//! their turn. Its last record says that it was purged, until all Replicas that have followed it know: a crash meanwhile leaves it,
//! and the next life goes on from there.

use std::rc::Rc;

use dog::Error;
use futures_util::future::{Either, select};

use super::announcing::begin_again;
use super::log_calls::{Job, Purge};
use super::logs::not_now;
use super::publishes::Publishes;
use super::restoring;
use crate::driver::calls::deadline_passed;
use crate::host::{HostObserver, Scheduler};
use crate::log::LogEntries;
use crate::repeats::log_limited;

/// How many old segments one write deletes at most.
const MAX_DELETED: usize = 128;

/// A purge has its turn: one write, or two. If there is more to do, it has another turn after what waits for the log.
pub(super) async fn step<G: Publishes>(group: &Rc<G>, mut purge: Purge) {
    match advance(group, &mut purge).await {
        Ok(true) => purge.end(Ok(())),
        Ok(false) => {
            purge.expire(group.core().host().now());
            group.publications().commits().borrow_mut().push_again(Job::Purge(purge));
        }
        Err(error) => {
            let (host, topic, group) = (group.core().host(), purge.topic(), group.address());
            log_limited!(host, warn, "a log is not purged", %group, "the purge of {topic} has failed: {error}");
            purge.end(Err(error));
        }
    }
}

/// Returns whether nothing is left to do now.
async fn advance<G: Publishes>(group: &Rc<G>, purge: &mut Purge) -> Result<bool, Error> {
    if !purge.has_begun() {
        if purge.until().is_some_and(|until| until < group.core().host().now()) {
            return Err(deadline_passed());
        }
        if !begin_purge(group, purge).await? {
            return Ok(true);
        }
        purge.begin();
    }
    let (logs, topic) = (group.publications().logs(), purge.topic().clone());
    restoring::read_for_trim(group, &topic).await?;
    let now = group.core().host().now();
    let old = logs.borrow_mut().stored(&topic).and_then(|log| log.begin_trim(now, MAX_DELETED));
    if let Some(entries) = old {
        write(group, purge, entries).await?;
    }
    if logs.borrow_mut().stored(&topic).is_some_and(|log| log.has_leftovers()) {
        return Ok(false);
    }
    let last = logs.borrow_mut().begin_removal(&topic);
    if let Some(entries) = last {
        write(group, purge, entries).await?;
        logs.borrow_mut().remove(&topic);
        group.publications().names().borrow_mut().end(topic.name());
    }
    Ok(true)
}

/// The log is gone for everybody, and those who have followed it are told. Returns `false` if nothing of it is stored.
async fn begin_purge<G: Publishes>(group: &Rc<G>, purge: &mut Purge) -> Result<bool, Error> {
    let (publications, topic) = (group.publications(), purge.topic().clone());
    let epoch = restoring::new_epoch(&**group.core().host());
    let entries = {
        let mut logs = publications.logs().borrow_mut();
        let log = logs.stored(&topic).ok_or_else(not_now)?;
        match log.begin_purge(epoch.clone()) {
            Some(entries) => entries,
            // It was purged before, and perhaps not all is deleted.
            None if log.is_purged() => return Ok(true),
            None if !log.has_records() => return Ok(false),
            None => return Err(not_now()),
        }
    };
    write(group, purge, entries).await?;
    publications.names().borrow_mut().purge(topic.name());
    begin_again(group, &topic, epoch)?;
    Ok(true)
}

/// Writes. The caller waits no longer than it said.
async fn write<G: Publishes>(group: &Rc<G>, purge: &mut Purge, entries: LogEntries) -> Result<(), Error> {
    let host = group.core().host();
    let write = group.core().store().write_log(entries);
    let written = match purge.until() {
        None => write.await,
        Some(until) => match select(write, host.sleep(until.since(host.now()))).await {
            Either::Left((written, _)) => written,
            Either::Right((_, unfinished)) => {
                purge.expire(host.now());
                unfinished.await
            }
        },
    };
    group.publications().settle(purge.topic(), written.is_ok());
    written
}
