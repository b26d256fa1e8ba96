//! Commands about topics.

use serde::{Deserialize, Serialize};

use super::whom::Whom;

/// The action of an [`Act::Topic`](super::Act::Topic).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "topic_do", rename_all = "snake_case")]
pub enum TopicAct {
    /// Subscribe this socket.
    Subscribe {
        /// To what.
        topic: String,
    },
    /// End a subscription of this socket.
    Unsubscribe {
        /// To what.
        topic: String,
    },
    /// Return the topics of this socket.
    Topics,
    /// Emit to a topic.
    EmitTo {
        /// Which.
        topic: String,
        /// What.
        text: String,
        /// To whom.
        to: Whom,
    },
    /// Broadcast to a topic.
    BroadcastTo {
        /// Which.
        topic: String,
        /// What.
        text: String,
        /// To whom.
        to: Whom,
    },
    /// Send the numbers from 0 on, each with the verb that [`TopicStep::of`] returns.
    Sequence {
        /// How many.
        count: u32,
        /// The topic of those verbs that have one.
        topic: String,
    },
}

/// How one number of a [`TopicAct::Sequence`] is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicStep {
    /// To the subscribers in the cluster.
    BroadcastTo,
    /// To all sockets of the cluster.
    Broadcast,
    /// To the subscribers on the Replica.
    EmitTo,
    /// To all sockets of the Replica.
    Emit,
    /// To all sockets of the cluster, awaited.
    Confirmed,
}

impl TopicStep {
    /// The verb for `number`.
    pub fn of(number: u32) -> Self {
        match number % 5 {
            0 => Self::BroadcastTo,
            1 => Self::Broadcast,
            2 => Self::EmitTo,
            3 => Self::Emit,
            _ => Self::Confirmed,
        }
    }
}
