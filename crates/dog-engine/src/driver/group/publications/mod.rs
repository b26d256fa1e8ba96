//! Publications: the Group numbers and keeps them, and sends them to the Replicas that have subscribers (promises 17 and 18).
//!
//! - this file: what is asked of a Group; `publishes`: what a Group has for it; `log_calls`: calls that wait
//! - `logs`, `kept_log`: the logs in memory, and who follows them; `announcing`: to whom publications are sent
//! - of durable logs: `finding` says which they are, `commits` writes, `outbox` has the Group's transactions write,
//!   `restoring` reads a log that is used first, `inquiries` reads what is asked for, `purges` deletes,
//!   `unfinished` goes on with it

mod announcing;
mod commits;
mod finding;
mod inquiries;
mod kept_log;
mod log_calls;
mod logs;
mod outbox;
mod publishes;
mod purges;
mod restoring;
mod unfinished;

use std::rc::Rc;

use dog::internal::{LocalFuture, LogTopic, LogVerb, LogVerbAnswer, Logs as Feature, NewPublication, Position};
use dog::{Error, Timestamp};

use crate::driver::call_time::LONGEST;
use crate::driver::calls::{ANSWER_DEADLINE, deadline_passed, unexpected_answer};
use crate::driver::group::confirmations::{Confirming, confirm};
use crate::driver::group::verbs::ask_itself;
use crate::driver::object::start;
use crate::fault_injection::{Fault, is_planted};
use crate::host::{Host, HostObserver, Scheduler};
use crate::log::{AnswerBounds, PageOrder};
use crate::message::{GroupAnswer, MissedAnswer, MissedCall};
use crate::repeats::log_limited;
use crate::reply::Reply;
use announcing::{Audience, Confirmed, begin_again, send};
use finding::{begin_log, find_log};
use log_calls::{Call, Job, Pending, Purge};
use logs::{Logs, Place, Published};
use restoring::{load_names, new_epoch};

pub(super) use log_calls::Asked;
pub(super) use outbox::GroupOutbox;
pub(super) use publishes::{Publications, Publishes};
pub(super) use unfinished::go_on as go_on_with_purges;

/// Answers a call about a log when the Group is in memory, after those that came before it.
pub(super) fn call<G: Publishes>(
    group: &Rc<G>,
    woken: impl Future<Output = Result<Rc<G::Value>, Error>> + 'static,
    asked: Asked,
    reply: Reply<GroupAnswer>,
) {
    let (this, publications) = (Rc::clone(group), group.publications());
    publications.waking().borrow_mut().push(Pending { asked, reply });
    if publications.wakes().replace(true) {
        return;
    }
    start(group, async move {
        let woken = woken.await;
        while let Some(Pending { asked, reply }) = next(&*this) {
            match &woken {
                Ok(value) => answer(&this, value, asked, reply),
                Err(error) => reply.send(Err(Error::new(error.kind(), error.to_string()))),
            }
        }
        this.publications().wakes().set(false);
    });
}

fn next<G: Publishes>(group: &G) -> Option<Pending> {
    group.publications().waking().borrow_mut().pop()
}

/// A verb of the Group's own code.
pub(super) fn own_call<G: Publishes>(
    group: &G,
    woken: impl FnOnce(&Rc<G>) -> LocalFuture<Result<Rc<G::Value>, Error>> + 'static,
    verb: LogVerb,
) -> LocalFuture<Result<LogVerbAnswer, Error>> {
    let answer = ask_itself(group, move |this, reply| {
        let came = this.core().host().now();
        call(this, woken(this), Asked::Verb(verb, (came, LONGEST)), reply);
    });
    Box::pin(async move {
        match answer.await? {
            GroupAnswer::Log(answer) => Ok(answer),
            _ => Err(unexpected_answer()),
        }
    })
}

/// The members of an earlier life are counted. Perhaps it has ended before they had what it published last, so those who follow a
/// durable log are told where it ends, one log after the other.
pub(super) fn remind<G: Publishes>(group: &Rc<G>, value: Rc<G::Value>) {
    // Without timers a census is rare, and a log that is read wakes all who may follow it. The next publication does it as well.
    let is_due = Feature::ON && group.core().host().profile().liveness.are_timed();
    if !is_due || group.publications().has_reminded().replace(true) {
        return;
    }
    let this = Rc::clone(group);
    start(group, async move {
        if let Err(error) = load_names(&this).await {
            let (host, group) = (this.core().host(), this.address());
            log_limited!(host, warn, "nobody is reminded of logs", %group, "the names of logs cannot be read: {error}");
        }
        let names: Vec<_> = this.publications().names().borrow().names().map(str::to_owned).collect();
        go_on_with_purges(&this);
        for topic in names.iter().filter_map(|name| LogTopic::new(name).ok()) {
            if Audience::of(&*this, &topic).is_ok_and(|audience| !audience.all().is_empty())
                && let Ok(Some(bounds)) = begin_log(&*this, &value, &topic)
            {
                // When it is read, they are told. If it fails, the next publication shows what is missing.
                let _ = commits::reserve(&this, &topic, bounds).await;
            }
        }
    });
}

/// Answers at once from a log in memory. A durable log answers when it has read or written.
fn answer<G: Publishes>(group: &Rc<G>, value: &Rc<G::Value>, asked: Asked, reply: Reply<GroupAnswer>) {
    let now = group.core().host().now();
    let until = match &asked {
        Asked::Verb(_, (came, within)) => *came + (*within).min(G::deadline(value)),
        Asked::Missed(_) | Asked::Tail(_) => now + ANSWER_DEADLINE,
    };
    if until < now {
        return reply.send(Err(deadline_passed()));
    }
    // A log that is not there needs none to be purged.
    let begun = match &asked {
        Asked::Verb(LogVerb::Purge { topic }, _) => find_log(&**group, value, topic),
        asked => begin_log(&**group, value, asked.topic()),
    };
    match begun {
        Err(error) => reply.send(Err(error)),
        Ok(None) => match answer_from_memory(group, asked) {
            Ok(Outcome::Answer(answer)) => reply.send(Ok(answer)),
            Ok(Outcome::Confirming(position, confirming)) => confirm(group, position, confirming, reply),
            Err(error) => reply.send(Err(error)),
        },
        Ok(Some(bounds)) => {
            let job = match asked {
                Asked::Verb(LogVerb::Purge { topic }, _) => Job::Purge(Purge::new(topic, until, reply)),
                asked => Job::Call(Call { asked, until, reply }),
            };
            commits::begin(group, bounds, job);
        }
    }
}

/// What has become of a call.
enum Outcome {
    Answer(GroupAnswer),
    /// The publication has this position. The answer comes when the Replicas have answered.
    Confirming(Position, Confirming),
}

fn answer_from_memory<G: Publishes>(group: &Rc<G>, asked: Asked) -> Result<Outcome, Error> {
    let (publications, now) = (group.publications(), group.core().host().now());
    let logs = publications.logs();
    if !matches!(asked, Asked::Missed(_) | Asked::Verb(LogVerb::Purge { .. }, _)) {
        logs.borrow_mut().use_again(asked.topic())?;
    }
    let answer = match asked {
        Asked::Verb(LogVerb::Publish { topic, publication }, _) => {
            let (position, _) = publish(group, &topic, publication, None)?;
            GroupAnswer::Log(LogVerbAnswer::Published(position))
        }
        Asked::Verb(LogVerb::PublishConfirmed { topic, publication }, _) => {
            let begun = publications.confirmations().begin(Audience::of(&**group, &topic)?.len())?;
            let (position, confirming) = publish(group, &topic, publication, Some(begun))?;
            return Ok(Outcome::Confirming(position, confirming.unwrap_or_default()));
        }
        Asked::Verb(LogVerb::Reset { topic }, _) => {
            GroupAnswer::Log(LogVerbAnswer::Published(begin_again(group, &topic, new_epoch(&**group.core().host()))?))
        }
        Asked::Verb(LogVerb::Purge { topic }, _) => {
            let is_here = logs.borrow_mut().place(&topic) == Place::Memory;
            if is_here && !is_planted(Fault::PurgeIsForgotten) {
                begin_again(group, &topic, new_epoch(&**group.core().host()))?;
                logs.borrow_mut().purge(&topic);
            }
            GroupAnswer::Log(LogVerbAnswer::Purged)
        }
        Asked::Verb(LogVerb::History { topic, since, order, limit }, _) => {
            let most = AnswerBounds { publications: limit, ..AnswerBounds::RECOVERY };
            let page = logs.borrow().window(&topic)?.page(since.as_ref(), order, most, now);
            GroupAnswer::Log(LogVerbAnswer::History(logs.borrow().history(&topic, page)?))
        }
        Asked::Missed(call) => GroupAnswer::Missed(missed(&logs.borrow(), call, now)?),
        Asked::Tail(call) => {
            let tail = logs.borrow().window(&call.topic)?.tail(call.most.limited(), now);
            GroupAnswer::Tail(logs.borrow_mut().tail(&call, tail)?)
        }
    };
    Ok(Outcome::Answer(answer))
}

/// What a Replica has missed of a log in memory.
fn missed(logs: &Logs, call: MissedCall, now: Timestamp) -> Result<MissedAnswer, Error> {
    let since = logs.missed_since(&call)?;
    let page = match &since {
        Ok(since) => logs.window(&call.topic)?.page(Some(since), PageOrder::OldestFirst, call.most.limited(), now),
        Err(reason) => Err(*reason),
    };
    logs.missed(&call.topic, since.unwrap_or(call.since), page)
}

/// Numbers a publication for a log in memory and sends it. With `confirming`, the Replicas are called.
fn publish<G: Publishes>(
    group: &Rc<G>,
    topic: &LogTopic,
    publication: NewPublication,
    confirming: Option<Confirming>,
) -> Result<(Position, Option<Confirming>), Error> {
    publication.check()?;
    let (audience, now) = (Audience::of(&**group, topic)?, group.core().host().now());
    let published = group.publications().logs().borrow_mut().publish(topic, publication, || audience.all(), now);
    let Published { position, new } = published?;
    let offset = position.offset();
    let mut confirmed: Confirmed = confirming.map(|confirming| (offset, confirming)).into_iter().collect();
    send(group, &audience, topic, new, &mut confirmed);
    Ok((position, confirmed.remove(&offset)))
}
