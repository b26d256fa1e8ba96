//! The messages about topics.

use dog::internal::{Topic, Topics};
use dog::{ClientId, Epoch, Message, ReplicaId};
use serde::{Deserialize, Serialize};

use crate::address::NodeId;

/// Which topics have subscribers on a Replica, as absolute facts: a report that is lost, late or doubled does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterestReport {
    /// The Replica.
    pub replica: ReplicaId,
    /// The life that reports.
    pub epoch: Epoch,
    /// The node that it lives on.
    pub node: NodeId,
    /// Grows with each change. A report with a smaller number says nothing new.
    pub sequence: u64,
    /// Topics whose interest has changed since the last acknowledged report, and whether they have subscribers now. In a
    /// census: all that have.
    pub topics: Vec<(Topic, bool)>,
    /// Whether `topics` names every topic that has subscribers.
    pub census: bool,
    /// It takes no bytes.
    pub feature: Topics,
}

/// A Group's answer to an [`InterestReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterestAnswer {
    /// The Group has it, except for new topics that would be too many.
    Taken {
        /// Those topics.
        refused: Vec<Topic>,
    },
    /// The Group does not know what this life has reported before: report everything.
    Census,
}

/// A message for the subscribers of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDelivery {
    /// The topic.
    pub topic: Topic,
    /// The message.
    pub message: Message,
    /// The client whose sockets are left out.
    pub except: Option<ClientId>,
    /// Whether the Group sends it because it does not know the topics of this Replica, and asks for a census of them.
    pub asks: bool,
}
