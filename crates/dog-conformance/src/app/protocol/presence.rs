//! Commands about presence, and how a Replica tells its sockets what it is told.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// How the topics begin that have a presence.
pub const PRESENT: &str = "present";

/// One more topic that has a presence.
pub const PRESENT_TOO: &str = "present/too";

/// What a Group with a presence broadcasts when a client arrives.
pub fn arrived(client: &dyn Display) -> String {
    format!("the Group sees {client} arrive")
}

/// What a Group with a presence broadcasts when a client leaves.
pub fn left(client: &dyn Display) -> String {
    format!("the Group sees {client} leave")
}

/// What a Group with a presence broadcasts when a client arrives in a topic.
pub fn arrived_in(topic: &str, client: &dyn Display) -> String {
    format!("the Group sees {client} arrive in {topic}")
}

/// What a Group with a presence broadcasts when a client leaves a topic.
pub fn left_in(topic: &str, client: &dyn Display) -> String {
    format!("the Group sees {client} leave {topic}")
}

/// The action of an [`Act::Presence`](super::Act::Presence).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "presence_do", rename_all = "snake_case")]
pub enum PresenceAct {
    /// Set a text as the value of this socket.
    Set {
        /// The text.
        text: String,
    },
    /// Set a text of this many letters.
    SetLong {
        /// How many.
        letters: usize,
    },
    /// Read who is in the Group, or in a topic: all pages of this size, and the counts.
    Read {
        /// The topic.
        topic: Option<String>,
        /// How many clients and connections a page has.
        limit: usize,
    },
}

/// The result of a [`PresenceAct::Read`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceTold {
    /// The clients, each with the values of its connections.
    pub clients: Vec<(String, Vec<Option<String>>)>,
    /// How many clients the Group counts.
    pub counted: usize,
}

/// What a Replica sends to its sockets for each change of the presence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceLine {
    /// These are there.
    Reset(Vec<String>),
    /// A client has come.
    Arrived(String),
    /// A client has left.
    Left(String),
    /// A connection has this value.
    Value(String, Option<String>),
    /// A connection has closed.
    Closed(String),
    /// The same in a topic.
    InTopic(String, Box<PresenceLine>),
}
