//! The messages about publications.

use dog::internal::{LogBounds, LogEpoch, LogTopic, Position};
use dog::{ReplicaId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::log::{AnswerBounds, Missed, Recorded, Tail};

/// A publication for the subscribers of its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationDelivery {
    /// The topic.
    pub topic: LogTopic,
    /// The epoch of its log.
    pub epoch: LogEpoch,
    /// The publication.
    pub publication: Recorded,
    /// Whether the Group sends it because it does not know the topics of this Replica, and asks for a census of them.
    pub asks: bool,
    /// If the Replica begins to follow the log with this publication: what the log keeps.
    pub begins: Option<LogBounds>,
}

/// Where a log ends, for a Replica that has not acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadDelivery {
    /// The topic.
    pub topic: LogTopic,
    /// The newest publication.
    pub position: Position,
}

/// A Replica has everything up to these positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The Replica.
    pub replica: ReplicaId,
    /// For each topic, the newest position.
    pub positions: Vec<(LogTopic, Position)>,
}

/// A Replica asks for publications that it has missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedCall {
    /// The Replica.
    pub replica: ReplicaId,
    /// The topic.
    pub topic: LogTopic,
    /// The position after which publications are missing.
    pub since: Position,
    /// If the Replica begins to follow the log: since when the topic has had subscribers there. If the Group knows what the Replica
    /// has acknowledged before, that counts and not `since`. Otherwise what was published from that time on is for them.
    pub begins: Option<Timestamp>,
    /// How much the answer may have. The Group gives no more than [`AnswerBounds::RECOVERY`].
    pub most: AnswerBounds,
}

/// A Replica asks for the newest publications, because sockets have come back. It follows the log from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailCall {
    /// The Replica.
    pub replica: ReplicaId,
    /// The topic.
    pub topic: LogTopic,
    /// Since when the topic has had subscribers there.
    pub subscribed: Timestamp,
    /// How much one recovery may replay. The Group gives no more than [`AnswerBounds::RECOVERY`].
    pub most: AnswerBounds,
}

/// The answer to a [`TailCall`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailAnswer {
    /// The offset after which publications are for the Replica's subscribers, if it has not followed the log in this life.
    pub since: u64,
    /// The newest publications.
    pub tail: Tail,
}

impl TailAnswer {
    /// The number of bytes of the publications in it.
    pub fn carried(&self) -> usize {
        self.tail.publications.iter().map(Recorded::size).sum()
    }
}

/// The answer to a [`MissedCall`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedAnswer {
    /// The position after which the publications are.
    pub since: Position,
    /// The publications.
    pub missed: Missed,
    /// Whether the log was purged, and nothing was published to it since. Who has followed it misses nothing if it begins again with
    /// another epoch.
    pub is_purged: bool,
}

impl MissedAnswer {
    /// The number of bytes of the publications in it.
    pub fn carried(&self) -> usize {
        self.missed.page.as_ref().map_or(0, |page| page.publications.iter().map(Recorded::size).sum())
    }
}
