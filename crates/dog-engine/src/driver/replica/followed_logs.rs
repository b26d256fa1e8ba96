//! The logs that a Replica follows, and what it keeps of them: [`Followers`]. Pure.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use dog::internal::{LogEpoch, LogTopic, Logs as Feature, Position, Unrecovered};
use dog::{Error, Timestamp};

use super::askings::Askings;
use super::catch_ups::CatchUps;
use super::confirming::Confirming;
use crate::log::{AnswerBounds, Arrival, Follower, LogHead, Recorded, Recovery, Window};
use crate::message::{MissedAnswer, TailAnswer};

/// How many bytes of publications a Replica keeps in all its topics for sockets that come back.
const MOST_KEPT: usize = 16 * 1024 * 1024;

/// After this many further bytes it looks how many they are.
const LOOK_AFTER: usize = 1024 * 1024;

/// The logs of the topics that have subscribers here, once something was published to them.
pub(super) struct Followers {
    topics: RefCell<BTreeMap<LogTopic, Followed>>,
    /// Where the logs without subscribers here were last seen: nothing is missing.
    passed: RefCell<BTreeMap<LogTopic, Position>>,
    /// Whether a task sends acknowledgements.
    acknowledges: Cell<bool>,
    began: Cell<u64>,
    /// The subscribers that are behind.
    catch_ups: RefCell<CatchUps>,
    /// Those that wait for the Group's newest publications.
    askings: RefCell<Askings>,
    /// Who waits until publications are delivered.
    confirming: Confirming,
    /// How much one recovery may replay, as the Group has told.
    most: Cell<AnswerBounds>,
    /// How many bytes have come since the last look.
    grown: Cell<usize>,
}

impl Default for Followers {
    fn default() -> Self {
        Self {
            topics: RefCell::default(),
            passed: RefCell::default(),
            acknowledges: Cell::default(),
            began: Cell::default(),
            catch_ups: RefCell::default(),
            askings: RefCell::default(),
            confirming: Confirming::default(),
            most: Cell::new(AnswerBounds::RECOVERY),
            grown: Cell::default(),
        }
    }
}

struct Followed {
    /// Tells it apart from what was followed before with the same topic.
    number: u64,
    state: State,
}

#[allow(
    clippy::large_enum_variant,
    reason = "almost all are followed, and a box would cost each of them an allocation"
)]
enum State {
    /// The Group is being asked, or has to be, where to begin: after this position at the latest.
    Begins {
        since: Position,
        is_asking: bool,
    },
    Follows(Follower),
}

/// What a publication that has come is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It is for the subscribers now, and those that wait behind it.
    InOrder,
    /// It has come before.
    Known,
    /// The Group is being asked where to begin.
    Later,
    /// Others are missing, or the log seems to have another epoch.
    Early,
    /// Its log is not followed yet.
    First,
}

/// A question about what is missing of a log.
#[derive(Debug)]
pub(super) struct Question {
    /// To be given back with the answer.
    pub(super) number: u64,
    pub(super) since: Position,
    /// Whether the Replica begins to follow the log.
    pub(super) begins: bool,
}

impl Followed {
    fn follower(&self) -> Option<&Follower> {
        match &self.state {
            State::Follows(follower) => Some(follower),
            State::Begins { .. } => None,
        }
    }

    /// The Group has answered, or could not be asked.
    ///
    /// # Errors
    /// Publications are lost.
    fn take(
        &mut self,
        answer: Result<MissedAnswer, Error>,
        most: AnswerBounds,
        now: Timestamp,
    ) -> Result<(), Unrecovered> {
        match (&mut self.state, answer) {
            (State::Begins { is_asking, .. }, Err(_)) => {
                *is_asking = false;
                Ok(())
            }
            (State::Follows(follower), Err(_)) => {
                follower.fetch_failed();
                Ok(())
            }
            (State::Follows(follower), Ok(MissedAnswer { missed, is_purged, .. })) => {
                let fetched = follower.fetched(missed, now);
                if is_purged {
                    follower.was_purged();
                }
                fetched
            }
            (state @ State::Begins { .. }, Ok(MissedAnswer { since, missed, is_purged })) => {
                let lost = missed.page.as_ref().err().copied();
                let head = &missed.head.position;
                let position = match lost {
                    None => since,
                    // What the new epoch has had until now is for the subscribers, too.
                    Some(Unrecovered::EpochUnknown) => Position::new(head.epoch().clone(), 0),
                    Some(_) => head.clone(),
                };
                let mut follower = Follower::new(&LogHead { position, bounds: missed.head.bounds }).keeping(most);
                follower.told(head, now);
                if is_purged {
                    follower.was_purged();
                }
                if lost.is_none() {
                    // It has asked nothing yet, so nothing can be lost.
                    let _ = follower.fetched(missed, now);
                }
                *state = State::Follows(follower);
                lost.map_or(Ok(()), Err)
            }
        }
    }
}

impl Followers {
    /// Whether no log is followed.
    pub(super) fn is_empty(&self) -> bool {
        !Feature::ON || self.topics.borrow().is_empty()
    }

    /// Whether this log is followed.
    pub(super) fn has(&self, topic: &LogTopic) -> bool {
        self.topics.borrow().contains_key(topic)
    }

    pub(super) fn catch_ups(&self) -> &RefCell<CatchUps> {
        &self.catch_ups
    }

    pub(super) fn askings(&self) -> &RefCell<Askings> {
        &self.askings
    }

    pub(super) fn confirming(&self) -> &Confirming {
        &self.confirming
    }

    pub(super) fn most(&self) -> AnswerBounds {
        self.most.get()
    }

    /// The Group has told how much one recovery may replay.
    pub(super) fn set_most(&self, most: AnswerBounds) {
        self.most.set(most);
    }

    /// A publication has come.
    pub(super) fn came(&self, topic: &LogTopic, epoch: &LogEpoch, publication: &Recorded, now: Timestamp) -> Came {
        match self.topics.borrow_mut().get_mut(topic).map(|followed| &mut followed.state) {
            Some(State::Follows(follower)) => match follower.came(epoch, publication, now) {
                Arrival::InOrder => Came::InOrder,
                Arrival::Known => Came::Known,
                Arrival::Ahead | Arrival::OtherEpoch => Came::Early,
            },
            // The answer has it, or the Group repeats where the log ends.
            Some(State::Begins { .. }) => Came::Later,
            None => Came::First,
        }
    }

    /// The Group has repeated where a log ends. Returns `false` if that log is not followed.
    pub(super) fn told(&self, topic: &LogTopic, position: &Position, now: Timestamp) -> bool {
        let mut topics = self.topics.borrow_mut();
        let Some(followed) = topics.get_mut(topic) else { return false };
        if let State::Follows(follower) = &mut followed.state {
            follower.told(position, now);
        }
        true
    }

    /// The next publication for the subscribers among those that have come, with its epoch.
    pub(super) fn advance(&self, topic: &LogTopic, now: Timestamp) -> Option<(LogEpoch, Recorded)> {
        match &mut self.topics.borrow_mut().get_mut(topic)?.state {
            State::Follows(follower) => {
                let publication = follower.advance(now)?;
                Some((follower.window().epoch().clone(), publication))
            }
            State::Begins { .. } => None,
        }
    }

    /// The next question about a log, if there is one and the Group is not being asked.
    pub(super) fn next_question(&self, topic: &LogTopic) -> Option<Question> {
        let mut topics = self.topics.borrow_mut();
        let Followed { number, state } = topics.get_mut(topic)?;
        let (since, begins) = match state {
            State::Begins { is_asking: true, .. } => return None,
            State::Begins { since, is_asking } => {
                *is_asking = true;
                (since.clone(), true)
            }
            State::Follows(follower) => (follower.begin_fetch()?, false),
        };
        Some(Question { number: *number, since, begins })
    }

    /// The Group has answered a question, or could not be asked. Returns `None` if the question is nobody's any more.
    ///
    /// # Errors
    /// What came after this position is lost.
    pub(super) fn answered(
        &self,
        topic: &LogTopic,
        number: u64,
        answer: Result<MissedAnswer, Error>,
        now: Timestamp,
    ) -> Option<Result<(), (Unrecovered, Position)>> {
        let mut topics = self.topics.borrow_mut();
        // What was followed then may have lost its last subscriber meanwhile.
        let followed = topics.get_mut(topic).filter(|followed| followed.number == number)?;
        let before = match &followed.state {
            State::Begins { since, .. } => since.clone(),
            State::Follows(follower) => follower.window().position(),
        };
        Some(followed.take(answer, self.most(), now).map_err(|reason| (reason, before)))
    }

    /// Reads what is kept of a log that is followed.
    pub(super) fn with_window<T>(&self, topic: &LogTopic, read: impl FnOnce(&Window) -> T) -> Option<T> {
        match &self.topics.borrow().get(topic)?.state {
            State::Follows(follower) => Some(read(follower.window())),
            State::Begins { .. } => None,
        }
    }

    /// What came after the position of a socket that has come back.
    pub(super) fn recover(&self, topic: &LogTopic, since: &Position, now: Timestamp) -> Recovery {
        match self.topics.borrow_mut().get_mut(topic).map(|followed| &mut followed.state) {
            Some(State::Follows(follower)) => follower.recover(since, now),
            Some(State::Begins { .. }) | None => Recovery::AskGroup,
        }
    }

    /// The same, after the Group was asked. `AskGroup`: its answer could not be used.
    pub(super) fn recover_now(&self, topic: &LogTopic, since: &Position, now: Timestamp) -> Recovery {
        match self.topics.borrow_mut().get_mut(topic).map(|followed| &mut followed.state) {
            Some(State::Follows(follower)) => follower.recover_now(since, now),
            Some(State::Begins { .. }) | None => Recovery::AskGroup,
        }
    }

    /// The Group has sent the newest publications. Returns whether they are of use now. Otherwise the log has to be fetched first.
    pub(super) fn fill(&self, topic: &LogTopic, answer: &TailAnswer, now: Timestamp) -> bool {
        let TailAnswer { since, tail } = answer;
        if !self.topics.borrow().contains_key(topic) {
            let begin = Position::new(tail.head.position.epoch().clone(), *since);
            self.follow(topic, &LogHead { position: begin, bounds: tail.head.bounds });
        }
        let mut topics = self.topics.borrow_mut();
        let Some(State::Follows(follower)) = topics.get_mut(topic).map(|followed| &mut followed.state) else {
            return false;
        };
        self.grown.update(|grown| grown + answer.carried());
        follower.fill(tail.clone(), now);
        follower.window().epoch() == tail.head.position.epoch()
    }

    /// Keeps no more than [`MOST_KEPT`] in all topics together.
    pub(super) fn limit(&self, came: usize) {
        self.grown.update(|grown| grown + came);
        if self.grown.get() < LOOK_AFTER {
            return;
        }
        self.grown.set(0);
        let mut topics = self.topics.borrow_mut();
        let followers = || topics.values().filter_map(Followed::follower);
        let bytes: usize = followers().map(|follower| follower.window().bytes()).sum();
        if bytes <= MOST_KEPT {
            return;
        }
        // Each topic loses its older half.
        for followed in topics.values_mut() {
            if let State::Follows(follower) = &mut followed.state {
                follower.shrink(follower.window().bytes() / 2);
            }
        }
    }

    /// Keeps nothing for sockets that come back, because the Replica is idle. What sockets that are behind need can be fetched.
    pub(super) fn shrink(&self) {
        if Feature::ON {
            for followed in self.topics.borrow_mut().values_mut() {
                if let State::Follows(follower) = &mut followed.state {
                    follower.shrink(0);
                }
            }
        }
    }

    /// The life has ended.
    pub(super) fn clear(&self) {
        if Feature::ON {
            self.topics.borrow_mut().clear();
            self.passed.borrow_mut().clear();
            self.catch_ups.borrow_mut().clear();
            self.askings.borrow_mut().clear();
            self.confirming.clear();
        }
    }

    /// Begins to follow a log when the Group has said where.
    pub(super) fn begin(&self, topic: LogTopic, since: Position) {
        self.insert(topic, State::Begins { since, is_asking: false });
    }

    /// Follows a log from this position on, unless it is followed.
    pub(super) fn follow(&self, topic: &LogTopic, from: &LogHead) {
        if !self.topics.borrow().contains_key(topic) {
            self.passed.borrow_mut().remove(topic);
            self.insert(topic.clone(), State::Follows(Follower::new(from).keeping(self.most())));
        }
    }

    fn insert(&self, topic: LogTopic, state: State) {
        let number = self.began.get() + 1;
        self.began.set(number);
        self.topics.borrow_mut().insert(topic, Followed { number, state });
    }

    /// A log has no subscribers here any more: who subscribes next gets what is published next.
    pub(super) fn unfollow(&self, topic: &LogTopic) {
        let Some(followed) = self.topics.borrow_mut().remove(topic) else { return };
        let position = match followed.state {
            State::Begins { since, .. } => since,
            State::Follows(follower) => follower.head(),
        };
        self.passed.borrow_mut().insert(topic.clone(), position);
        self.confirming.unfollowed(topic);
    }

    pub(super) fn pass(&self, topic: &LogTopic, position: Position) {
        self.topics.borrow_mut().remove(topic);
        self.passed.borrow_mut().insert(topic.clone(), position);
    }

    pub(super) fn take_passed(&self, topic: &LogTopic) -> Vec<(LogTopic, Position)> {
        self.passed.borrow_mut().remove_entry(topic).into_iter().collect()
    }

    /// Acknowledgements have to be sent. Returns whether a task has to begin for that.
    pub(super) fn begin_acknowledging(&self) -> bool {
        !self.acknowledges.replace(true)
    }

    pub(super) fn end_acknowledging(&self) {
        self.acknowledges.set(false);
    }

    /// What has to be acknowledged by then, and whether something will have to be later.
    pub(super) fn to_acknowledge(&self, by: Timestamp, now: Timestamp) -> (Vec<(LogTopic, Position)>, bool) {
        let mut positions: Vec<_> = std::mem::take(&mut *self.passed.borrow_mut()).into_iter().collect();
        let mut later = false;
        for (topic, followed) in &mut *self.topics.borrow_mut() {
            let State::Follows(follower) = &mut followed.state else { continue };
            positions.extend(follower.acknowledgement(by).map(|position| (topic.clone(), position)));
            follower.expire(self.catch_ups.borrow_mut().needed(topic), now);
            later |= follower.acknowledge_at().is_some();
        }
        (positions, later)
    }
}
