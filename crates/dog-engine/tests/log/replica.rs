//! A Replica of the world, as the engine's driver uses the log.

use std::collections::BTreeMap;

use dog::Timestamp;
use dog::internal::{Position, Unrecovered};
use dog_engine::log::{Arrival, Follower, Recorded, Recovery, Replay, ReplayStep};

use crate::world::{Answer, Ask, Mail, Seen};
use crate::{Checked, ensure};

/// What a socket does.
#[derive(Clone, Debug)]
enum State {
    /// It waits until the Replica knows where the log ends.
    Subscribing,
    /// It has come back, and waits for the newest publications of the log. If it is late, it came after the question: the answer
    /// may be older than what it has seen elsewhere.
    Returning {
        is_late: bool,
    },
    /// It catches up.
    Replaying(Replay),
    Live,
}

pub(crate) struct Replica {
    number: usize,
    life: u64,
    follower: Option<Follower>,
    sockets: BTreeMap<usize, State>,
    is_asking: bool,
    is_filling: bool,
    outgoing: Vec<Mail>,
}

impl Replica {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            life: 0,
            follower: None,
            sockets: BTreeMap::new(),
            is_asking: false,
            is_filling: false,
            outgoing: Vec::new(),
        }
    }

    pub(crate) fn sent(&mut self) -> Vec<Mail> {
        std::mem::take(&mut self.outgoing)
    }

    fn ask(&mut self, ask: Ask) {
        self.outgoing.push(Mail::Ask(self.life, ask));
    }

    pub(crate) fn has(&self, socket: usize) -> bool {
        self.sockets.contains_key(&socket)
    }

    pub(crate) fn is_live(&self, socket: usize) -> bool {
        matches!(self.sockets.get(&socket), Some(State::Live))
    }

    pub(crate) fn follows(&self) -> bool {
        self.follower.is_some()
    }

    pub(crate) fn close(&mut self, socket: usize) {
        self.sockets.remove(&socket);
    }

    /// The life ends, and with it the sockets.
    pub(crate) fn crash(&mut self) {
        *self = Self { life: self.life + 1, ..Self::new(self.number) };
    }

    pub(crate) fn shrink(&mut self, bytes: usize) {
        if let Some(follower) = &mut self.follower {
            follower.shrink(bytes);
        }
    }

    /// A socket subscribes. If it has a position it wants what came after it.
    pub(crate) fn open(&mut self, socket: usize, seen: &mut Seen<'_>, now: Timestamp) -> Checked {
        self.sockets.insert(socket, State::Subscribing);
        if self.follower.is_some() {
            return self.begin(socket, seen, now);
        }
        if !self.is_asking {
            self.is_asking = true;
            self.ask(Ask::Follow);
        }
        Ok(())
    }

    /// The Replica follows the log: the socket can begin.
    fn begin(&mut self, socket: usize, seen: &mut Seen<'_>, now: Timestamp) -> Checked {
        let Some(follower) = &mut self.follower else { return Ok(()) };
        let Some(since) = seen.sockets[socket].position.clone() else {
            seen.sockets[socket].position = Some(follower.window().position());
            self.sockets.insert(socket, State::Live);
            return Ok(());
        };
        let recovery = follower.recover(&since, now);
        self.recover(socket, &since, recovery, seen, now)
    }

    fn recover(
        &mut self,
        socket: usize,
        since: &Position,
        recovery: Recovery,
        seen: &mut Seen<'_>,
        now: Timestamp,
    ) -> Checked {
        let Recovery::Known(known) = recovery else {
            let is_asking_now = self.outgoing.iter().any(|mail| matches!(mail, Mail::Ask(_, Ask::Tail)));
            let is_late = self.is_filling && !is_asking_now;
            self.sockets.insert(socket, State::Returning { is_late });
            if !self.is_filling {
                self.is_filling = true;
                self.ask(Ask::Tail);
            }
            return Ok(());
        };
        self.recovered(socket, since, known, seen, now)
    }

    fn recovered(
        &mut self,
        socket: usize,
        since: &Position,
        known: Result<u64, Unrecovered>,
        seen: &mut Seen<'_>,
        now: Timestamp,
    ) -> Checked {
        match known {
            Ok(count) => {
                let next = self.follower.as_ref().map_or(0, |follower| follower.window().next());
                let expected = (next - 1).saturating_sub(since.offset());
                ensure!(count == expected, "socket {socket} misses {expected} since {since}, and is told {count}");
                self.sockets.insert(socket, State::Replaying(Replay::new(since)));
                Ok(())
            }
            Err(reason) => {
                seen.lost(socket, reason, now)?;
                self.give_up(socket, seen);
                Ok(())
            }
        }
    }

    /// The socket goes on without what it has missed.
    fn give_up(&mut self, socket: usize, seen: &mut Seen<'_>) {
        seen.sockets[socket].position = self.follower.as_ref().map(|follower| follower.window().position());
        self.sockets.insert(socket, State::Live);
    }

    /// Some client reads: this socket takes up to `most` publications.
    pub(crate) fn drain(&mut self, socket: usize, most: usize, seen: &mut Seen<'_>, now: Timestamp) -> Checked {
        for _ in 0..most {
            let Some(follower) = &self.follower else { return Ok(()) };
            let Some(State::Replaying(replay)) = self.sockets.get_mut(&socket) else { return Ok(()) };
            match replay.step(follower.window()) {
                ReplayStep::Send(publication) => seen.get(socket, follower.window().epoch(), &publication)?,
                ReplayStep::Fetch(since) => self.ask(Ask::MissedBy(socket, since)),
                ReplayStep::Wait => return Ok(()),
                ReplayStep::Done => {
                    self.sockets.insert(socket, State::Live);
                }
                ReplayStep::Lost(reason) => {
                    seen.lost(socket, reason, now)?;
                    self.give_up(socket, seen);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn hears(&mut self, mail: Mail, seen: &mut Seen<'_>, now: Timestamp) -> Checked {
        match mail {
            Mail::Publication(epoch, publication) => {
                let Some(follower) = &mut self.follower else { return Ok(()) };
                if follower.came(&epoch, &publication, now) == Arrival::InOrder {
                    self.deliver(&publication, seen)?;
                }
                self.advance(seen, now)
            }
            Mail::Head(head) => {
                let Some(follower) = &mut self.follower else { return Ok(()) };
                follower.told(&head, now);
                self.advance(seen, now)
            }
            Mail::Answer(life, ask, answer) if life == self.life => self.answered(&ask, answer, seen, now),
            Mail::Answer(..) | Mail::Ask(..) | Mail::Acknowledge(_) => Ok(()),
        }
    }

    fn deliver(&mut self, publication: &Recorded, seen: &mut Seen<'_>) -> Checked {
        let Some(follower) = &self.follower else { return Ok(()) };
        let live = self.sockets.iter().filter(|(_, state)| matches!(state, State::Live));
        live.map(|(socket, _)| *socket).try_for_each(|socket| seen.get(socket, follower.window().epoch(), publication))
    }

    /// Delivers what has come, and asks for what is missing.
    fn advance(&mut self, seen: &mut Seen<'_>, now: Timestamp) -> Checked {
        while let Some(publication) = self.follower.as_mut().and_then(|follower| follower.advance(now)) {
            self.deliver(&publication, seen)?;
        }
        if let Some(since) = self.follower.as_mut().and_then(Follower::begin_fetch) {
            self.ask(Ask::Missed(since));
        }
        Ok(())
    }

    fn answered(&mut self, ask: &Ask, answer: Answer, seen: &mut Seen<'_>, now: Timestamp) -> Checked {
        match (ask, answer) {
            (Ask::Follow, Answer::Head(head)) => {
                self.is_asking = false;
                self.follower.get_or_insert_with(|| Follower::new(&head));
                let waiting = self.in_state(|state| matches!(state, State::Subscribing));
                waiting.into_iter().try_for_each(|socket| self.begin(socket, seen, now))
            }
            (Ask::Missed(_), Answer::Missed(missed)) => {
                let Some(follower) = &mut self.follower else { return Ok(()) };
                // A doubled answer finds nothing under way; the driver's calls have one answer each.
                if let Err(reason) = follower.fetched(missed, now) {
                    // Those that catch up find out themselves: they may be ahead of the Replica.
                    for socket in self.in_state(|state| matches!(state, State::Live)) {
                        seen.lost(socket, reason, now)?;
                        self.give_up(socket, seen);
                    }
                }
                self.advance(seen, now)
            }
            (Ask::MissedBy(socket, since), Answer::Missed(missed)) => {
                let Some(State::Replaying(replay)) = self.sockets.get_mut(socket) else { return Ok(()) };
                if let Err(reason) = replay.fetched(since, missed) {
                    seen.lost(*socket, reason, now)?;
                    self.give_up(*socket, seen);
                }
                Ok(())
            }
            (Ask::Tail, Answer::Tail(tail)) => {
                self.is_filling = false;
                let Some(follower) = &mut self.follower else { return Ok(()) };
                let is_same = tail.head.position.epoch() == follower.window().epoch();
                follower.fill(tail, now);
                self.advance(seen, now)?;
                let late = self.in_state(|state| matches!(state, State::Returning { is_late: true }));
                let waiting = self.in_state(|state| matches!(state, State::Returning { is_late: false }));
                waiting.into_iter().try_for_each(|socket| self.decide(socket, is_same, seen, now))?;
                late.into_iter().try_for_each(|socket| self.begin(socket, seen, now))
            }
            _ => Ok(()),
        }
    }

    /// The Group has sent its newest publications for a socket that has come back.
    fn decide(&mut self, socket: usize, is_same_epoch: bool, seen: &mut Seen<'_>, now: Timestamp) -> Checked {
        if !is_same_epoch {
            // It tries again when the Replica follows the other epoch.
            self.sockets.remove(&socket);
            return Ok(());
        }
        let (Some(follower), Some(since)) = (&mut self.follower, seen.sockets[socket].position.clone()) else {
            return Ok(());
        };
        let recovery = follower.recover_now(&since, now);
        self.recover(socket, &since, recovery, seen, now)
    }

    fn in_state(&self, is: impl Fn(&State) -> bool) -> Vec<usize> {
        self.sockets.iter().filter(|(_, state)| is(state)).map(|(socket, _)| *socket).collect()
    }

    pub(crate) fn ask_failed(&mut self, life: u64, ask: &Ask) {
        if life != self.life {
            return;
        }
        match ask {
            Ask::Follow => {
                self.is_asking = false;
                self.sockets.retain(|_, state| !matches!(state, State::Subscribing));
            }
            Ask::Missed(_) => {
                if let Some(follower) = &mut self.follower {
                    follower.fetch_failed();
                }
            }
            Ask::MissedBy(socket, since) => {
                if let Some(State::Replaying(replay)) = self.sockets.get_mut(socket) {
                    replay.fetch_failed(since);
                }
            }
            Ask::Tail => {
                self.is_filling = false;
                self.sockets.retain(|_, state| !matches!(state, State::Returning { .. }));
            }
        }
    }

    pub(crate) fn tick(&mut self, now: Timestamp) {
        let needed = self.sockets.values().filter_map(|state| match state {
            State::Replaying(replay) => Some(replay.next()),
            State::Subscribing | State::Returning { .. } | State::Live => None,
        });
        let needed = needed.min().unwrap_or(u64::MAX);
        let Some(follower) = &mut self.follower else { return };
        follower.expire(needed, now);
        if let Some(position) = follower.acknowledgement(now) {
            self.outgoing.push(Mail::Acknowledge(position));
        }
        if let Some(since) = follower.begin_fetch() {
            self.ask(Ask::Missed(since));
        }
    }
}
