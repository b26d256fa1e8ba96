//! Publications: recorded broadcasts. [`NewPublication`] is what is published, [`Publication`] what a log has, [`HistoryPage`] a
//! part of a log. [`LogVerb`] and [`LogVerbAnswer`] are how a Group is asked. The macro makes the methods that a
//! [`Context`](crate::Context), a [`GroupContext`](crate::GroupContext) and a [`GroupHandle`](crate::GroupHandle) have in common.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};
use crate::features::Logs;
use crate::log::{HistoryOrder, MAX_METADATA, MAX_PUBLICATION, MAX_PUBLICATION_KEY, ROOM};
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

/// What is published to: the room, or a topic.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogTopic(Option<Topic>, Logs);

impl LogTopic {
    /// The room for [`ROOM`], or the topic with this name.
    ///
    /// # Errors
    /// There can be no such topic.
    pub fn new(name: &str) -> Result<Self, Error> {
        let Some(logs) = Logs::get() else { return Err(Error::new(Kind::NoLog, "the feature `log` is off")) };
        let topic = if name == ROOM { None } else { Some(Topic::new(name)?) };
        Ok(Self(topic, logs))
    }

    /// The topic. `None`: the room.
    pub fn topic(&self) -> Option<&Topic> {
        self.0.as_ref()
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or(ROOM, Topic::as_str)
    }
}

impl fmt::Display for LogTopic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => formatter.write_str("the room"),
            Some(topic) => write!(formatter, "the topic {topic:?}"),
        }
    }
}

/// What a Group is asked to do with the log of a topic.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogVerb {
    /// Numbers a publication, keeps it, and sends it to the subscribers.
    Publish { topic: LogTopic, publication: NewPublication },
    /// Reads a page.
    History { topic: LogTopic, since: Option<Position>, order: HistoryOrder, limit: u32 },
}

impl LogVerb {
    /// A checked publication.
    ///
    /// # Errors
    /// It is too large, or there can be no such topic.
    pub fn publish(topic: &str, publication: NewPublication) -> Result<Self, Error> {
        publication.check()?;
        Ok(Self::Publish { topic: LogTopic::new(topic)?, publication })
    }

    /// At most `limit` publications, 1 to 1000.
    ///
    /// # Errors
    /// There can be no such topic.
    pub fn history(topic: &str, since: Option<&Position>, order: HistoryOrder, limit: usize) -> Result<Self, Error> {
        let limit = u32::try_from(limit.clamp(1, MAX_HISTORY_PAGE)).unwrap_or(1);
        Ok(Self::History { topic: LogTopic::new(topic)?, since: since.cloned(), order, limit })
    }

    /// The number of bytes of the publication in it.
    pub fn carried(&self) -> usize {
        match self {
            Self::Publish { publication, .. } => publication.size(),
            Self::History { .. } => 0,
        }
    }
}

/// The answer to a [`LogVerb`].
#[doc(hidden)]
#[derive(Debug, Serialize, Deserialize)]
pub enum LogVerbAnswer {
    /// To `Publish`: where the publication is.
    Published(Position),
    /// To `History`.
    History(HistoryPage),
}

impl LogVerbAnswer {
    /// The number of bytes of the publications in it.
    pub fn carried(&self) -> usize {
        match self {
            Self::Published(_) => 0,
            Self::History(page) => page.publications.iter().map(Publication::size).sum(),
        }
    }

    fn unexpected() -> Error {
        Error::new(Kind::Unreachable, "the answer was of another kind than the call")
    }

    /// To `Publish`.
    ///
    /// # Errors
    /// It is another answer.
    pub fn into_position(self) -> Result<Position, Error> {
        match self {
            Self::Published(position) => Ok(position),
            Self::History(_) => Err(Self::unexpected()),
        }
    }

    /// To `History`.
    ///
    /// # Errors
    /// It is another answer.
    pub fn into_page(self) -> Result<HistoryPage, Error> {
        match self {
            Self::History(page) => Ok(page),
            Self::Published(_) => Err(Self::unexpected()),
        }
    }
}

/// The verbs about publications, for an `impl` of a type with the private method `log_verb`.
#[cfg(feature = "log")]
macro_rules! log_verbs {
    () => {
        /// Publishes to a topic, or to [`ROOM`](crate::ROOM), whose subscribers are all sockets of the Group. The Group numbers
        /// the publication, keeps it as its [`log`](crate::Group::log) of the topic says, and sends it to all subscribers, the
        /// sender included. The answer is its position.
        ///
        /// All subscribers get the publications of a topic in the order of their positions, and each of them once. One that is
        /// lost between two nodes is noticed within 1 s and sent again. If it cannot be, because the log does not keep it any
        /// more or has ended, [`Replica::on_lost`](crate::Replica::on_lost) is called.
        ///
        /// Publications of one object are numbered in the order of its calls. They are not ordered with what it sends by other
        /// verbs: publish both where one order is needed.
        ///
        /// It activates the Group if it is not in memory, takes no seat and creates no Replica. The Group has
        /// [`Policy::publish_deadline`](crate::Policy::publish_deadline) to answer, 3 s by default.
        ///
        /// Not cancel safe: if the future is dropped after its first poll, the message may be published or not. The same holds
        /// after [`Error::is_deadline`](crate::Error::is_deadline) and
        /// [`Error::is_unreachable`](crate::Error::is_unreachable). Repeat it with the same
        /// [key](crate::NewPublication::key): it is published once.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// group.publish(ROOM, "The match begins in a minute").await?;
        /// let goal = NewPublication::new("1:0").key("goal 17");
        /// let position = group.publish("scores/football", goal).await?;
        /// println!("published as {position}");
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// Nothing is published in these cases:
        /// - [`Error::is_no_log`](crate::Error::is_no_log): [`Group::log`](crate::Group::log) keeps no log of the topic, or the
        ///   host keeps no log in memory.
        /// - [`Error::is_invalid_topic`](crate::Error::is_invalid_topic): there can be no such topic.
        /// - [`Error::is_too_large`](crate::Error::is_too_large): the message has more than 256 KiB, the metadata more than
        ///   4 KiB, or the key more than 256 bytes.
        /// - [`Error::is_invalid_name`](crate::Error::is_invalid_name): the key is empty.
        /// - [`Error::is_too_many`](crate::Error::is_too_many): 1,000 publications or 1 MiB of this Replica have no position
        ///   yet; 10,000 calls or 64 MiB wait until the Group is in memory; or the Group has 10,000 logs or 64 MiB in them.
        /// - [`Error::is_closed`](crate::Error::is_closed): this activation of the object is over.
        ///
        /// It may be published or not in these cases:
        /// - [`Error::is_deadline`](crate::Error::is_deadline): there was no answer in time.
        /// - [`Error::is_unreachable`](crate::Error::is_unreachable): the Group cannot be reached, or has ended.
        /// - [`Error::is_handler`](crate::Error::is_handler): the Group's `activate` or `log` has failed or panicked.
        pub async fn publish(
            &self,
            topic: &str,
            publication: impl Into<$crate::NewPublication>,
        ) -> ::std::result::Result<$crate::Position, $crate::Error> {
            self.log_verb($crate::log::publication::LogVerb::publish(topic, publication.into())?).await?.into_position()
        }

        /// A page of what the log of a topic, or of [`ROOM`](crate::ROOM), keeps: at most `limit` publications (1 to 1000), and
        /// at most 512 KiB of them unless one alone is larger.
        ///
        /// - `since`: with `OldestFirst`, the publications after this position; with `NewestFirst`, those before it. `None`: the
        ///   page begins with the oldest or the newest that the log keeps.
        /// - It activates the Group if it is not in memory, and answers as [`publish`](Self::publish) does. Cancel safe.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let newest = group.history(ROOM, None, HistoryOrder::NewestFirst, 50).await?;
        /// for publication in newest.publications.iter().rev() {
        ///     println!("{}: {:?}", publication.offset, publication.message);
        /// }
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// - [`Error::unrecovered`](crate::Error::unrecovered) has the reason why there is no such page: the log has another
        ///   epoch than the position, ends before it, or does not keep the publications after it any more.
        /// - As [`publish`](Self::publish).
        pub async fn history(
            &self,
            topic: &str,
            since: Option<&$crate::Position>,
            order: $crate::HistoryOrder,
            limit: usize,
        ) -> ::std::result::Result<$crate::HistoryPage, $crate::Error> {
            self.log_verb($crate::log::publication::LogVerb::history(topic, since, order, limit)?).await?.into_page()
        }
    };
}
#[cfg(feature = "log")]
pub(crate) use log_verbs;

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
