//! What a Group does from its books alone, without its user's value: it reaches and counts sockets. A Group whose `activate`
//! fails or hangs does it all the same, and a Group that has no member leaves memory afterwards.

use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use dog::internal::{GroupVerb, LocalFuture, Topic, VerbAnswer};
use dog::{ClientId, Error, Message, ReplicaId, Timestamp};
use futures_channel::oneshot;

use super::open_books::OpenBooks;
use super::verb_queue::{Pending, Verb, Verbs};
use crate::address::{GroupAddress, Targets};
use crate::books::{Books, TopicAudience};
use crate::driver::calls::{ANSWER_DEADLINE, call_all_within, deadline_passed, unexpected_answer};
use crate::driver::object::{Living, over, start, writes_are_done};
use crate::fault_injection::{Fault, is_planted};
use crate::host::{HostObserver, Scheduler, Transport};
use crate::message::{Delivery, GroupAnswer, ReplicaAnswer, ReplicaCall, ReplicaCast, TopicDelivery};
use crate::repeats::log_limited;
use crate::reply::Reply;

/// How long verbs wait for the members to be counted. Then the results name the members that were not heard.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);

/// How long after its arrival a verb is answered, with the names of the members that have not answered. The caller waits a
/// little longer.
pub(super) const ANSWERED_WITHIN: Duration = ANSWER_DEADLINE.saturating_sub(Duration::from_millis(250));

/// A Group that reaches and counts sockets.
pub(super) trait Speaks: Living {
    fn verbs(&self) -> &Verbs;
    fn address(&self) -> GroupAddress;
    fn weak(&self) -> Weak<Self>;
    /// The books, if they are open.
    fn books(&self) -> Option<OpenBooks>;
    /// Opens the books.
    fn open_books(self: &Rc<Self>) -> LocalFuture<Result<OpenBooks, Error>>;
    /// Has the books be right now, once the user's value is in memory.
    fn ask_silent_members(&self, books: &OpenBooks);
    /// Asks one member for its seats.
    fn count(&self, books: &OpenBooks, replica: ReplicaId);
    /// A client is being disconnected.
    fn is_disconnecting(&self, client: &ClientId);
    /// The clients after `after` that count as present without a socket, in the order of their names.
    fn in_grace(&self, after: Option<&ClientId>) -> Vec<ClientId>;
    /// The life has left memory.
    fn leave(&self);
}

/// A verb of the App or of a Replica.
pub(super) fn call<G: Speaks>(group: &Rc<G>, verb: GroupVerb, reply: Reply<GroupAnswer>) {
    // If there is an error, the caller has it.
    let _ = begin(group, Verb::Call(verb, reply));
}

/// The same without an answer.
pub(super) fn cast<G: Speaks>(group: &Rc<G>, topic: Option<Topic>, message: Message) {
    if let Err(error) = begin(group, Verb::Cast(topic, message)) {
        log_limited!(group.core().host(), warn, "a broadcast to a Group is dropped", group = %group.address(), "a broadcast to a Group is dropped: {error}");
    }
}

/// A verb of the Group's own code.
pub(super) fn own_call<G: Speaks>(group: &G, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
    own_verb(group, move |this, reply| call(this, verb, reply))
}

/// A verb of the Group's own code that `ask` begins.
pub(super) fn own_verb<G: Speaks>(
    group: &G,
    ask: impl FnOnce(&Rc<G>, Reply<GroupAnswer>) + 'static,
) -> LocalFuture<Result<VerbAnswer, Error>> {
    let answer = ask_itself(group, ask);
    Box::pin(async move {
        match answer.await? {
            GroupAnswer::Verb(answer) => Ok(answer),
            _ => Err(unexpected_answer()),
        }
    })
}

/// Has the Group's own code ask its Group as others do. `ask` is called when the future is polled first.
pub(super) fn ask_itself<G: Speaks>(
    group: &G,
    ask: impl FnOnce(&Rc<G>, Reply<GroupAnswer>) + 'static,
) -> impl Future<Output = Result<GroupAnswer, Error>> + 'static {
    let (this, activation) = (group.weak(), group.core().life().activation());
    async move {
        activation.check()?;
        let this = this.upgrade().ok_or_else(over)?;
        let (sender, receiver) = oneshot::channel();
        // The receiver may have gone.
        ask(&this, Reply::new(move |answer| drop(sender.send(answer))));
        drop(this);
        // The reply is dropped only when the life is over.
        receiver.await.unwrap_or_else(|_| Err(over()))
    }
}

/// The same without an answer.
pub(super) fn own_cast<G: Speaks>(group: &G, topic: Option<Topic>, message: Message) -> Result<(), Error> {
    group.core().life().activation().check()?;
    let this = group.weak().upgrade().ok_or_else(over)?;
    begin(&this, Verb::Cast(topic, message))
}

/// Runs a verb as soon as the members are counted, after those that came before it.
fn begin<G: Speaks>(group: &Rc<G>, verb: Verb) -> Result<(), Error> {
    let pending = Pending { verb, came: group.core().host().now() };
    if let Some(books) = group.books().filter(|_| !group.verbs().any_wait()) {
        ask_members(&**group, &books);
        if !books.borrow().awaits_census() {
            run(group, &books, pending);
            leave_if_unneeded(group);
            return Ok(());
        }
    }
    group.verbs().wait(pending)?;
    limit_wait(group);
    match group.books() {
        Some(books) => {
            ask_members(&**group, &books);
            run_waiting(group, &books);
        }
        None => open_for_verbs(group),
    }
    Ok(())
}

/// The books should be right now.
fn ask_members<G: Speaks>(group: &G, books: &OpenBooks) {
    if books.borrow().is_configured() {
        return group.ask_silent_members(books);
    }
    let now = group.core().host().now();
    let mut to_ask = if group.verbs().begin_count() { books.borrow().uncounted() } else { Vec::new() };
    books.borrow_mut().check_silent(now);
    to_ask.extend(books.borrow_mut().to_ask(now));
    to_ask.into_iter().for_each(|replica| group.count(books, replica));
}

fn open_for_verbs<G: Speaks>(group: &Rc<G>) {
    if !group.verbs().begin_opening() {
        return;
    }
    let this = Rc::clone(group);
    start(group, async move {
        let opened = this.open_books().await;
        this.verbs().end_opening();
        match opened {
            Ok(books) => {
                ask_members(&*this, &books);
                run_waiting(&this, &books);
            }
            Err(error) => {
                this.verbs().fail_waiting(&error);
                leave_if_unneeded(&this);
            }
        }
    });
}

/// From now on, nothing that waits waits for longer than [`COUNTED_WITHIN`].
fn limit_wait<G: Speaks>(group: &Rc<G>) {
    if !group.verbs().begin_limit() {
        return;
    }
    let (host, this) = (Rc::clone(group.core().host()), Rc::downgrade(group));
    group.core().host().spawn(Box::pin(async move {
        host.sleep(COUNTED_WITHIN).await;
        let Some(group) = this.upgrade().filter(|group| !group.core().life().has_ended()) else { return };
        group.verbs().end_limit();
        if let Some(books) = group.books() {
            run_all(&group, &books);
        }
    }));
}

/// Runs what waits, once the members are counted.
pub(super) fn run_waiting<G: Speaks>(group: &Rc<G>, books: &OpenBooks) {
    if !books.borrow().awaits_census() {
        run_all(group, books);
    }
}

fn run_all<G: Speaks>(group: &Rc<G>, books: &OpenBooks) {
    let mut ran = false;
    while let Some(pending) = group.verbs().pop() {
        run(group, books, pending);
        ran = true;
    }
    if ran {
        leave_if_unneeded(group);
    }
}

/// What a verb sends is sent before this returns, unless it waits for permits. So what one caller sends keeps its order.
fn run<G: Speaks>(group: &Rc<G>, books: &OpenBooks, Pending { verb, came }: Pending) {
    let (verb, reply) = match verb {
        Verb::Cast(None, message) => {
            let delivery = ReplicaCast::Deliver(Delivery { message, except: None });
            return send(&**group, &listeners(&**group, books), delivery);
        }
        Verb::Cast(Some(topic), message) => return send_to(&**group, books, &topic, &message),
        Verb::Call(GroupVerb::Clients { after, limit }, reply) => {
            return reply.send(Ok(GroupAnswer::Verb(page(&**group, &books.borrow(), after.as_ref(), limit))));
        }
        Verb::Call(GroupVerb::Count, reply) => {
            return reply.send(Ok(GroupAnswer::Verb(count(&books.borrow()))));
        }
        Verb::Call(verb, reply) => (verb, reply),
    };
    let (this, books, running) = (Rc::clone(group), Rc::clone(books), group.verbs().begin());
    start(group, async move {
        let answer = reach(&*this, &books, verb, came).await;
        reply.send(answer.map(GroupAnswer::Verb));
        drop(running);
        leave_if_unneeded(&this);
    });
}

fn page<G: Speaks>(group: &G, books: &Books, after: Option<&ClientId>, limit: u32) -> VerbAnswer {
    let limit = limit as usize;
    let (mut clients, mut more) = books.clients_after(after, limit);
    let last = clients.last().filter(|_| more).map(|(client, _)| client.clone());
    let mut in_grace = group.in_grace(after);
    // Those after the page come with a later one.
    in_grace.retain(|client| last.as_ref().is_none_or(|last| client < last));
    in_grace.retain(|client| clients.binary_search_by(|(known, _)| known.cmp(client)).is_err());
    if !in_grace.is_empty() {
        clients.extend(in_grace.into_iter().map(|client| (client, 0)));
        clients.sort_unstable();
        more |= clients.len() > limit;
        clients.truncate(limit);
    }
    if is_planted(Fault::PageSkipsOne) && after.is_some() {
        clients.drain(..clients.len().min(1));
    }
    VerbAnswer::Clients { clients, more, missing: books.listeners().unheard().collect() }
}

fn count(books: &Books) -> VerbAnswer {
    let (totals, missing) = (books.totals(), books.listeners().unheard().collect());
    let missed = usize::from(is_planted(Fault::CountMissesOne));
    VerbAnswer::Count { clients: totals.connected, sockets: totals.sockets.saturating_sub(missed), missing }
}

fn send<G: Speaks>(group: &G, to: &Targets, delivery: ReplicaCast) {
    if !to.replicas.is_empty() {
        group.core().host().cast_replicas(to, delivery);
    }
}

/// To the Replicas with subscribers of the topic. Those whose topics are not known may have some, and are asked.
fn send_to<G: Speaks>(group: &G, books: &OpenBooks, topic: &Topic, message: &Message) {
    let TopicAudience { interested, unknown } = books.borrow().topic_audience(topic);
    let targets = |replicas: Vec<ReplicaId>| to(group, replicas.into());
    let delivery = |asks| {
        ReplicaCast::DeliverTopic(TopicDelivery { topic: topic.clone(), message: message.clone(), except: None, asks })
    };
    send(group, &targets(interested), delivery(false));
    send(group, &targets(unknown), delivery(true));
}

fn to<G: Speaks>(group: &G, replicas: Arc<[ReplicaId]>) -> Targets {
    Targets { group: group.address(), replicas, except: None }
}

fn listeners<G: Speaks>(group: &G, books: &OpenBooks) -> Targets {
    let mut replicas: Vec<ReplicaId> = books.borrow().listeners().all().collect();
    if is_planted(Fault::YoungestIsNotTold) {
        replicas.pop();
    }
    to(group, replicas.into())
}

/// Calls the Replicas that may have sockets.
async fn reach<G: Speaks>(group: &G, books: &OpenBooks, verb: GroupVerb, came: Timestamp) -> Result<VerbAnswer, Error> {
    let left = ANSWERED_WITHIN.saturating_sub(group.core().host().now().since(came));
    if left.is_zero() {
        return Err(deadline_passed());
    }
    let of_client = |client| to(group, books.borrow().listeners().of(client).into());
    let left_out = || books.borrow().listeners().left_out().collect();
    let (targets, call, left_out) = match verb {
        GroupVerb::Broadcast(message) => {
            (listeners(group, books), ReplicaCall::Deliver(Delivery { message, except: None }), None)
        }
        GroupVerb::Whisper { client, message } => (of_client(&client), ReplicaCall::Whisper { client, message }, None),
        GroupVerb::Disconnect { client, code, reason } => {
            group.is_disconnecting(&client);
            (of_client(&client), ReplicaCall::Disconnect { client, code, reason }, None)
        }
        GroupVerb::Hand { session, message } => {
            // Only a member that may have sockets is asked: a forged name brings no object to life.
            let mut to = listeners(group, books);
            to.replicas = to.replicas.iter().filter(|to| *to.as_bytes() == session.replica).copied().collect();
            (to, ReplicaCall::Hand { session, message }, None)
        }
        GroupVerb::Gossip(bytes) => (listeners(group, books), ReplicaCall::Gossip(bytes), Some(left_out())),
        GroupVerb::Clients { .. } | GroupVerb::Count => return Err(unexpected_answer()),
        GroupVerb::Presence { .. } | GroupVerb::PresenceCounts { .. } => return Err(unexpected_answer()),
    };
    let answers = call_all_within(group.core().host(), &targets, &call, left).await;
    Ok(match left_out {
        Some(left_out) => gossip(answers, left_out),
        None => {
            let (sockets, missing) = reached(answers);
            VerbAnswer::Reached { sockets, missing }
        }
    })
}

pub(super) type Answers = Vec<(ReplicaId, Result<ReplicaAnswer, Error>)>;

fn gossip(answers: Answers, left_out: Vec<ReplicaId>) -> VerbAnswer {
    let bytes = |answer| match answer {
        ReplicaAnswer::Gossip(bytes) => Ok(bytes),
        _ => Err(unexpected_answer()),
    };
    let answers = answers.into_iter().map(|(replica, answer)| (replica, answer.and_then(bytes))).collect();
    VerbAnswer::Gossip { answers, left_out }
}

/// How many sockets were reached, and the Replicas that have not answered.
pub(super) fn reached(answers: Answers) -> (usize, Vec<(ReplicaId, Error)>) {
    let (mut sockets, mut missing) = (0, Vec::new());
    for (replica, answer) in answers {
        match answer {
            Ok(ReplicaAnswer::Delivered(reached)) => sockets += reached,
            Ok(_) => missing.push((replica, unexpected_answer())),
            Err(_) if is_planted(Fault::SilenceIsNotNamed) => {}
            Err(error) => missing.push((replica, error)),
        }
    }
    (sockets, missing)
}

/// Without a member, a Group that is only here because of verbs leaves memory at once.
pub(super) fn leave_if_unneeded<G: Speaks>(group: &Rc<G>) {
    let has_members = group.books().is_some_and(|books| books.borrow().totals().members > 0);
    if !has_members && group.verbs().are_done() && group.core().life().is_hibernating() {
        leave(group);
    }
}

/// Leaves memory if the user's value is not there, and nothing runs. Returns `false` if this has to be tried again later.
pub(super) fn leave_memory<G: Speaks>(group: &Rc<G>) -> bool {
    let life = group.core().life();
    if !life.is_hibernating() || !life.is_idle() || !group.verbs().are_done() || group.core().store().alarms_are_busy()
    {
        return false;
    }
    if writes_are_done(group) {
        leave(group);
    }
    true
}

fn leave<G: Speaks>(group: &Rc<G>) {
    if group.core().leave_memory() {
        group.leave();
    }
}
