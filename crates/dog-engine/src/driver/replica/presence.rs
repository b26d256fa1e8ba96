//! What a Replica does for the presence of its Group (promise 19): it reports its open sockets and their values, and, if its code
//! wants to know who is there, follows what the Group tells. All decisions are in [`presence`](crate::presence).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{
    ConnectionId, GroupVerb, Kind, PresenceNews, PresenceVersion, Presences, Topic, Topics, VerbAnswer,
};
use dog::{ClientId, CloseCode, Epoch, Error, SocketId};

use super::presence_news::News;
use super::topics::Subscribable;
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::driver::object::watch;
use crate::host::{End, Host, KeptSocket, Scheduler, SocketHost, Transport};
use crate::message::{GroupAnswer, GroupCall, GroupCast, PresenceAcknowledgement, PresenceCall, PresenceReply};
use crate::presence::{
    ConnectionEnd, Following, OwnConnections, PresenceChanges, PresenceFollower, PresenceSettings, RosterPage,
    RosterQuestion, read,
};
use crate::socket_map::SocketMap;

/// How long a report waits before it is sent again, and a question.
const AGAIN: Duration = Duration::from_secs(1);

/// How long reports are collected where every message is paid for.
const COLLECTED: Duration = Duration::from_millis(100);

/// The presence as one life of a Replica knows it. It takes memory only if the Group has a presence.
#[derive(Default)]
pub(super) struct PresenceHere {
    state: RefCell<Option<Box<State>>>,
}

struct State {
    feature: Presences,
    own: OwnConnections,
    names: SocketMap<ConnectionId>,
    /// `None`: it does not follow, because its code does not want to know, or it has no sockets.
    follower: Option<PresenceFollower>,
    /// Whether a task reports.
    reports: Cell<bool>,
    /// Whether a task asks what is missing.
    asks: Cell<bool>,
    news: News,
}

/// A Replica that may take part in the presence of its Group.
pub(super) trait Attends: Subscribable {
    /// Whether the user's code wants to know who is there.
    const FOLLOWS: bool;

    fn presence(&self) -> &PresenceHere;
    /// Tells the user's code, until nothing is [left](PresenceHere::next_news).
    fn tell_news(&self);
}

impl PresenceHere {
    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> Option<T> {
        if !Presences::ON {
            return None;
        }
        self.state.borrow_mut().as_deref_mut().map(what)
    }

    /// Whether there is nothing to report.
    pub(super) fn is_reported(&self) -> bool {
        self.with(|state| state.own.is_reported() && !state.reports.get()).unwrap_or(true)
    }

    /// What the user's code has to be told next.
    pub(super) fn next_news(&self) -> Option<PresenceNews> {
        self.with(|state| state.news.next()).flatten()
    }

    /// The user's value has left memory.
    pub(super) fn value_is_gone(&self) {
        self.with(|state| state.news.value_is_gone());
    }

    /// The life has ended.
    pub(super) fn clear(&self) {
        drop(self.state.take());
    }

    /// The name of an open socket.
    pub(super) fn name(&self, socket: SocketId) -> Option<ConnectionId> {
        self.with(|state| state.names.get(&socket).copied()).flatten()
    }

    /// The answer to the user's code from what is known here, if the version is.
    pub(super) fn read(&self, verb: &GroupVerb) -> Option<VerbAnswer> {
        self.with(|state| {
            let follower = state.follower.as_ref()?;
            read(verb, follower.rosters(), follower.version()?)
        })?
    }

    /// The Group has woken and asks what it has told.
    pub(super) fn roster(&self, question: &RosterQuestion) -> Option<RosterPage> {
        let bounds = PresenceSettings::default().list;
        self.with(|state| state.follower.as_mut()?.page_for_group(question, bounds)).flatten()
    }
}

impl State {
    fn following(&self) -> Following {
        self.follower.as_ref().map_or(Following::No, PresenceFollower::following)
    }

    /// The Replica follows while it has sockets. The Group learns it with a census.
    fn follow(&mut self, wants: bool) {
        let follows = wants && self.own.count() > 0;
        if follows != self.follower.is_some() {
            self.follower = follows.then(PresenceFollower::default);
            self.news.clear();
            self.own.ask();
        }
    }
}

fn no_presence() -> Error {
    Error::new(Kind::NoPresence, "the Group has no presence: set `presence` in Group::policy")
}

fn new_state<R: Attends>(driver: &R, feature: Presences) -> State {
    let own = OwnConnections::new(driver.seats().borrow().replica(), driver.core().epoch());
    State {
        feature,
        own,
        names: SocketMap::default(),
        follower: None,
        reports: Cell::default(),
        asks: Cell::default(),
        news: News::default(),
    }
}

/// Sockets of the life before are still open, and some have names.
pub(super) fn restore<R: Attends>(driver: &R, sockets: &[KeptSocket]) {
    let Some(feature) = Presences::get().filter(|_| sockets.iter().any(|socket| socket.presence.is_some())) else {
        return;
    };
    let mut state = new_state(driver, feature);
    for KeptSocket { socket, client, presence, topics, .. } in sockets {
        if let Some((name, value)) = presence {
            state.own.reopen(*name, client.clone(), value.clone());
            state.own.set_topics(*name, topics.iter().filter(|topic| R::has_presence(topic)).cloned().collect());
            state.names.insert(*socket, *name);
        }
    }
    state.follow(R::FOLLOWS);
    driver.presence().state.replace(Some(Box::new(state)));
}

/// The Group, in this life, has said whether it has a presence.
pub(super) fn enrolled<R: Attends>(driver: &R, feature: Option<Presences>, life: Epoch) {
    let Some(feature) = feature else { return driver.presence().clear() };
    if driver.presence().state.borrow().is_none() {
        driver.presence().state.replace(Some(Box::new(new_state(driver, feature))));
    }
    let unnamed: Vec<_> = {
        let seats = driver.seats().borrow();
        let client = |socket: &SocketId| seats.client(*socket).map(|client| (*socket, client.clone()));
        let unnamed = seats.sockets().iter().filter(|socket| driver.presence().name(**socket).is_none());
        unnamed.filter_map(client).collect()
    };
    driver.presence().with(|state| state.own.is_counted_by(life));
    for (socket, client) in unnamed {
        opened(driver, socket, &client);
    }
    report(driver);
}

/// A socket has opened.
pub(super) fn opened<R: Attends>(driver: &R, socket: SocketId, client: &ClientId) {
    let name = driver.presence().with(|state| {
        // No value is never too long.
        let name = state.own.open(client.clone(), Bytes::new()).ok()?;
        state.names.insert(socket, name);
        state.follow(R::FOLLOWS);
        Some(name)
    });
    if let Some(name) = name.flatten() {
        driver.core().host().set_presence(socket, name, &Bytes::new());
        set_topics(driver, &[socket]);
        report(driver);
    }
}

/// The Group knows that these sockets are subscribed to a topic, or they are not any more.
pub(super) fn subscriptions_changed<R: Attends>(driver: &R, topic: &str, sockets: &[SocketId]) {
    if R::has_presence(topic) {
        set_topics(driver, sockets);
        report(driver);
    }
}

/// Notes in which topics sockets are present. A topic that the Group has not acknowledged yet may be refused.
fn set_topics<R: Attends>(driver: &R, sockets: &[SocketId]) {
    if !Topics::ON {
        return;
    }
    let seats = driver.seats().borrow();
    let has_presence = |topic: &&Topic| R::has_presence(topic) && !seats.topics().is_unknown(topic);
    driver.presence().with(|state| {
        for socket in sockets {
            let topics: BTreeSet<_> = seats.topics().of_socket(*socket).filter(has_presence).cloned().collect();
            if let Some(name) = state.names.get(socket) {
                state.own.set_topics(*name, topics);
            }
        }
    });
}

/// The client of a socket has become known.
pub(super) fn assigned<R: Attends>(driver: &R, socket: SocketId, client: &ClientId) {
    driver.presence().with(|state| {
        let name = state.names.get(&socket).copied();
        name.is_some_and(|name| state.own.assign(name, client.clone()))
    });
    report(driver);
}

/// A socket has another value.
pub(super) fn set_value<R: Attends>(driver: &R, socket: SocketId, value: &Bytes) -> Result<(), Error> {
    let set = driver.presence().with(|state| {
        let name = state.names.get(&socket).copied().ok_or_else(|| Error::of_socket(socket))?;
        Ok(state.own.set_value(name, value.clone())?.then_some(name))
    });
    if let Some(name) = set.ok_or_else(no_presence)?? {
        driver.core().host().set_presence(socket, name, value);
        report(driver);
    }
    Ok(())
}

/// A socket has ended.
pub(super) fn closed<R: Attends>(driver: &R, socket: SocketId, end: &End) {
    let code = match end {
        End::Close(close) => close.code(),
        End::Error(error) => error.close().code(),
    };
    let how = if code == CloseCode::RESTARTING { ConnectionEnd::Restarting } else { ConnectionEnd::Gone };
    ended(driver, socket, how);
}

/// The client of a socket is disconnected.
pub(super) fn disconnected<R: Attends>(driver: &R, socket: SocketId) {
    ended(driver, socket, ConnectionEnd::Disconnected);
}

/// Only the first end counts.
fn ended<R: Attends>(driver: &R, socket: SocketId, how: ConnectionEnd) {
    let ended = driver.presence().with(|state| {
        let Some(name) = state.names.remove(&socket) else { return false };
        state.own.close(name, how);
        state.follow(R::FOLLOWS);
        true
    });
    if ended == Some(true) {
        report(driver);
    }
}

/// Reports what the Group has not acknowledged, until it has. One report is under way at a time.
pub(super) fn report<R: Attends>(driver: &R) {
    let begins = driver.presence().with(|state| !state.own.is_reported() && !state.reports.replace(true));
    if begins != Some(true) {
        return;
    }
    let (host, weak, group) = (Rc::clone(driver.core().host()), driver.weak(), driver.group());
    driver.core().host().spawn(Box::pin(async move {
        let living = || weak.upgrade().filter(|driver| !driver.core().life().has_ended());
        if !host.profile().liveness.are_timed() {
            host.sleep(COLLECTED).await;
        }
        loop {
            let Some(driver) = living() else { return };
            let next = driver.presence().with(|state| {
                let following = state.following();
                let next = state.own.report(following).map(|(round, report)| (round, report, state.feature));
                state.reports.set(next.is_some());
                next
            });
            let Some((round, report, feature)) = next.flatten() else {
                // The report may have been the only thing that kept this in memory.
                return watch(&driver);
            };
            drop(driver);
            let call = GroupCall::Presence(feature, PresenceCall::Report(report));
            match by_deadline(&host, ANSWER_DEADLINE, host.call_group(group, call)).await {
                Ok(GroupAnswer::Presence(_, PresenceReply::Reported(answer))) => {
                    let Some(driver) = living() else { return };
                    driver.presence().with(|state| state.own.answered(round, answer));
                }
                Ok(_) | Err(_) => host.sleep(AGAIN).await,
            }
        }
    }));
}

/// The Group has told changes.
pub(super) fn changes_came<R: Attends>(driver: &R, list: &PresenceChanges) {
    let news = driver.presence().with(|state| state.follower.as_mut()?.came(list)).flatten();
    came(driver, news);
}

/// The Group repeats its version.
pub(super) fn head_came<R: Attends>(driver: &R, version: PresenceVersion) {
    driver.presence().with(|state| state.follower.as_mut().map(|follower| follower.told(version)));
    came(driver, None);
}

/// Something has come from the Group, and the user's code has to be told this.
fn came<R: Attends>(driver: &R, news: Option<PresenceNews>) {
    let known =
        driver.presence().with(|state| (state.follower.as_ref().and_then(PresenceFollower::version), state.feature));
    let Some((version, feature)) = known else { return };
    if let Some(version) = version {
        let acknowledgement = PresenceAcknowledgement { replica: driver.seats().borrow().replica(), version };
        driver.core().host().cast_group(driver.group(), GroupCast::AcknowledgePresence(feature, acknowledgement));
    }
    fetch(driver);
    // A life that has begun to hear this reports its sockets.
    report(driver);
    if let Some(news) = news {
        tell(driver, news);
    }
}

/// The user's value has come into memory, and knows nothing.
pub(super) fn value_is_here<R: Attends>(driver: &R) {
    let known = driver.presence().with(|state| {
        let version = state.follower.as_ref()?.version()?;
        (!state.news.has_begun()).then_some(PresenceNews::Reset(version))
    });
    if let Some(reset) = known.flatten() {
        tell(driver, reset);
    }
}

fn tell<R: Attends>(driver: &R, news: PresenceNews) {
    let begins = driver.presence().with(|state| {
        state.news.push(news);
        state.news.begin()
    });
    if begins == Some(true) {
        driver.tell_news();
    }
}

/// Asks the Group for what is missing, until nothing is.
fn fetch<R: Attends>(driver: &R) {
    let question = |driver: &R| {
        let asked = driver.presence().with(|state| {
            let question = state.follower.as_mut()?.begin_fetch()?;
            Some(GroupCall::Presence(state.feature, PresenceCall::Question(question)))
        });
        asked.flatten()
    };
    let begins = driver.presence().with(|state| !state.asks.get());
    let Some(first) = begins.filter(|begins| *begins).and_then(|_| question(driver)) else { return };
    driver.presence().with(|state| state.asks.set(true));
    let (host, weak, group) = (Rc::clone(driver.core().host()), driver.weak(), driver.group());
    driver.core().host().spawn(Box::pin(async move {
        let living = || weak.upgrade().filter(|driver| !driver.core().life().has_ended());
        let mut next = Some(first);
        while let Some(call) = next {
            let answer = match by_deadline(&host, ANSWER_DEADLINE, host.call_group(group, call)).await {
                Ok(GroupAnswer::Presence(_, PresenceReply::Answered(answer))) => Ok(answer),
                Ok(_) => Err(unexpected_answer()),
                Err(error) => Err(error),
            };
            if answer.is_err() {
                host.sleep(AGAIN).await;
            }
            let Some(driver) = living() else { return };
            let news = driver.presence().with(|state| {
                let follower = state.follower.as_mut()?;
                match answer {
                    Ok(answer) => follower.fetched(answer),
                    Err(_) => {
                        follower.fetch_failed();
                        None
                    }
                }
            });
            came(&*driver, news.flatten());
            next = question(&driver);
        }
        living().iter().for_each(|driver| {
            driver.presence().with(|state| state.asks.set(false));
        });
    }));
}
