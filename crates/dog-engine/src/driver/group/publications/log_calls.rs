//! Calls about logs that wait: until the Group is in memory, and until a durable log has written or read.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dog::internal::{Kind, LogTopic, LogVerb};
use dog::{Error, Timestamp};
use futures_channel::oneshot;

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
    pub(super) fn writes_alone(&self, has_begun: bool) -> bool {
        matches!(self.asked, Asked::Verb(LogVerb::Reset { .. }, _)) || (!has_begun && self.asked.is_question())
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
        }
    }

    /// Whether it is done alone, and not with the publications before it.
    fn is_alone(&self, has_begun: bool) -> bool {
        match self {
            Self::Call(call) => call.writes_alone(has_begun),
            Self::Reserve(..) => true,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Call(call) => call.asked.bytes(),
            Self::Reserve(..) => 0,
        }
    }

    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Call(call) => call.reply.send(Err(error)),
            // Who has asked may have gone.
            Self::Reserve(_, turn) => drop(turn.send(Err(error))),
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

    pub(super) fn pop(&mut self, topic: &LogTopic) -> Option<Job> {
        let job = self.waiting.get_mut(topic)?.pop_front()?;
        self.load.ends(job.bytes());
        Some(job)
    }

    /// Whether what comes next for a topic is done alone: a reset, the turn of a transaction, or the first question to a log whose
    /// epoch is not stored.
    pub(super) fn is_next_alone(&self, topic: &LogTopic, has_begun: bool) -> bool {
        self.waiting.get(topic).and_then(VecDeque::front).is_some_and(|job| job.is_alone(has_begun))
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
