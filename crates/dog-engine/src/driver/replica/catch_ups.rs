//! The sockets of a Replica that do not get publications when they come, because they wait for something or catch up:
//! [`CatchUps`]. Pure.

use std::collections::BTreeMap;

use dog::SocketId;
use dog::internal::{LogTopic, Position, Unrecovered};

use crate::fault_injection::{Fault, is_planted};
use crate::log::{Missed, Page, Recorded, Replay, ReplayStep, Window};
use crate::socket_map::SocketMap;

/// The sockets that are behind, by topic. All others cost nothing here.
#[derive(Debug, Default)]
pub(super) struct CatchUps(BTreeMap<LogTopic, Behind>);

/// Those of a topic that has some.
#[derive(Debug, Default)]
struct Behind {
    sockets: SocketMap<CatchUp>,
    /// Whether the Group is being asked for publications that the Replica does not keep.
    is_fetching: bool,
}

#[derive(Debug)]
enum CatchUp {
    Held(Held),
    Replays(Replays),
}

/// A socket for which publications wait.
#[derive(Debug, Default)]
struct Held {
    /// The position before the first that has waited.
    since: Option<Position>,
    /// Whether its `on_open` runs.
    opens: bool,
    /// How many calls of `resume` are not decided.
    resumes: u32,
    /// How many calls of `on_lost` run.
    losses: u32,
}

#[derive(Debug)]
struct Replays {
    replay: Replay,
    pace: Pace,
    /// The position after which the Group has to be asked.
    wants: Option<Position>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// The caller of `resume` has not been told yet.
    Waits,
    Goes,
    /// The client has not taken what was sent last.
    Full,
}

/// What follows for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It can go on with [`CatchUps::step`].
    GoOn,
    Nothing,
}

/// What a socket that catches up needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This publication.
    Send(Recorded),
    /// Publications that the Replica does not keep: [`CatchUps::begin_fetch`].
    Fetch,
    /// Nothing now, or nothing any more.
    Nothing,
    /// To be told that publications are lost. From now on it gets what comes.
    Lost(Unrecovered),
}

impl CatchUp {
    fn replay(since: &Position, pace: Pace) -> Self {
        Self::Replays(Replays { replay: Replay::new(since), pace, wants: None })
    }
}

impl CatchUps {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether any socket is behind in this topic.
    pub(super) fn any(&self, topic: &LogTopic) -> bool {
        self.0.contains_key(topic)
    }

    /// Whether this socket does not get publications of the topic when they come.
    pub(super) fn has(&self, topic: &LogTopic, socket: SocketId) -> bool {
        self.0.get(topic).is_some_and(|behind| behind.sockets.contains_key(&socket))
    }

    /// All sockets that do not.
    pub(super) fn sockets(&self, topic: &LogTopic) -> Vec<SocketId> {
        self.0.get(topic).map_or_else(Vec::new, |behind| behind.sockets.keys().copied().collect())
    }

    /// Leaves those in the list that get publications of the topic when they come.
    pub(super) fn retain_others(&self, topic: &LogTopic, sockets: &mut Vec<SocketId>) {
        sockets.retain(|socket| !self.has(topic, *socket));
    }

    fn replays(&mut self, topic: &LogTopic, socket: SocketId) -> Option<&mut Replays> {
        match self.0.get_mut(topic)?.sockets.get_mut(&socket)? {
            CatchUp::Replays(replays) => Some(replays),
            CatchUp::Held(_) => None,
        }
    }

    fn all_replays(&mut self, topic: &LogTopic) -> impl Iterator<Item = (SocketId, &mut Replays)> {
        let sockets = self.0.get_mut(topic).into_iter().flat_map(|behind| &mut behind.sockets);
        sockets.filter_map(|(socket, state)| match state {
            CatchUp::Replays(replays) => Some((*socket, replays)),
            CatchUp::Held(_) => None,
        })
    }

    fn insert(&mut self, topic: &LogTopic, socket: SocketId, state: CatchUp) {
        self.0.entry(topic.clone()).or_default().sockets.insert(socket, state);
    }

    /// The subscription of the socket has ended.
    pub(super) fn remove(&mut self, topic: &LogTopic, socket: SocketId) {
        if let Some(behind) = self.0.get_mut(topic) {
            behind.sockets.remove(&socket);
            if behind.sockets.is_empty() {
                self.0.remove(topic);
            }
        }
    }

    /// The socket has ended.
    pub(super) fn remove_socket(&mut self, socket: SocketId) {
        self.0.retain(|_, behind| {
            behind.sockets.remove(&socket);
            !behind.sockets.is_empty()
        });
    }

    /// `on_open` of the socket waits for something.
    pub(super) fn opens(&mut self, room: &LogTopic, socket: SocketId) {
        let sockets = &mut self.0.entry(room.clone()).or_default().sockets;
        if let CatchUp::Held(held) = sockets.entry(socket).or_insert_with(|| CatchUp::Held(Held::default())) {
            held.opens = true;
        }
    }

    /// `on_open` has ended, or takes too long.
    pub(super) fn opened(&mut self, room: &LogTopic, socket: SocketId) -> Next {
        self.let_go(room, socket, |held| held.opens = false)
    }

    /// `on_lost` is called for the socket.
    pub(super) fn begin_on_lost(&mut self, topic: &LogTopic, socket: SocketId) {
        let sockets = &mut self.0.entry(topic.clone()).or_default().sockets;
        if let CatchUp::Held(held) = sockets.entry(socket).or_insert_with(|| CatchUp::Held(Held::default())) {
            held.losses += 1;
        }
    }

    /// `on_lost` has returned, or takes too long.
    pub(super) fn end_on_lost(&mut self, topic: &LogTopic, socket: SocketId) -> Next {
        // If it has resumed, the socket may be held again for another reason.
        self.let_go(topic, socket, |held| held.losses = held.losses.saturating_sub(1))
    }

    /// A call of `resume` begins.
    pub(super) fn begin_resume(&mut self, topic: &LogTopic, socket: SocketId) {
        let sockets = &mut self.0.entry(topic.clone()).or_default().sockets;
        let state = sockets.entry(socket).or_insert_with(|| CatchUp::Held(Held::default()));
        if let CatchUp::Replays(replays) = state {
            *state = CatchUp::Held(Held { since: Some(replays.replay.position()), ..Held::default() });
        }
        if let CatchUp::Held(held) = state {
            held.resumes += 1;
        }
    }

    /// What came after this position is for the socket. It is replayed once the caller of `resume` knows.
    pub(super) fn recovered(&mut self, topic: &LogTopic, socket: SocketId, since: &Position) {
        if self.has(topic, socket) {
            self.insert(topic, socket, CatchUp::replay(since, Pace::Waits));
        }
    }

    /// A call of `resume` has ended.
    pub(super) fn end_resume(&mut self, topic: &LogTopic, socket: SocketId) -> Next {
        if let Some(replays) = self.replays(topic, socket) {
            replays.pace = Pace::Goes;
            return Next::GoOn;
        }
        self.let_go(topic, socket, |held| held.resumes -= 1)
    }

    fn let_go(&mut self, topic: &LogTopic, socket: SocketId, change: impl FnOnce(&mut Held)) -> Next {
        let behind = self.0.get_mut(topic).and_then(|behind| behind.sockets.get_mut(&socket));
        let Some(state @ CatchUp::Held(_)) = behind else { return Next::Nothing };
        let CatchUp::Held(held) = state else { return Next::Nothing };
        change(held);
        if held.opens || held.resumes > 0 || held.losses > 0 {
            return Next::Nothing;
        }
        match held.since.take() {
            Some(since) => {
                *state = CatchUp::replay(&since, Pace::Goes);
                Next::GoOn
            }
            None => {
                self.remove(topic, socket);
                Next::Nothing
            }
        }
    }

    /// What comes after this position is not sent to the sockets that are held. Returns those for which it is the first.
    pub(super) fn waits(&mut self, topic: &LogTopic, after: &Position) -> Vec<SocketId> {
        let sockets = self.0.get_mut(topic).into_iter().flat_map(|behind| &mut behind.sockets);
        let first = sockets.filter_map(|(socket, state)| match state {
            CatchUp::Held(held) if held.since.is_none() => {
                let dropped = u64::from(is_planted(Fault::GateDropsOne));
                held.since = Some(Position::new(after.epoch().clone(), after.offset() + dropped));
                Some(*socket)
            }
            CatchUp::Held(_) | CatchUp::Replays(_) => None,
        });
        first.collect()
    }

    /// The socket has not taken what came after this position, because too much waits for its client.
    pub(super) fn fell_behind(&mut self, topic: &LogTopic, socket: SocketId, after: &Position) {
        self.insert(topic, socket, CatchUp::replay(after, Pace::Full));
    }

    /// The client has taken what was sent.
    pub(super) fn drained(&mut self, topic: &LogTopic, socket: SocketId) -> Next {
        match self.replays(topic, socket).filter(|replays| replays.pace == Pace::Full) {
            Some(replays) => {
                replays.pace = Pace::Goes;
                Next::GoOn
            }
            None => Next::Nothing,
        }
    }

    /// The next thing for a socket. A publication counts as sent.
    pub(super) fn step(&mut self, topic: &LogTopic, socket: SocketId, window: &Window) -> Step {
        let Some(replays) = self.replays(topic, socket).filter(|replays| replays.pace == Pace::Goes) else {
            return Step::Nothing;
        };
        match replays.replay.step(window) {
            ReplayStep::Send(publication) => Step::Send(publication),
            ReplayStep::Fetch(since) => {
                replays.wants = Some(since);
                Step::Fetch
            }
            ReplayStep::Wait => Step::Nothing,
            ReplayStep::Done => {
                self.remove(topic, socket);
                Step::Nothing
            }
            ReplayStep::Lost(reason) => {
                self.remove(topic, socket);
                Step::Lost(reason)
            }
        }
    }

    /// The publication was not sent: the client has to take first what waits for it.
    pub(super) fn is_full(&mut self, topic: &LogTopic, socket: SocketId, publication: Recorded) {
        if let Some(replays) = self.replays(topic, socket) {
            replays.replay.put_back(publication);
            replays.pace = Pace::Full;
        }
    }

    /// The sockets that can go on when something has come, in a fixed order.
    pub(super) fn ready(&mut self, topic: &LogTopic) -> Vec<SocketId> {
        let ready =
            self.all_replays(topic).filter(|(_, replays)| replays.pace == Pace::Goes && replays.wants.is_none());
        let mut ready: Vec<_> = ready.map(|(socket, _)| socket).collect();
        ready.sort_unstable();
        ready
    }

    /// The oldest offset that a socket needs next.
    pub(super) fn needed(&mut self, topic: &LogTopic) -> u64 {
        self.all_replays(topic).map(|(_, replays)| replays.replay.next()).min().unwrap_or(u64::MAX)
    }

    /// The position after which the Group has to be asked now: one question at a time, the oldest first.
    pub(super) fn begin_fetch(&mut self, topic: &LogTopic) -> Option<Position> {
        if self.0.get(topic)?.is_fetching {
            return None;
        }
        let wanted = self.all_replays(topic).filter_map(|(_, replays)| replays.wants.clone());
        let since = wanted.min_by_key(Position::offset)?;
        self.0.get_mut(topic)?.is_fetching = true;
        Some(since)
    }

    /// The Group has answered what came after `since`. One answer is for all that want something of it. Returns the sockets for which
    /// publications are lost.
    pub(super) fn fetched(
        &mut self,
        topic: &LogTopic,
        since: &Position,
        missed: &Missed,
    ) -> Vec<(SocketId, Unrecovered)> {
        self.end_fetch(topic);
        let mut lost = Vec::new();
        for (socket, replays) in self.all_replays(topic) {
            let Some(wants) = replays.wants.take_if(|wants| is_answered(wants, since, missed)) else { continue };
            if let Err(reason) = replays.replay.fetched(&wants, part_after(&wants, missed)) {
                lost.push((socket, reason));
            }
        }
        lost.sort_unstable_by_key(|(socket, _)| *socket);
        lost.iter().for_each(|(socket, _)| self.remove(topic, *socket));
        lost
    }

    /// The Group could not be asked. It can be asked again.
    pub(super) fn fetch_failed(&mut self, topic: &LogTopic) {
        self.end_fetch(topic);
        for (_, replays) in self.all_replays(topic) {
            if let Some(wants) = replays.wants.take() {
                replays.replay.fetch_failed(&wants);
            }
        }
    }

    fn end_fetch(&mut self, topic: &LogTopic) {
        if let Some(behind) = self.0.get_mut(topic) {
            behind.is_fetching = false;
        }
    }
}

/// Whether the answer to the question about `since` says what came after `wants`.
fn is_answered(wants: &Position, since: &Position, missed: &Missed) -> bool {
    let next = wants.offset() + 1;
    let has_next = |page: &Page| page.publications.iter().any(|publication| publication.offset == next);
    wants == since || (wants.epoch() == since.epoch() && missed.page.as_ref().is_ok_and(has_next))
}

fn part_after(wants: &Position, missed: &Missed) -> Missed {
    let page = missed.page.as_ref().map_err(|reason| *reason).map(|page| {
        let after = page.publications.iter().filter(|publication| publication.offset > wants.offset());
        Page { publications: after.cloned().collect(), more: page.more }
    });
    Missed { head: missed.head.clone(), page }
}

#[cfg(test)]
mod tests;
