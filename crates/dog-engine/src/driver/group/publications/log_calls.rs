//! Calls about logs that wait: until the Group is in memory, and until a durable log has written or read.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dog::internal::{Kind, LogTopic, LogVerb, LogVerbAnswer};
use dog::{Error, Timestamp};
use futures_channel::oneshot;

use crate::driver::calls::deadline_passed;
use crate::log::StoredLog;
use crate::message::{GroupAnswer, MissedCall, TailCall};
use crate::reply::Reply;

/// How many calls wait, and how many bytes of publications are in them.
const MOST_WAITING: usize = 10_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// A call about a log.
pub(in crate::driver::group) enum Asked {
    /// Of the App, a Replica or the Group itself, which has come then and waits as long.
    Verb(LogVerb, (Timestamp, Duration)),
    /// Of a Replica.
    Missed(MissedCall),
    /// Of a Replica whose sockets have come back.
    Tail(TailCall),
}

impl Asked {
    pub(super) fn topic(&self) -> &LogTopic {
        match self {
            Self::Verb(verb, _) => verb.topic(),
            Self::Missed(call) => &call.topic,
            Self::Tail(call) => &call.topic,
        }
    }

    /// Whether it publishes nothing, and is answered with a position.
    fn is_question(&self) -> bool {
        matches!(self, Self::Verb(LogVerb::History { .. }, _) | Self::Missed(_) | Self::Tail(_))
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Verb(verb, _) => verb.carried(),
            Self::Missed(_) | Self::Tail(_) => 0,
        }
    }
}

/// A call that waits until the Group is in memory.
pub(super) struct Pending {
    pub(super) asked: Asked,
    pub(super) reply: Reply<GroupAnswer>,
}

/// What waits for a durable log.
pub(super) enum Job {
    Call(Call),
    /// A transaction of the Group wants the log for itself.
    Reserve(LogTopic, oneshot::Sender<Result<Turn, Error>>),
    Purge(Purge),
}

/// A purge that is under way.
pub(super) struct Purge {
    topic: LogTopic,
    /// Who waits for the end, and until when. `None`: nobody does, or does any more.
    caller: Option<(Timestamp, Reply<GroupAnswer>)>,
    /// Whether the log is gone, and only has to be deleted.
    has_begun: bool,
}

impl Purge {
    pub(super) fn new(topic: LogTopic, until: Timestamp, reply: Reply<GroupAnswer>) -> Self {
        Self { topic, caller: Some((until, reply)), has_begun: false }
    }

    /// One that an earlier life has begun, or of which only the last record is left.
    pub(super) fn unfinished(topic: LogTopic) -> Self {
        Self { topic, caller: None, has_begun: true }
    }

    pub(super) fn topic(&self) -> &LogTopic {
        &self.topic
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The log is gone, and has to be deleted.
    pub(super) fn begin(&mut self) {
        self.has_begun = true;
    }

    /// Until when the caller waits.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.caller.as_ref().map(|(until, _)| *until)
    }

    /// The caller waits no longer than it said.
    pub(super) fn expire(&mut self, now: Timestamp) {
        if let Some((_, reply)) = self.caller.take_if(|(until, _)| *until <= now) {
            reply.send(Err(deadline_passed()));
        }
    }

    pub(super) fn end(self, ended: Result<(), Error>) {
        if let Some((_, reply)) = self.caller {
            reply.send(ended.map(|()| GroupAnswer::Log(LogVerbAnswer::Purged)));
        }
    }
}

/// What is stored of the epoch of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Nothing,
    /// It is removed soon, unless it is told to somebody.
    Purged,
    Stored,
}

impl Begun {
    pub(super) fn of(log: &StoredLog) -> Self {
        match log.has_begun() {
            true => Self::Stored,
            false if log.is_purged() => Self::Purged,
            false => Self::Nothing,
        }
    }
}

/// A call about a durable log.
pub(super) struct Call {
    pub(super) asked: Asked,
    /// The caller has an answer by then.
    pub(super) until: Timestamp,
    pub(super) reply: Reply<GroupAnswer>,
}

impl Call {
    /// Whether it writes something that is no publication: a reset, or a question to a log whose epoch is not stored yet.
    pub(super) fn writes_alone(&self, begun: Begun) -> bool {
        matches!(self.asked, Asked::Verb(LogVerb::Reset { .. }, _))
            || match begun {
                Begun::Nothing => self.asked.is_question(),
                // Replicas ask because they were told of the purge.
                Begun::Purged => self.asked.is_question() && !matches!(self.asked, Asked::Missed(_)),
                Begun::Stored => false,
            }
    }
}

/// A log that takes nothing else until this is dropped.
pub(super) struct Turn {
    topic: LogTopic,
    _ends: oneshot::Sender<()>,
}

impl Turn {
    /// The receiver ends with the turn.
    pub(super) fn new(topic: &LogTopic) -> (Self, oneshot::Receiver<()>) {
        let (ends, ended) = oneshot::channel();
        (Self { topic: topic.clone(), _ends: ends }, ended)
    }

    pub(super) fn topic(&self) -> &LogTopic {
        &self.topic
    }
}

impl Job {
    pub(super) fn topic(&self) -> &LogTopic {
        match self {
            Self::Call(call) => call.asked.topic(),
            Self::Reserve(topic, _) => topic,
            Self::Purge(purge) => purge.topic(),
        }
    }

    /// Whether it is done alone, and not with the publications before it.
    fn is_alone(&self, begun: Begun) -> bool {
        match self {
            Self::Call(call) => call.writes_alone(begun),
            Self::Reserve(..) | Self::Purge(_) => true,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Call(call) => call.asked.bytes(),
            Self::Reserve(..) | Self::Purge(_) => 0,
        }
    }

    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Call(call) => call.reply.send(Err(error)),
            // Who has asked may have gone.
            Self::Reserve(_, turn) => drop(turn.send(Err(error))),
            Self::Purge(purge) => purge.end(Err(error)),
        }
    }
}

/// How much waits.
#[derive(Debug, Default)]
struct Load {
    count: usize,
    bytes: usize,
}

impl Load {
    fn admit(&mut self, more: usize) -> bool {
        let bytes = self.bytes + more;
        let admits = self.count < MOST_WAITING && bytes <= MOST_BYTES;
        if admits {
            (self.count, self.bytes) = (self.count + 1, bytes);
        }
        admits
    }

    /// What was admitted before.
    fn begins(&mut self, bytes: usize) {
        (self.count, self.bytes) = (self.count + 1, self.bytes + bytes);
    }

    fn ends(&mut self, bytes: usize) {
        (self.count, self.bytes) = (self.count - 1, self.bytes - bytes);
    }
}

/// What waits until the Group is in memory.
#[derive(Default)]
pub(super) struct Waking {
    waiting: VecDeque<Pending>,
    load: Load,
}

impl Waking {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Queues a call. If too many wait, it is answered with an error.
    pub(super) fn push(&mut self, pending: Pending) {
        if self.load.admit(pending.asked.bytes()) {
            return self.waiting.push_back(pending);
        }
        let text = "too many publications wait until the Group is in memory: try again later";
        pending.reply.send(Err(Error::new(Kind::TooMany, text)));
    }

    pub(super) fn pop(&mut self) -> Option<Pending> {
        let pending = self.waiting.pop_front()?;
        self.load.ends(pending.asked.bytes());
        Some(pending)
    }
}

/// What waits for durable logs, by topics. A topic that is here has a task that serves it.
#[derive(Default)]
pub(super) struct CommitQueue {
    waiting: BTreeMap<LogTopic, VecDeque<Job>>,
    load: Load,
}

impl CommitQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Queues a call. Returns whether nobody serves its topic. If too many wait, it is answered with an error.
    pub(super) fn push(&mut self, job: Job) -> bool {
        if !self.load.admit(job.bytes()) {
            let text = "too many publications wait until the log has stored others: try again later";
            job.fail(Error::new(Kind::TooMany, text));
            return false;
        }
        let is_new = !self.waiting.contains_key(job.topic());
        self.waiting.entry(job.topic().clone()).or_default().push_back(job);
        is_new
    }

    /// Queues what has had its turn, and has more to do, after all that waits for its topic.
    pub(super) fn push_again(&mut self, job: Job) {
        self.load.begins(job.bytes());
        self.waiting.entry(job.topic().clone()).or_default().push_back(job);
    }

    /// Whether a task serves this topic.
    pub(super) fn is_served(&self, topic: &LogTopic) -> bool {
        self.waiting.contains_key(topic)
    }

    pub(super) fn pop(&mut self, topic: &LogTopic) -> Option<Job> {
        let job = self.waiting.get_mut(topic)?.pop_front()?;
        self.load.ends(job.bytes());
        Some(job)
    }

    /// Whether what comes next for a topic is done alone: a reset, a purge, the turn of a transaction, or the first question to
    /// a log whose epoch is not stored.
    pub(super) fn is_next_alone(&self, topic: &LogTopic, begun: Begun) -> bool {
        self.waiting.get(topic).and_then(VecDeque::front).is_some_and(|job| job.is_alone(begun))
    }

    /// Whether nothing waits for a topic: then nobody serves it any more.
    pub(super) fn end(&mut self, topic: &LogTopic) -> bool {
        let is_done = self.waiting.get(topic).is_none_or(VecDeque::is_empty);
        if is_done {
            self.waiting.remove(topic);
        }
        is_done
    }
}
