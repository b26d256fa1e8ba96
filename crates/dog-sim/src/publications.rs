//! What the App publishes in a run, and what it reads of its logs. `publisher`: who does; `logs_of_run`: which topics have a log;
//! `resets`: logs that are reset and purged; `model`: what a log must have; `disk_log`: what the disk has of it; `subscriber`: what one
//! socket has received of it; `confirmed`: how many sockets publications are said to have reached; `record`: what is known of all;
//! `check`: the check when all is healed.

pub(crate) mod check;
pub(crate) mod confirmed;
mod disk_log;
pub(crate) mod logs_of_run;
pub(crate) mod model;
mod publication;
mod publisher;
pub(crate) mod record;
pub(crate) mod resets;
pub(crate) mod resuming;
mod subscriber;
mod subscription;
mod transactions;

use dog::{
    Context, Error, Group, GroupContext, GroupHandle, HistoryOrder, Message, NewPublication, Replica, Request,
    Response, Result, Socket, Unrecovered,
};
use futures_util::future::join;
use http::StatusCode;

use self::logs_of_run::published;
use self::model::Page;
use self::publisher::Publisher;
use self::transactions::Outcome;
use crate::parsed::number;
use crate::witness::Witness;

/// The name under which all publications are numbered.
pub(crate) const PUBLISHER: u64 = u64::MAX / 2;

/// The commands of clients that are about publications. [`obey`] runs them.
pub(crate) const VERBS: &[&str] = &["publish", "publish", "publish-two", "publish-key", "publish-confirmed", "history"];

/// Whether [`obey`] runs this command.
pub(crate) fn is_verb(verb: &str) -> bool {
    VERBS.contains(&verb) || resets::VERBS.contains(&verb)
}

/// The requests of clients that let the App or its Group publish.
pub(crate) const REQUESTS: &[&str] = &[
    "/publish?do=publish",
    "/publish?do=publish-key",
    "/publish?do=history",
    "/publish?do=publish-confirmed",
    "/group?do=publish-two",
    "/group?do=publish-confirmed",
    "/group?do=transact",
];

/// How often something with a key is published until it has a position.
const ATTEMPTS: usize = 3;

/// Runs one of the [`VERBS`] on a topic.
pub(crate) async fn obey(witness: &Witness, publisher: &impl Publisher, (verb, topic): (&str, &str)) {
    let topic = published(topic);
    match verb {
        "publish-two" => {
            // Both are called before one is answered.
            join(publish(witness, publisher, topic), publish(witness, publisher, topic)).await;
        }
        "publish-key" => publish_with_key(witness, publisher, topic).await,
        "publish-confirmed" => publish_confirmed(witness, publisher, topic, false).await,
        "publish-to-all" => publish_confirmed(witness, publisher, topic, true).await,
        verb if resets::VERBS.contains(&verb) => resets::obey(witness, publisher, (verb, topic)).await,
        "history" => read(witness, publisher, topic).await,
        _ => publish(witness, publisher, topic).await,
    }
}

/// Runs one of the [`VERBS`] in a Group, or a transaction that publishes.
pub(crate) async fn obey_in_group(witness: &Witness, cx: &GroupContext, (verb, topic): (&str, &str)) {
    match verb {
        "transact" => transact(witness, cx, published(topic)).await,
        verb => obey(witness, cx, (verb, topic)).await,
    }
}

/// The name of the entry that a transaction writes whose first publication has this number.
pub(crate) fn entry_of(number: u64) -> String {
    format!("published {number}")
}

/// Publishes to a topic, and sometimes to another one, in a transaction that writes an entry.
async fn transact(witness: &Witness, cx: &GroupContext, topic: &'static str) {
    let other = witness.record().random.happens(500).then_some("a");
    let all: Vec<_> = [Some(topic), other]
        .into_iter()
        .flatten()
        .map(|topic| (topic, begin(witness, cx, topic, Calls::InTransaction)))
        .collect();
    let numbers: Vec<u64> = all.iter().map(|(_, (number, _))| *number).collect();
    let first = numbers[0];
    witness.record().logs().transaction_begins(cx.id(), numbers);
    let storage = cx.storage();
    let made = storage.transaction(async |entries| {
        entries.put(&entry_of(first), &first)?;
        all.iter().try_for_each(|(topic, (_, publication))| entries.publish(topic, publication.clone()))?;
        Ok(())
    });
    let outcome = match made.await {
        Ok(()) => Outcome::Made,
        Err(failure) if failure.downcast_ref().is_some_and(Error::is_no_log) => Outcome::Refused,
        Err(_) => Outcome::Unknown,
    };
    witness.record().logs().transaction_ends(first, outcome);
}

/// Answers a request for one of the [`VERBS`].
pub(crate) async fn perform(witness: &Witness, group: &GroupHandle<impl Group>, request: &Request) -> Result<Response> {
    let parameter = |name| dog::query_param(request, name).unwrap_or_default();
    obey(witness, group, (&parameter("do"), &parameter("topic"))).await;
    Ok(dog::text_response(StatusCode::OK, "done"))
}

/// How something is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    /// In one call: an object's have an order.
    Once,
    /// Again, with a key, if it may not have been published.
    WithKey,
    InTransaction,
}

/// Returns the number of a new publication, and its message.
fn begin(witness: &Witness, publisher: &impl Publisher, topic: &'static str, calls: Calls) -> (u64, NewPublication) {
    let mut record = witness.record();
    let (_, number) = record.next_message(PUBLISHER);
    let life = Some(record.running_life()).filter(|_| publisher.is_object() && calls == Calls::Once);
    let now = record.now;
    record.logs().begins(number, (publisher.group(), topic), life, calls == Calls::WithKey, now);
    let topic = if topic.is_empty() { String::new() } else { format!(" {topic}") };
    (number, NewPublication::new(Message::text(format!("p {PUBLISHER} {number} -{topic}"))))
}

async fn publish(witness: &Witness, publisher: &impl Publisher, topic: &'static str) {
    let (number, publication) = begin(witness, publisher, topic, Calls::Once);
    let answer = publisher.publish(topic, publication).await;
    witness.record().published(number, &answer);
}

/// Publishes, and is told how many sockets have taken it. `is_exact`: nothing goes wrong meanwhile.
async fn publish_confirmed(witness: &Witness, publisher: &impl Publisher, topic: &'static str, is_exact: bool) {
    let (number, publication) = begin(witness, publisher, topic, Calls::Once);
    witness.record().confirmation_begins(number, (publisher.group(), topic));
    let answer = publisher.publish_confirmed(topic, publication).await;
    let mut record = witness.record();
    record.confirmation_ends((publisher.group(), number), &answer, is_exact);
    record.published(number, &answer.map(|report| report.position));
}

/// Publishes again what may not have been published.
async fn publish_with_key(witness: &Witness, publisher: &impl Publisher, topic: &'static str) {
    let (number, publication) = begin(witness, publisher, topic, Calls::WithKey);
    for _ in 0..ATTEMPTS {
        let answer = publisher.publish(topic, publication.clone().key(number.to_be_bytes().to_vec())).await;
        witness.record().published(number, &answer);
        let repeats = witness.record().random.happens(300);
        match answer {
            Ok(_) if !repeats => return,
            Err(error) if !error.is_deadline() && !error.is_unreachable() && !error.is_handler() => return,
            _ => {}
        }
    }
}

/// Reads a page that begins anywhere.
async fn read(witness: &Witness, publisher: &impl Publisher, topic: &'static str) {
    let (group, since, order, limit, asked) = {
        let mut record = witness.record();
        let (group, pick) = (publisher.group(), record.random.number());
        let since = record.logs().any_position(group, topic, pick).filter(|_| pick % 3 > 0);
        let order = *record.random.pick(&[HistoryOrder::OldestFirst, HistoryOrder::NewestFirst]);
        let limit = *record.random.pick(&[1, 3, 1000]);
        (group, since, order, limit, record.now)
    };
    let answer = publisher.history(topic, since.as_ref(), order, limit).await;
    let mut record = witness.record();
    let now = record.now_of(group);
    match answer {
        Ok(page) => {
            record.page_is_shown((topic, now.1), &page.head, &page.publications);
            let publications: Vec<_> =
                page.publications.iter().filter_map(|one| Some((one.offset, number(&one.message)?, one.at))).collect();
            let (head, more, since) = (&page.head, page.more, since.as_ref());
            let page = Page { head, publications: &publications, more, since, order, limit, asked: (asked, now.0) };
            let outcome = record.logs().check_page(group, topic, &page);
            record.check(18, outcome);
        }
        Err(error) => {
            if let Some(reason) = error.unrecovered() {
                let outcome = record.logs().check_no_page((group, topic), since.as_ref(), reason, now);
                record.check(18, outcome);
            }
        }
    }
}

/// These sockets are told that publications are lost. Some go on.
pub(crate) fn lost<R: Replica>(
    witness: &Witness,
    cx: &Context<R>,
    (topic, reason): (&str, Unrecovered),
    sockets: &[Socket],
) -> Result {
    let topic = published(topic);
    let mut record = witness.record();
    let now = record.now_of(cx.group());
    let outcome = record.logs().lost((cx.group(), topic), reason, sockets.iter().map(Socket::id), now);
    record.check(17, outcome);
    if record.random.happens(100) {
        return Err(dog::Failure::new("it cannot go on"));
    }
    let closed: Vec<&Socket> = sockets.iter().filter(|_| record.random.happens(300)).collect();
    drop(record);
    closed.iter().for_each(|socket| socket.close(dog::CloseCode::TRY_AGAIN, reason.as_str()));
    Ok(())
}
