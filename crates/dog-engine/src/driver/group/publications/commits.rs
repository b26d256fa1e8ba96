//! The commits of durable logs: each log has at most one write under way, and what comes meanwhile goes with the next one
//! (promise 18).

use std::rc::Rc;
use std::time::Duration;

use dog::internal::{Kind, LogBounds, LogTopic, LogVerb, LogVerbAnswer, Position};
use dog::{Error, Timestamp};
use futures_channel::oneshot;
use futures_util::future::{Either, select};

use super::announcing::{Audience, Confirmed, begin_again, show};
use super::inquiries;
use super::log_calls::{Asked, Begun, Call, Job, Purge, Turn};
use super::logs::{Place, not_now};
use super::publishes::Publishes;
use super::purges;
use super::restoring;
use crate::driver::calls::deadline_passed;
use crate::driver::group::confirmations::confirm;
use crate::driver::object::{over, spawn};
use crate::fault_injection::{Fault, is_planted};
use crate::host::{HostObserver, Scheduler};
use crate::log::{Appended, COMMIT, NewPublication, Window};
use crate::message::GroupAnswer;
use crate::repeats::log_limited;
use crate::reply::Reply;

/// Publications that have an offset, and whose callers wait for the commit.
#[derive(Default)]
struct Uncommitted {
    waiting: Vec<Waiting>,
    confirmed: Confirmed,
}

struct Waiting {
    offset: u64,
    until: Timestamp,
    reply: Reply<GroupAnswer>,
    is_confirmed: bool,
}

impl Uncommitted {
    /// Callers do not wait longer than they said. Returns how long the next one waits.
    fn expire(&mut self, now: Timestamp) -> Option<Duration> {
        for Waiting { reply, .. } in self.waiting.extract_if(.., |waiting| waiting.until <= now) {
            reply.send(Err(deadline_passed()));
        }
        self.waiting.iter().map(|waiting| waiting.until.since(now)).min()
    }

    /// A write has failed. What is not stored nevertheless gets no position, although another life of the Group may have given it
    /// to something else meanwhile.
    fn refuse(&mut self, is_lost: impl Fn(u64) -> bool) {
        for Waiting { reply, .. } in self.waiting.extract_if(.., |waiting| is_lost(waiting.offset)) {
            reply.send(Err(could_not_be_stored()));
        }
    }

    /// Answers with the positions of what everybody may see.
    fn answer<G: Publishes>(mut self, group: &Rc<G>, topic: &LogTopic) {
        for Waiting { offset, reply, is_confirmed, .. } in self.waiting {
            match (visible(group, topic, offset), is_confirmed) {
                (Err(error), _) => reply.send(Err(error)),
                (Ok(position), false) => reply.send(Ok(GroupAnswer::Log(LogVerbAnswer::Published(position)))),
                (Ok(position), true) => {
                    confirm(group, position, self.confirmed.remove(&offset).unwrap_or_default(), reply);
                }
            }
        }
    }

    fn fail(self, error: &Error) {
        let text = format!("it is not known whether the publication is stored: {error}");
        for Waiting { reply, .. } in self.waiting {
            reply.send(Err(Error::new(Kind::Unreachable, text.clone())));
        }
    }
}

fn visible<G: Publishes>(group: &Rc<G>, topic: &LogTopic, offset: u64) -> Result<Position, Error> {
    let logs = group.publications().logs().borrow();
    let window = logs.window(topic)?;
    if offset < window.next() {
        return Ok(Position::new(window.epoch().clone(), offset));
    }
    Err(could_not_be_stored())
}

fn could_not_be_stored() -> Error {
    Error::new(Kind::Storage, "the publication could not be stored")
}

/// Does what a durable log is asked for, after what came before it for the same log.
pub(super) fn begin<G: Publishes>(group: &Rc<G>, bounds: LogBounds, job: Job) {
    let topic = job.topic().clone();
    let is_unserved = group.publications().commits().borrow_mut().push(job);
    if is_unserved {
        let this = Rc::clone(group);
        // Not now: what else comes in this turn goes with the same commit.
        spawn(group, async move { serve(&this, &topic, bounds).await });
    }
}

/// Has a log for a transaction: it was read, nothing is under way, and it takes nothing else.
pub(super) async fn reserve<G: Publishes>(group: &Rc<G>, topic: &LogTopic, bounds: LogBounds) -> Result<Turn, Error> {
    let (sender, turn) = oneshot::channel();
    begin(group, bounds, Job::Reserve(topic.clone(), sender));
    turn.await.unwrap_or_else(|_| Err(over()))
}

async fn serve<G: Publishes>(group: &Rc<G>, topic: &LogTopic, bounds: LogBounds) {
    let publications = group.publications();
    let place = || publications.logs().borrow_mut().place(topic);
    loop {
        if place() != Place::Stored
            && let Err(error) = restoring::restore(group, topic, bounds, &mut Confirmed::new()).await
        {
            while let Some(job) = next_job(group, topic) {
                job.fail(Error::new(error.kind(), error.to_string()));
            }
            publications.commits().borrow_mut().end(topic);
            return;
        }
        publications.logs().borrow_mut().hold(topic, true);
        match take(group, topic) {
            Next::Commit(uncommitted) => commit(group, topic, bounds, uncommitted).await,
            Next::Turn(sender) => {
                let (turn, ended) = Turn::new(topic);
                // If who has asked for it has gone, it ends at once.
                drop(sender.send(Ok(turn)));
                let _ = ended.await;
            }
            Next::Epoch(call) => write_epoch(group, topic, call).await,
            Next::Purge(purge) => purges::step(group, purge).await,
            Next::Nothing => {}
        }
        restoring::trim(group, topic).await;
        publications.logs().borrow_mut().hold(topic, false);
        // A log that was purged may be gone.
        if matches!(place(), Place::Stored | Place::Unknown) && publications.commits().borrow_mut().end(topic) {
            return;
        }
    }
}

fn next_job<G: Publishes>(group: &Rc<G>, topic: &LogTopic) -> Option<Job> {
    group.publications().commits().borrow_mut().pop(topic)
}

/// What a log does next.
enum Next {
    Nothing,
    Commit(Uncommitted),
    Turn(oneshot::Sender<Result<Turn, Error>>),
    /// Its epoch has to be stored, without a publication.
    Epoch(Call),
    Purge(Purge),
}

/// Gives offsets to the publications that wait, about as many as one commit takes, and answers questions.
fn take<G: Publishes>(group: &Rc<G>, topic: &LogTopic) -> Next {
    let publications = group.publications();
    let begun = publications.logs().borrow_mut().stored(topic).map_or(Begun::Nothing, |log| Begun::of(log));
    let (mut uncommitted, mut bytes) = (Uncommitted::default(), 0);
    loop {
        let count = uncommitted.waiting.len();
        let is_next_alone = count > 0 && publications.commits().borrow().is_next_alone(topic, begun);
        if is_next_alone || !COMMIT.hold(count, bytes) {
            break;
        }
        let Call { asked, until, reply } = match next_job(group, topic) {
            Some(Job::Call(call)) if call.writes_alone(begun) => return Next::Epoch(call),
            Some(Job::Call(call)) => call,
            Some(Job::Reserve(_, sender)) => return Next::Turn(sender),
            Some(Job::Purge(purge)) => return Next::Purge(purge),
            None => break,
        };
        let (size, is_confirmed) = (asked.bytes(), matches!(&asked, Asked::Verb(LogVerb::PublishConfirmed { .. }, _)));
        match asked {
            _ if until < group.core().host().now() => reply.send(Err(deadline_passed())),
            Asked::Verb(LogVerb::Publish { publication, .. } | LogVerb::PublishConfirmed { publication, .. }, _) => {
                match number(group, topic, publication, is_confirmed, &mut uncommitted.confirmed) {
                    Ok(offset) => {
                        bytes += size;
                        uncommitted.waiting.push(Waiting { offset, until, reply, is_confirmed });
                    }
                    Err(error) => reply.send(Err(error)),
                }
            }
            asked => inquiries::begin(group, topic, asked, reply),
        }
    }
    if uncommitted.waiting.is_empty() { Next::Nothing } else { Next::Commit(uncommitted) }
}

/// Gives a publication its offset. If it is confirmed, the Replicas are called once it is stored.
fn number<G: Publishes>(
    group: &Rc<G>,
    topic: &LogTopic,
    publication: NewPublication,
    is_confirmed: bool,
    confirmed: &mut Confirmed,
) -> Result<u64, Error> {
    let confirming = match is_confirmed {
        true => Some(group.publications().confirmations().begin(Audience::of(&**group, topic)?.len())?),
        false => None,
    };
    match append(group, topic, publication, group.core().host().now())? {
        Appended::New(offset) => {
            confirmed.extend(confirming.map(|confirming| (offset, confirming)));
            Ok(offset)
        }
        Appended::Repeated(offset) => Ok(offset),
        Appended::NotNow => Err(not_now()),
    }
}

/// Gives a publication its offset, or finds that of the earlier one with its key.
pub(super) fn append<G: Publishes>(
    group: &Rc<G>,
    topic: &LogTopic,
    publication: NewPublication,
    now: Timestamp,
) -> Result<Appended, Error> {
    publication.check()?;
    let publications = group.publications();
    publications.names().borrow_mut().begin(topic.name())?;
    publications.logs().borrow_mut().append(topic, publication, now)
}

/// Writes what has an offset, and then shows it to everybody.
async fn commit<G: Publishes>(group: &Rc<G>, topic: &LogTopic, bounds: LogBounds, mut uncommitted: Uncommitted) {
    let (host, publications) = (group.core().host(), group.publications());
    loop {
        let next = publications.logs().borrow_mut().stored(topic).and_then(|log| log.begin_commit(host.now()));
        let Some(entries) = next else { break };
        if is_planted(Fault::SeenBeforeStored) {
            publications.settle(topic, true);
            show(group, topic, &mut uncommitted.confirmed);
        }
        // The deletions come before it.
        let segment = entries.last().cloned();
        let mut write = group.core().store().write_log(entries);
        let written = loop {
            let Some(within) = uncommitted.expire(host.now()) else { break write.await };
            match select(write, host.sleep(within)).await {
                Either::Left((written, _)) => break written,
                Either::Right((_, unfinished)) => write = unfinished,
            }
        };
        let from = publications.logs().borrow().window(topic).map_or(1, Window::next);
        publications.settle(topic, written.is_ok());
        if let Err(error) = written {
            log_limited!(host, error, "a log could not be written", group = %group.address(), "{topic} could not be written: {error}");
            let restored = restoring::restore(group, topic, bounds, &mut uncommitted.confirmed).await;
            let stored_until = match restored {
                Ok(()) => restoring::stored_until(group, segment).await,
                Err(error) => Err(error),
            };
            match stored_until {
                Ok(until) => uncommitted.refuse(|offset| offset >= from && until.is_none_or(|until| offset >= until)),
                Err(error) => return uncommitted.fail(&error),
            }
        }
        show(group, topic, &mut uncommitted.confirmed);
    }
    uncommitted.answer(group, topic);
}

/// Stores an epoch without a publication: the log begins again, or it is asked for the first time and the answer has to be true for
/// the next life of the Group too. The caller waits no longer than it said.
async fn write_epoch<G: Publishes>(group: &Rc<G>, topic: &LogTopic, Call { asked, until, reply }: Call) {
    let (host, publications) = (group.core().host(), group.publications());
    if until < host.now() {
        return reply.send(Err(deadline_passed()));
    }
    let named = publications.names().borrow_mut().begin(topic.name());
    let new = matches!(asked, Asked::Verb(LogVerb::Reset { .. }, _)).then(|| restoring::new_epoch(&**host));
    let entries = publications.logs().borrow_mut().stored(topic).and_then(|log| match &new {
        Some(epoch) => log.begin_reset(epoch.clone()),
        None => log.begin_empty(),
    });
    let (Ok(()), Some(entries)) = (&named, entries) else {
        return reply.send(Err(named.err().unwrap_or_else(not_now)));
    };
    let write = group.core().store().write_log(entries);
    let (written, reply) = match select(write, host.sleep(until.since(host.now()))).await {
        Either::Left((written, _)) => (written, Some(reply)),
        Either::Right((_, unfinished)) => {
            reply.send(Err(deadline_passed()));
            (unfinished.await, None)
        }
    };
    publications.settle(topic, written.is_ok());
    let begun = match (written, new) {
        (Ok(()), Some(epoch)) => begin_again(group, topic, epoch).map(Some),
        (written, _) => written.map(|()| None),
    };
    let Some(reply) = reply else { return };
    match begun {
        Ok(None) => inquiries::begin(group, topic, asked, reply),
        Ok(Some(position)) => reply.send(Ok(GroupAnswer::Log(LogVerbAnswer::Published(position)))),
        Err(error) => reply.send(Err(error)),
    }
}
