//! Who is in the Group (promise 19): takes the reports of its Replicas, finds out what the life before has told, and tells what
//! changes to the Replicas that follow and to the Group's own code. All decisions are in [`presence`](crate::presence).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use dog::internal::{GroupVerb, Kind, LocalFuture, Presences, Topic, VerbAnswer};
use dog::{ClientId, Epoch, Error, Policy, ReplicaId};

use super::presence_hooks::{Hook, Hooks};
use super::timer::Timer;
use super::verbs::{self, Speaks, leave_if_unneeded};
use crate::address::{ReplicaAddress, Targets};
use crate::books::MemberState;
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::driver::object::{note_event, start};
use crate::host::{Host, Scheduler, Transport};
use crate::message::{
    GroupAnswer, PresenceAcknowledgement, PresenceCall, PresenceReply, ReplicaAnswer, ReplicaCall, ReplicaCast,
};
use crate::presence::{
    ConnectionEnd, GroupPresence, PresenceSettings, PresenceStart, RosterQuestion, is_reading, read,
};
use crate::reply::Reply;

/// How long the members have to report their connections when the Group has woken. Those that have not are taken to have the
/// connections that were told last.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);

/// How much longer than the shutdown itself a client stays whose server shuts down.
const AFTER_SHUTDOWN: Duration = Duration::from_secs(10);

/// How long a Replica has to answer that is asked for its connections, before it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The most callers that wait until it is known who is there.
const MOST_WAITING: usize = 1000;

/// The shortest time until something is told again.
const SHORTEST_TIMER: Duration = Duration::from_millis(5);

/// The presence of one life of a Group, if it has one.
#[derive(Default)]
pub(super) struct PresenceOfLife {
    state: RefCell<Option<State>>,
    hooks: Hooks,
    timer: Timer,
}

struct State {
    presence: GroupPresence,
    feature: Presences,
    stage: Stage,
    /// The Replicas that are asked because their connections may have ended.
    doubted: BTreeSet<ReplicaId>,
    waiting: Vec<(GroupVerb, Reply<GroupAnswer>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The members are being counted.
    Counts,
    /// What the life before has told is being read.
    Reads,
    Runs,
}

/// A Group that may have a presence.
pub(super) trait Attends: Speaks {
    fn presence(&self) -> &PresenceOfLife;
    /// Whether a topic has a presence.
    fn has_presence(topic: &str) -> bool;
    /// Calls a function of the user.
    fn run_hook(self: &Rc<Self>, hook: Hook) -> LocalFuture<()>;
}

impl PresenceOfLife {
    pub(super) fn is_on(&self) -> bool {
        Presences::ON && self.state.borrow().is_some()
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> Option<T> {
        if !Presences::ON {
            return None;
        }
        self.state.borrow_mut().as_mut().map(what)
    }

    /// Whether the Group has to stay in memory, because it has something to tell.
    pub(super) fn is_needed(&self) -> bool {
        let has_to_tell = |state: &mut State| state.stage != Stage::Runs || state.presence.next_deadline().is_some();
        self.with(has_to_tell).unwrap_or(false) || !self.hooks.are_done()
    }

    /// The life is over. Callers get an error.
    pub(super) fn clear(&self) {
        let state = self.state.take();
        drop(state);
        self.hooks.clear();
        self.timer.cancel();
    }

    /// Whether one more topic may have a presence.
    pub(super) fn admits(&self, topic: &Topic, has_subscribers: impl Fn(&Topic) -> bool) -> bool {
        self.with(|state| state.presence.admit(topic, has_subscribers)).unwrap_or(true)
    }

    /// The clients in their grace time that come after `after` in the order of their names.
    pub(super) fn in_grace(&self, after: Option<&ClientId>) -> Vec<ClientId> {
        let clients = self.with(|state| {
            let clients = state.presence.in_grace().filter(|client| after.is_none_or(|after| *client > after));
            clients.cloned().collect::<Vec<_>>()
        });
        let mut clients = clients.unwrap_or_default();
        clients.sort_unstable();
        clients
    }
}

fn settings(policy: &Policy, drains_within: Duration) -> Option<(PresenceSettings, Presences)> {
    let presence = policy.presence?;
    let (grace, tick) = (presence.grace_time(), presence.tick_time());
    let restart_grace = grace.max(drains_within + AFTER_SHUTDOWN);
    Some((PresenceSettings { grace, restart_grace, tick, ..PresenceSettings::default() }, presence.feature()))
}

fn no_presence() -> Error {
    Error::new(Kind::NoPresence, "the Group has no presence: set `presence` in Group::policy")
}

fn no_presence_of_topic() -> Error {
    Error::new(Kind::NoPresence, "the topic has no presence: implement Group::has_presence")
}

/// The user's value has come into memory.
pub(super) fn begin<G: Attends>(group: &Rc<G>, policy: &Policy) {
    let host = group.core().host();
    let Some((settings, feature)) = settings(policy, host.profile().drains_within) else { return };
    if group.presence().is_on() {
        return;
    }
    let presence = GroupPresence::new(group.core().epoch(), settings);
    let state = State { presence, feature, stage: Stage::Counts, doubted: BTreeSet::new(), waiting: Vec::new() };
    group.presence().state.replace(Some(state));
    let (host, weak) = (Rc::clone(host), Rc::downgrade(group));
    group.core().host().spawn(Box::pin(async move {
        host.sleep(COUNTED_WITHIN).await;
        if let Some(group) = weak.upgrade().filter(|group| !group.core().life().has_ended()) {
            begin_reading(&group);
        }
    }));
}

/// Goes on, if all members have reported their connections.
pub(super) fn members_were_counted<G: Attends>(group: &Rc<G>) {
    let Some(books) = group.books().filter(|_| group.presence().is_on()) else { return };
    let are_counted = group.presence().with(|state| {
        let books = books.borrow();
        state.stage == Stage::Counts
            && !books.awaits_census()
            && books.listeners().all().all(|replica| state.presence.is_counted(replica))
    });
    if are_counted == Some(true) {
        begin_reading(group);
    }
}

/// Finds out what the life before has told, and goes on with that.
fn begin_reading<G: Attends>(group: &Rc<G>) {
    let now = group.core().host().now();
    let first = group.presence().with(|state| {
        (state.stage == Stage::Counts).then(|| {
            state.stage = Stage::Reads;
            state.presence.start(now)
        })
    });
    let Some(first) = first.flatten() else { return };
    let this = Rc::clone(group);
    start(group, async move {
        let mut next = first;
        while let PresenceStart::Ask(replica, question) = next {
            let Some(then) = ask(&*this, replica, question).await else { return };
            next = then;
        }
        begin_telling(&this, &next);
    });
}

/// Reads a page of the rosters of a Replica.
async fn ask<G: Attends>(group: &G, replica: ReplicaId, question: RosterQuestion) -> Option<PresenceStart> {
    let host = group.core().host();
    let feature = group.presence().with(|state| state.feature)?;
    let to = ReplicaAddress { group: group.address(), replica };
    let answer = host.call_replica(to, ReplicaCall::Roster(feature, question));
    let answer = by_deadline(host, ANSWER_DEADLINE, answer).await;
    let now = host.now();
    group.presence().with(|state| match answer {
        Ok(ReplicaAnswer::Roster(_, Some(page))) => state.presence.roster(replica, page, now),
        Ok(_) | Err(_) => state.presence.no_roster(replica, now),
    })?
}

fn begin_telling<G: Attends>(group: &Rc<G>, start: &PresenceStart) {
    let Some(books) = group.books() else { return };
    let now = group.core().host().now();
    // A parked Replica has no sockets, and is asked for nothing.
    let is_gone = |replica: &ReplicaId| matches!(books.borrow().state(*replica), None | Some(MemberState::Parked));
    let waiting = group.presence().with(|state| {
        state.stage = Stage::Runs;
        let gone: Vec<_> = state.presence.uncounted().into_iter().filter(is_gone).collect();
        gone.into_iter().for_each(|replica| state.presence.remove(replica, now));
        std::mem::take(&mut state.waiting)
    });
    if *start == PresenceStart::Reset {
        group.presence().hooks.reset();
    }
    for (verb, reply) in waiting.into_iter().flatten() {
        reading(&**group, verb, reply);
    }
    tell(group);
}

/// Tells what is due now, and sets the timer for the rest.
fn tell<G: Attends>(group: &Rc<G>) {
    let host = group.core().host();
    let now = host.now();
    let due = group.presence().with(|state| {
        let list = state.presence.advance(now);
        let version = state.presence.told().map(|(_, version)| version);
        (list, state.presence.followers(), version, state.presence.due_repeats(now), state.feature)
    });
    let Some((list, followers, version, repeats, feature)) = due else { return };
    if let Some(list) = list {
        group.presence().hooks.changed(&list.changes);
        cast(&**group, followers, ReplicaCast::Presence(feature, list));
    }
    if let Some(version) = version {
        cast(&**group, repeats, ReplicaCast::PresenceHead(feature, version));
    }
    run_hooks(group);
    schedule(group);
}

fn cast<G: Attends>(group: &G, replicas: Vec<ReplicaId>, cast: ReplicaCast) {
    if !replicas.is_empty() {
        let to = Targets { group: group.address(), replicas: replicas.into(), except: None };
        group.core().host().cast_replicas(&to, cast);
    }
}

fn run_hooks<G: Attends>(group: &Rc<G>) {
    if !group.presence().hooks.begin() {
        return;
    }
    let this = Rc::clone(group);
    start(group, async move {
        while let Some(hook) = this.presence().hooks.next() {
            this.run_hook(hook).await;
        }
    });
}

/// Sets the timer for what has to be told next.
fn schedule<G: Attends>(group: &Rc<G>) {
    let deadline = group.presence().with(|state| state.presence.next_deadline()).flatten();
    let weak = Rc::downgrade(group);
    group.presence().timer.schedule(group.core().host(), deadline, SHORTEST_TIMER, move || {
        if let Some(group) = weak.upgrade().filter(|group| !group.core().life().has_ended()) {
            group.presence().timer.fired();
            tell(&group);
            // This may have been the only thing that kept the Group in memory.
            note_event(&group);
        }
    });
}

/// A Replica is parked or has reported its connections. It reports its seats apart from them, and may crash between the two
/// reports. If it is empty by the one and has connections by the other, it is asked until both agree: if that life is over, the
/// next one says so.
pub(super) fn check_parked<G: Attends>(group: &Rc<G>, replica: ReplicaId) {
    let begins =
        is_in_doubt(&**group, replica) && group.presence().with(|state| state.doubted.insert(replica)) == Some(true);
    if !begins {
        return;
    }
    let (host, weak) = (Rc::clone(group.core().host()), Rc::downgrade(group));
    group.core().host().spawn(Box::pin(async move {
        while let Some(group) = weak.upgrade().filter(|group| !group.core().life().has_ended()) {
            let Some(books) = group.books().filter(|_| is_in_doubt(&*group, replica)) else {
                group.presence().with(|state| state.doubted.remove(&replica));
                return;
            };
            group.count(&books, replica);
            drop((books, group));
            host.sleep(ASK_AGAIN).await;
        }
    }));
}

/// Whether a Replica has connections, although nobody is seated there as far as the books know.
fn is_in_doubt<G: Attends>(group: &G, replica: ReplicaId) -> bool {
    let Some(books) = group.books() else { return false };
    let is_parked = matches!(books.borrow().state(replica), None | Some(MemberState::Parked));
    is_parked && group.presence().with(|state| state.presence.has_connections(replica)) == Some(true)
}

/// Answers a Replica.
pub(super) fn call<G: Attends>(group: &Rc<G>, call: PresenceCall, reply: Reply<GroupAnswer>) {
    let now = group.core().host().now();
    let reporter = match &call {
        PresenceCall::Report(report) => Some(report.replica),
        PresenceCall::Question(_) => None,
    };
    let answer = group.presence().with(|state| {
        let answer = match call {
            PresenceCall::Report(report) => PresenceReply::Reported(state.presence.report(report, now)),
            PresenceCall::Question(question) => PresenceReply::Answered(state.presence.answer(&question)),
        };
        GroupAnswer::Presence(state.feature, answer)
    });
    reply.send(answer.ok_or_else(no_presence));
    reporter.into_iter().for_each(|replica| check_parked(group, replica));
    members_were_counted(group);
    schedule(group);
}

/// A Replica has a version.
pub(super) fn acknowledged<G: Attends>(
    group: &Rc<G>,
    PresenceAcknowledgement { replica, version }: PresenceAcknowledgement,
) {
    let now = group.core().host().now();
    group.presence().with(|state| state.presence.acknowledged(replica, version, now));
    schedule(group);
}

/// A life of a Replica is over.
pub(super) fn lost<G: Attends>(group: &Rc<G>, replica: ReplicaId, epoch: Epoch) {
    let now = group.core().host().now();
    group.presence().with(|state| state.presence.lost(replica, epoch, ConnectionEnd::Gone, now));
    schedule(group);
}

/// These Replicas are no members any more.
pub(super) fn forget<G: Attends>(group: &Rc<G>, replicas: &[ReplicaId]) {
    let now = group.core().host().now();
    group.presence().with(|state| replicas.iter().for_each(|replica| state.presence.remove(*replica, now)));
    schedule(group);
}

/// A client is disconnected: it has no grace time.
pub(super) fn disconnect<G: Attends>(group: &Rc<G>, client: &ClientId) {
    let now = group.core().host().now();
    group.presence().with(|state| state.presence.disconnect(client, now));
    schedule(group);
}

/// Whether the verb is one for [`verb`].
pub(super) const fn is_about_presence(verb: &GroupVerb) -> bool {
    Presences::ON && is_reading(verb)
}

/// Says who is there, once the Group is in memory and has found it out. For nobody it does not come into memory.
pub(super) fn verb<G: Attends>(
    group: &Rc<G>,
    woken: impl FnOnce(&Rc<G>) -> LocalFuture<Result<Rc<G::Value>, Error>> + 'static,
    verb: GroupVerb,
    reply: Reply<GroupAnswer>,
) {
    if verb.presence_topic().is_some_and(|topic| !G::has_presence(topic)) {
        return reply.send(Err(no_presence_of_topic()));
    }
    let this = Rc::clone(group);
    start(group, async move {
        if this.core().life().is_hibernating() {
            match this.open_books().await {
                Ok(books) if books.borrow().totals().members == 0 => {
                    reply.send(Ok(GroupAnswer::Verb(verb.of_nobody())));
                    return leave_if_unneeded(&this);
                }
                Ok(_) => {}
                Err(error) => return reply.send(Err(error)),
            }
        }
        match woken(&this).await {
            Ok(_) => reading(&*this, verb, reply),
            Err(error) => reply.send(Err(error)),
        }
    });
}

/// The same for the Group's own code.
pub(super) fn own_verb<G: Attends>(
    group: &G,
    woken: impl FnOnce(&Rc<G>) -> LocalFuture<Result<Rc<G::Value>, Error>> + 'static,
    asked: GroupVerb,
) -> LocalFuture<Result<VerbAnswer, Error>> {
    verbs::own_verb(group, move |this, reply| verb(this, woken, asked, reply))
}

fn reading<G: Attends>(group: &G, verb: GroupVerb, reply: Reply<GroupAnswer>) {
    let mut state = group.presence().state.borrow_mut();
    let Some(state) = state.as_mut() else { return reply.send(Err(no_presence())) };
    let known = state.presence.told().filter(|_| state.stage == Stage::Runs);
    if let Some((rosters, version)) = known {
        let answer = read(&verb, rosters, version).map(GroupAnswer::Verb);
        return reply.send(answer.ok_or_else(unexpected_answer));
    }
    if state.waiting.len() >= MOST_WAITING {
        let text = "too many wait until the Replicas of the Group are counted: try again later";
        return reply.send(Err(Error::new(Kind::TooMany, text)));
    }
    state.waiting.push((verb, reply));
}
