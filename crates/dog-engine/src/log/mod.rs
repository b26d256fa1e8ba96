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

use bytes::Bytes;
use dog::internal::{Kind, LogBounds, MAX_METADATA, MAX_PUBLICATION, MAX_PUBLICATION_KEY, Position, Unrecovered};
use dog::{Error, Message, Timestamp};
use serde::{Deserialize, Serialize};

pub use follower::{Arrival, Follower, Recovery};
pub use heads::Heads;
pub use inquiry::{Inquiry, InquiryStep, LogAnswer, Question};
pub use log_topics::{LogTopics, MAX_LOG_TOPICS};
pub use replay::{Replay, ReplayStep};
pub use restore::Restore;
pub use segment::{LogRead, Segment, SegmentPlace};
pub use stored_log::{LogEntries, StoredLog};
pub use topic_log::{Appended, StoredPublication, TopicLog};
pub use window::Window;

/// How long a key answers a repeated publication with the first position.
pub const KEY_AGE: Duration = Duration::from_secs(5 * 60);

/// How many keys of a topic are remembered.
pub const MAX_KEYS: usize = 10_000;

/// A publication as it is stored and sent: with its offset, and without its epoch, which is said once for many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its place in the log, from 1.
    pub offset: u64,
    /// When the Group has numbered it. It never goes back within a log.
    pub at: Timestamp,
    /// What subscribers get.
    pub message: Message,
    /// What belongs to the message and is for the App.
    pub metadata: Bytes,
}

impl Recorded {
    /// What counts against [`LogBounds::bytes`].
    pub fn size(&self) -> usize {
        self.message.len() + self.metadata.len()
    }
}

/// A publication that has no offset yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPublication {
    /// What subscribers get.
    pub message: Message,
    /// What belongs to the message and is for the App.
    pub metadata: Bytes,
    /// Tells that the publication is the same as an earlier one.
    pub key: Option<Bytes>,
}

impl NewPublication {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`Error::is_too_large`] if the message is longer than 256 KiB, the metadata than 4 KiB or the key than 256 bytes;
    /// [`Error::is_invalid_name`] if the key is empty.
    pub fn check(&self) -> Result<(), Error> {
        let key = self.key.as_ref().map_or(1, Bytes::len);
        let parts = [
            ("message", self.message.len(), MAX_PUBLICATION),
            ("metadata", self.metadata.len(), MAX_METADATA),
            ("key", key, MAX_PUBLICATION_KEY),
        ];
        if let Some((part, length, most)) = parts.into_iter().find(|(_, length, most)| length > most) {
            let text = format!("the {part} of the publication has {length} bytes, {most} at most");
            return Err(Error::new(Kind::ValueTooLarge, text));
        }
        if key == 0 {
            return Err(Error::new(
                Kind::InvalidName,
                "the key of the publication is empty: pass 1 to 256 bytes, or none",
            ));
        }
        Ok(())
    }
}

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

    pub(crate) fn hold(&self, publications: usize, bytes: usize) -> bool {
        publications <= self.publications as usize && bytes <= self.bytes as usize
    }
}

/// Which part of a log a page begins with, and in which direction it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageOrder {
    /// The oldest first: those after the position.
    OldestFirst,
    /// The newest first: those before the position.
    NewestFirst,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_refused_over_each_of_its_bounds() {
        let new = |message: usize, metadata: usize, key: Option<usize>| NewPublication {
            message: Message::binary(vec![0; message]),
            metadata: vec![0; metadata].into(),
            key: key.map(|length| vec![0; length].into()),
        };
        assert!(new(MAX_PUBLICATION, MAX_METADATA, Some(MAX_PUBLICATION_KEY)).check().is_ok());
        assert!(new(0, 0, None).check().is_ok());
        let over = [
            new(MAX_PUBLICATION + 1, 0, None),
            new(0, MAX_METADATA + 1, None),
            new(0, 0, Some(MAX_PUBLICATION_KEY + 1)),
        ];
        assert!(over.iter().all(|over| over.check().unwrap_err().is_too_large()));
        assert!(new(0, 0, Some(0)).check().unwrap_err().is_invalid_name());
    }
}
