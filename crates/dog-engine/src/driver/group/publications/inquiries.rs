//! Questions about durable logs. What is not in memory is read.

use std::rc::Rc;

use dog::Error;
use dog::internal::{HistoryOrder, LogTopic, LogVerb, LogVerbAnswer, Unrecovered};

use super::log_calls::Asked;
use super::logs::not_now;
use super::publishes::Publishes;
use super::restoring::read;
use crate::driver::calls::unexpected_answer;
use crate::driver::object::start;
use crate::host::Scheduler;
use crate::log::{AnswerBounds, Inquiry, InquiryStep, LogAnswer, Page, Question};
use crate::message::GroupAnswer;
use crate::reply::Reply;

/// Answers a question, at once if nothing has to be read.
pub(super) fn begin<G: Publishes>(group: &Rc<G>, topic: &LogTopic, asked: Asked, reply: Reply<GroupAnswer>) {
    group.publications().logs().borrow_mut().hold(topic, true);
    let (this, topic) = (Rc::clone(group), topic.clone());
    start(group, async move {
        let answer = answer(&this, &topic, asked).await;
        this.publications().logs().borrow_mut().hold(&topic, false);
        reply.send(answer);
    });
}

async fn answer<G: Publishes>(group: &Rc<G>, topic: &LogTopic, asked: Asked) -> Result<GroupAnswer, Error> {
    let logs = group.publications().logs();
    match asked {
        Asked::Verb(LogVerb::History { since, order, limit, .. }, _) => {
            let most = AnswerBounds { publications: limit, ..AnswerBounds::RECOVERY };
            let page = page(group, topic, Inquiry::new(Question::Page(since, order), most)).await?;
            Ok(GroupAnswer::Log(LogVerbAnswer::History(logs.borrow().history(topic, page)?)))
        }
        Asked::Missed(call) => {
            let since = match logs.borrow().missed_since(&call)? {
                Ok(since) => since,
                Err(reason) => return Ok(GroupAnswer::Missed(logs.borrow().missed(topic, call.since, Err(reason))?)),
            };
            let question = Question::Page(Some(since.clone()), HistoryOrder::OldestFirst);
            let page = page(group, topic, Inquiry::new(question, call.most.limited())).await?;
            Ok(GroupAnswer::Missed(logs.borrow().missed(topic, since, page)?))
        }
        Asked::Tail(call) => match ask(group, topic, Inquiry::new(Question::Tail, call.most.limited())).await? {
            LogAnswer::Tail(tail) => Ok(GroupAnswer::Tail(logs.borrow_mut().tail(&call, tail)?)),
            LogAnswer::Page(_) => Err(unexpected_answer()),
        },
        Asked::Verb(
            LogVerb::Publish { .. } | LogVerb::PublishConfirmed { .. } | LogVerb::Reset { .. } | LogVerb::Purge { .. },
            _,
        ) => Err(unexpected_answer()),
    }
}

async fn page<G: Publishes>(
    group: &Rc<G>,
    topic: &LogTopic,
    inquiry: Inquiry,
) -> Result<Result<Page, Unrecovered>, Error> {
    match ask(group, topic, inquiry).await? {
        LogAnswer::Page(page) => Ok(page),
        LogAnswer::Tail(_) => Err(unexpected_answer()),
    }
}

/// Reads until the question has its answer.
async fn ask<G: Publishes>(group: &Rc<G>, topic: &LogTopic, mut inquiry: Inquiry) -> Result<LogAnswer, Error> {
    loop {
        let now = group.core().host().now();
        let step = {
            let mut logs = group.publications().logs().borrow_mut();
            inquiry.step(logs.stored(topic).ok_or_else(not_now)?, now)?
        };
        match step {
            InquiryStep::LogAnswer(answer) => return Ok(answer),
            InquiryStep::Read(next) => {
                let found = read(group, next).await?;
                let now = group.core().host().now();
                let mut logs = group.publications().logs().borrow_mut();
                inquiry.read(logs.stored(topic).ok_or_else(not_now)?, &found, now)?;
            }
        }
    }
}
