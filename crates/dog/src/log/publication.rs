//! Publications: recorded broadcasts. [`NewPublication`] is what is published, [`Publication`] what a log has, [`HistoryPage`] a
//! part of a log.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};
use crate::features::Logs;
use crate::id::ReplicaId;
use crate::log::{MAX_METADATA, MAX_PUBLICATION, MAX_PUBLICATION_KEY, ROOM};
use crate::message::{IntoMessage, Message};
use crate::position::Position;
use crate::time::Timestamp;
use crate::topic::Topic;

/// The largest page of a history: 1000 publications.
pub const MAX_HISTORY_PAGE: usize = 1000;

/// What is published: a message, and what belongs to it. Whatever is a message is also a publication.
///
/// ```
/// use dog::NewPublication;
///
/// let order = NewPublication::new("a table for two").key("order 7").metadata(r#"{"by":"ann"}"#);
/// # assert_eq!(order.message.as_text(), Some("a table for two"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPublication {
    /// What subscribers get: at most 256 KiB.
    pub message: Message,
    /// What the App keeps with it: at most 4 KiB. Subscribers do not get it, [`history`](crate::Context::history) has it.
    pub metadata: Bytes,
    /// The idempotency key: 1 to 256 bytes. See [`key`](Self::key).
    pub key: Option<Bytes>,
}

impl NewPublication {
    /// A publication without metadata and without a key.
    pub fn new(message: impl IntoMessage) -> Self {
        Self { message: message.into(), metadata: Bytes::new(), key: None }
    }

    /// Keeps this with the publication, in at most 4 KiB.
    #[must_use]
    pub fn metadata(self, metadata: impl Into<Bytes>) -> Self {
        Self { metadata: metadata.into(), ..self }
    }

    /// Tells that the publication is the same as an earlier one with this key, of 1 to 256 bytes. If the topic had one within the
    /// last 5 minutes and the newest 10,000 keys, nothing is published, and the answer is its position. So a publication whose
    /// outcome is unknown can be repeated.
    #[must_use]
    pub fn key(self, key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// [`Error::is_too_large`] if the message is longer than 256 KiB, the metadata than 4 KiB or the key than 256 bytes;
    /// [`Error::is_invalid_name`] if the key is empty.
    #[doc(hidden)]
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

    /// The number of bytes in it.
    #[doc(hidden)]
    pub fn size(&self) -> usize {
        self.message.len() + self.metadata.len() + self.key.as_ref().map_or(0, Bytes::len)
    }
}

impl<M: IntoMessage> From<M> for NewPublication {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

/// A publication in a log. Its epoch is that of the [page](HistoryPage) which has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its place in the log: 1 for the first, and one more for each that follows.
    pub offset: u64,
    /// When the Group has numbered it. It never goes back within a log.
    pub at: Timestamp,
    /// What subscribers get.
    pub message: Message,
    /// What the App keeps with it.
    pub metadata: Bytes,
}

impl Publication {
    /// What counts against [`Log::bytes`](crate::Log::bytes): the bytes of its message and metadata.
    pub fn size(&self) -> usize {
        self.message.len() + self.metadata.len()
    }
}

/// A part of a log, from [`Context::history`](crate::Context::history).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Where the log ends: the position of its newest publication, or offset 0 if it has had none.
    pub head: Position,
    /// The publications, in the order that was asked for, without a gap.
    pub publications: Vec<Publication>,
    /// Whether the log keeps more in this direction: go on with the position of the last one.
    pub more: bool,
}

impl HistoryPage {
    /// The position of the last publication of the page: `since` of the next page. `None` if the page is empty.
    pub fn last(&self) -> Option<Position> {
        self.publications.last().map(|last| Position::new(self.head.epoch().clone(), last.offset))
    }
}

/// The outcome of [`Context::publish_confirmed`](crate::Context::publish_confirmed): where the publication is, and whom it has
/// reached.
#[derive(Debug)]
pub struct PublicationReport {
    /// Its position.
    pub position: Position,
    /// Number of sockets that took it. 0 if its key has named an earlier publication: nothing was sent then.
    pub sockets: usize,
    /// Replicas that did not say within 3 s how many of their sockets took it, with the reason. They get it later, as long as the
    /// log keeps it.
    pub missing: Vec<(ReplicaId, Error)>,
}

/// What is published to: the room, or a topic.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogTopic(Logs, Option<Topic>);

impl LogTopic {
    /// The room for [`ROOM`], or the topic with this name.
    ///
    /// # Errors
    /// There can be no such topic.
    pub fn new(name: &str) -> Result<Self, Error> {
        let Some(logs) = Logs::get() else { return Err(Error::new(Kind::NoLog, "the feature `log` is off")) };
        let topic = if name == ROOM { None } else { Some(Topic::new(name)?) };
        Ok(Self(logs, topic))
    }

    /// The topic. `None`: the room.
    pub fn topic(&self) -> Option<&Topic> {
        self.1.as_ref()
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.1.as_ref().map_or(ROOM, Topic::as_str)
    }
}

impl fmt::Display for LogTopic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.1 {
            None => formatter.write_str("the room"),
            Some(topic) => write!(formatter, "the topic {topic:?}"),
        }
    }
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

    #[test]
    #[cfg(feature = "log")]
    fn the_room_is_the_topic_with_the_empty_name() {
        assert_eq!(LogTopic::new(ROOM).unwrap().topic(), None);
        assert_eq!(LogTopic::new("a").unwrap().name(), "a");
        assert!(LogTopic::new("a\nb").unwrap_err().is_invalid_topic());
    }
}
