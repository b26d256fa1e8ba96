//! How a Group is asked to use the log of a topic: [`LogVerb`] and [`LogVerbAnswer`]. The macro makes the methods that a
//! [`Context`](crate::Context), a [`GroupContext`](crate::GroupContext) and a [`GroupHandle`](crate::GroupHandle) have in common.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};
use crate::id::ReplicaId;
use crate::log::HistoryOrder;
use crate::log::publication::{
    HistoryPage, LogTopic, MAX_HISTORY_PAGE, NewPublication, Publication, PublicationReport,
};
use crate::position::Position;

/// What a Group is asked to do with the log of a topic.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogVerb {
    /// Numbers a publication, keeps it, and sends it to the subscribers.
    Publish { topic: LogTopic, publication: NewPublication },
    /// The same, and waits until the Replicas have said how many sockets took it.
    PublishConfirmed { topic: LogTopic, publication: NewPublication },
    /// Has the log begin again with another epoch.
    Reset { topic: LogTopic },
    /// Deletes the log.
    Purge { topic: LogTopic },
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

    /// The same, confirmed.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_confirmed(topic: &str, publication: NewPublication) -> Result<Self, Error> {
        publication.check()?;
        Ok(Self::PublishConfirmed { topic: LogTopic::new(topic)?, publication })
    }

    /// A reset.
    ///
    /// # Errors
    /// There can be no such topic.
    pub fn reset(topic: &str) -> Result<Self, Error> {
        Ok(Self::Reset { topic: LogTopic::new(topic)? })
    }

    /// A purge.
    ///
    /// # Errors
    /// There can be no such topic.
    pub fn purge(topic: &str) -> Result<Self, Error> {
        Ok(Self::Purge { topic: LogTopic::new(topic)? })
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
            Self::Publish { publication, .. } | Self::PublishConfirmed { publication, .. } => publication.size(),
            Self::Reset { .. } | Self::Purge { .. } | Self::History { .. } => 0,
        }
    }

    /// The topic whose log it needs.
    pub fn topic(&self) -> &LogTopic {
        match self {
            Self::Publish { topic, .. } | Self::PublishConfirmed { topic, .. } => topic,
            Self::Reset { topic } | Self::Purge { topic } | Self::History { topic, .. } => topic,
        }
    }
}

/// The answer to a [`LogVerb`].
#[doc(hidden)]
#[derive(Debug, Serialize, Deserialize)]
pub enum LogVerbAnswer {
    /// To `Publish`: where the publication is. To `Reset`: where the log begins.
    Published(Position),
    /// To `Purge`.
    Purged,
    /// To `PublishConfirmed`.
    Confirmed { position: Position, sockets: usize, missing: Vec<(ReplicaId, Error)> },
    /// To `History`.
    History(HistoryPage),
}

impl LogVerbAnswer {
    /// The number of bytes of the publications in it.
    pub fn carried(&self) -> usize {
        match self {
            Self::Published(_) | Self::Purged | Self::Confirmed { .. } => 0,
            Self::History(page) => page.publications.iter().map(Publication::size).sum(),
        }
    }

    fn unexpected() -> Error {
        Error::new(Kind::Unreachable, "the answer was of another kind than the call")
    }

    /// To `Publish` and `Reset`.
    ///
    /// # Errors
    /// It is another answer.
    pub fn into_position(self) -> Result<Position, Error> {
        match self {
            Self::Published(position) => Ok(position),
            Self::Purged | Self::Confirmed { .. } | Self::History(_) => Err(Self::unexpected()),
        }
    }

    /// To `Purge`.
    ///
    /// # Errors
    /// It is another answer.
    pub fn into_purged(self) -> Result<(), Error> {
        match self {
            Self::Purged => Ok(()),
            Self::Published(_) | Self::Confirmed { .. } | Self::History(_) => Err(Self::unexpected()),
        }
    }

    /// To `PublishConfirmed`.
    ///
    /// # Errors
    /// It is another answer.
    pub fn into_report(self) -> Result<PublicationReport, Error> {
        match self {
            Self::Confirmed { position, sockets, missing } => Ok(PublicationReport { position, sockets, missing }),
            Self::Published(_) | Self::Purged | Self::History(_) => Err(Self::unexpected()),
        }
    }

    /// To `History`.
    ///
    /// # Errors
    /// It is another answer.
    pub fn into_page(self) -> Result<HistoryPage, Error> {
        match self {
            Self::History(page) => Ok(page),
            Self::Published(_) | Self::Purged | Self::Confirmed { .. } => Err(Self::unexpected()),
        }
    }
}

/// The verbs about publications, for an `impl` of a type with the private method `log_verb`.
#[cfg(feature = "log")]
macro_rules! log_verbs {
    () => {
        /// Publishes to a topic, or to [`ROOM`](crate::ROOM), whose subscribers are all sockets of the Group. The Group numbers
        /// the publication, keeps it as its [`log`](crate::Group::log) of the topic says, and sends it to all subscribers, the
        /// sender included. The answer is its position. In a [durable](crate::Log::durable) log it is on disk before anybody gets
        /// it.
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
        /// - [`Error::is_no_log`](crate::Error::is_no_log): [`Group::log`](crate::Group::log) keeps no log of the topic.
        /// - [`Error::is_invalid_topic`](crate::Error::is_invalid_topic): there can be no such topic.
        /// - [`Error::is_too_large`](crate::Error::is_too_large): the message has more than 256 KiB, the metadata more than
        ///   4 KiB, or the key more than 256 bytes.
        /// - [`Error::is_invalid_name`](crate::Error::is_invalid_name): the key is empty.
        /// - [`Error::is_too_many`](crate::Error::is_too_many): 1,000 publications or 1 MiB of this Replica have no position
        ///   yet; 10,000 calls or 64 MiB wait until the Group is in memory, or for its durable logs; or the Group has 10,000 logs or
        ///   64 MiB of memory in them.
        /// - [`Error::is_storage`](crate::Error::is_storage): the durable log cannot be read or written, as with
        ///   [`Storage::put`](crate::Storage::put).
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
            self.log_verb($crate::log::verbs::LogVerb::publish(topic, publication.into())?).await?.into_position()
        }

        /// Publishes as [`publish`](Self::publish) does, and waits until every Replica that has subscribers has said how many
        /// sockets took the publication, at most 3 s after it was numbered. The report also names the Replicas that did not
        /// answer: they get the publication later, as long as the log keeps it.
        ///
        /// A publication whose [key](crate::NewPublication::key) names an earlier one is not sent again: the report has the
        /// position of the earlier one, and 0 sockets.
        ///
        /// Not cancel safe, as [`publish`](Self::publish).
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let report = group.publish_confirmed(ROOM, "The match is over").await?;
        /// println!("{}: {} sockets, {} Replicas are late", report.position, report.sockets, report.missing.len());
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`publish`](Self::publish). Also [`Error::is_too_many`](crate::Error::is_too_many), and nothing is published: 1,000
        /// confirmed publications of the Group, or 100,000 answers of Replicas to them, are awaited.
        pub async fn publish_confirmed(
            &self,
            topic: &str,
            publication: impl Into<$crate::NewPublication>,
        ) -> ::std::result::Result<$crate::PublicationReport, $crate::Error> {
            let verb = $crate::log::verbs::LogVerb::publish_confirmed(topic, publication.into())?;
            self.log_verb(verb).await?.into_report()
        }

        /// Has the log of a topic, or of [`ROOM`](crate::ROOM), begin again: its publications and keys are gone, and it has a new
        /// [epoch](crate::Position::epoch) that no log had before. The answer is the position after which its first publication
        /// comes, with offset 0.
        ///
        /// Replicas that have followed the log call [`Replica::on_lost`](crate::Replica::on_lost) with
        /// [`Unrecovered::EpochUnknown`](crate::Unrecovered::EpochUnknown), within 1 s after they can be heard. By default the
        /// subscribers there close with 1013.
        ///
        /// What was published before the call is gone, and what is published after it is in the new log. It activates the Group if it
        /// is not in memory, and answers as [`publish`](Self::publish) does.
        ///
        /// Not cancel safe: if the future is dropped after its first poll, the log may be reset or not. A reset that is repeated is
        /// another one.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let start = group.reset_log("scores/football").await?;
        /// assert_eq!(start.offset(), 0);
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`publish`](Self::publish). Also [`Error::is_storage`](crate::Error::is_storage) if a durable log could not be written:
        /// it may be reset or not.
        pub async fn reset_log(&self, topic: &str) -> ::std::result::Result<$crate::Position, $crate::Error> {
            self.log_verb($crate::log::verbs::LogVerb::reset(topic)?).await?.into_position()
        }

        /// Deletes the log of a topic, or of [`ROOM`](crate::ROOM): its publications and keys are gone, from memory and from the
        /// storage, and its place among the 10,000 logs of the Group is free. The next publication to the topic has offset 1 in
        /// another [epoch](crate::Position::epoch), which no log had before.
        ///
        /// Sockets stay subscribed. Replicas that have followed the log call [`Replica::on_lost`](crate::Replica::on_lost) with
        /// [`Unrecovered::EpochUnknown`](crate::Unrecovered::EpochUnknown), within 1 s after they can be heard, and keep nothing of
        /// it: by default the subscribers there close with 1013. A socket that resumes from an earlier position, or asks for the history
        /// after it, is told the same reason. A history without a position is empty.
        ///
        /// What was published before the call is gone, and what is published after it is kept. A durable log is gone for everybody
        /// with one write; then its records are deleted, a few with each write, and publications go on meanwhile. The answer comes
        /// when all are. If the Group ends before, its next life goes on with the deletion, at the latest when it begins a log, or
        /// when the topic is used or purged again.
        ///
        /// A topic whose log keeps nothing, or was never used, can be purged: nothing happens. It activates the Group if it is not in
        /// memory, and answers as [`publish`](Self::publish) does.
        ///
        /// Not cancel safe: if the future is dropped after its first poll, the log may be purged or not. Purge it again.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// group.purge_log("scores/football").await?;
        /// let page = group.history("scores/football", None, HistoryOrder::OldestFirst, 1).await?;
        /// assert!(page.publications.is_empty());
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// - [`Error::is_no_log`](crate::Error::is_no_log): [`Group::log`](crate::Group::log) keeps no log of the topic.
        /// - [`Error::is_deadline`](crate::Error::is_deadline): the log may be purged or not, or not all of it is deleted yet. The
        ///   deletion goes on.
        /// - [`Error::is_storage`](crate::Error::is_storage): the log may be purged or not, or not all of it is deleted.
        /// - Otherwise as [`publish`](Self::publish).
        pub async fn purge_log(&self, topic: &str) -> ::std::result::Result<(), $crate::Error> {
            self.log_verb($crate::log::verbs::LogVerb::purge(topic)?).await?.into_purged()
        }

        /// A page of what the log of a topic, or of [`ROOM`](crate::ROOM), keeps: at most `limit` publications (1 to 1000), and
        /// at most 512 KiB of them unless one alone is larger.
        ///
        /// - `since`: with `OldestFirst`, the publications after this position; with `NewestFirst`, those before it. `None`: the
        ///   page begins with the oldest or the newest that the log keeps.
        /// - It activates the Group if it is not in memory, and answers as [`publish`](Self::publish) does. Cancel safe.
        /// - A durable log that is empty and was never asked for is written once, with its epoch.
        /// - Calls in one Replica that want the same page at the same time cost one question to the Group, and those that come while
        ///   it is under way one more. They are answered within twice the deadline.
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
            self.log_verb($crate::log::verbs::LogVerb::history(topic, since, order, limit)?).await?.into_page()
        }
    };
}
#[cfg(feature = "log")]
pub(crate) use log_verbs;
