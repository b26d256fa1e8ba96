//! The log of a topic: what a Group keeps of its publications, and what a Replica does so that its sockets see all of them, in
//! one order (promises 17 and 18). Pure: time and publications come in, decisions come out.
//!
//! - this file: a publication, and the bounds of answers
//! - [`Window`]: a run of publications without a gap, and all that can be asked of it
//! - of a Group: [`TopicLog`] numbers the publications of one topic, with idempotency keys; [`Heads`] has the end of the
//!   log repeated to the Replicas that have not acknowledged it
//! - of a durable log: [`StoredLog`] says what each commit writes, [`Restore`] reads it, and an [`Inquiry`] answers from what is
//!   stored; [`Segment`]: one record; [`LogTopics`]:
//!   which topics have a log
//! - of a Replica: [`Follower`] puts what comes into order and notices gaps; [`Replay`] is one socket that catches up

mod edge;
mod follower;
mod heads;
mod inquiry;
mod keys;
mod log_topics;
mod replay;
mod restore;
mod segment;
mod stored_log;
mod topic_log;
mod trim;
mod window;

use std::time::Duration;

use dog::Policy;
use dog::internal::{LogBounds, Position, Unrecovered};
use serde::{Deserialize, Serialize};

/// A publication as it is stored and sent: with its offset, and without its epoch, which is said once for many.
pub use dog::internal::Publication as Recorded;
pub use dog::internal::{HistoryOrder as PageOrder, NewPublication};

pub use follower::{Arrival, Follower, Recovery};
pub use heads::Heads;
pub use inquiry::{Inquiry, InquiryStep, LogAnswer, Question};
pub use log_topics::{LogTopics, MAX_LOG_TOPICS};
pub use replay::{Replay, ReplayStep};
pub use restore::Restore;
pub use segment::{LogRead, Segment, SegmentPlace};
pub use stored_log::{LogEntries, StoredLog};
pub(crate) use topic_log::COMMIT;
pub use topic_log::{Appended, StoredPublication, TopicLog};
pub use window::Window;

/// How long a key answers a repeated publication with the first position.
pub const KEY_AGE: Duration = Duration::from_secs(5 * 60);

/// How many keys of a topic are remembered.
pub const MAX_KEYS: usize = 10_000;

/// How much one answer has at most. The first publication of a page is in it, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerBounds {
    /// Most publications.
    pub publications: u32,
    /// Most bytes in their messages and metadata.
    pub bytes: u32,
}

impl AnswerBounds {
    /// What one recovery replays at most: 1,000 publications and 512 KiB.
    pub const RECOVERY: Self = Self { publications: 1000, bytes: 512 * 1024 };

    /// What one recovery replays at most by the policy of a Group: no more than [`RECOVERY`](Self::RECOVERY).
    pub fn of(policy: &Policy) -> Self {
        Self { publications: policy.resume_publications, bytes: policy.resume_bytes }.limited()
    }

    /// No more than [`RECOVERY`](Self::RECOVERY): no message between two nodes has room for more.
    pub(crate) fn limited(self) -> Self {
        let Self { publications, bytes } = Self::RECOVERY;
        Self { publications: self.publications.min(publications), bytes: self.bytes.min(bytes) }
    }

    pub(crate) fn hold(&self, publications: usize, bytes: usize) -> bool {
        publications <= self.publications as usize && bytes <= self.bytes as usize
    }
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The publications, in the order that was asked for, without a gap.
    pub publications: Vec<Recorded>,
    /// Whether the log has more in this direction.
    pub more: bool,
}

/// What a Replica has to know of a log that it follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// The newest publication, or offset 0.
    pub position: Position,
    /// What the log keeps.
    pub bounds: LogBounds,
}

/// The newest publications of a log, as many as one recovery may replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// Where the log ends.
    pub head: LogHead,
    /// The oldest offset that the log keeps; one more than the head's if it keeps nothing.
    pub first: u64,
    /// The oldest first, up to the head.
    pub publications: Vec<Recorded>,
}

/// What a Replica is told when it asks for the publications that it has missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Where the log ends.
    pub head: LogHead,
    /// The publications after the position that was asked for.
    pub page: Result<Page, Unrecovered>,
}
