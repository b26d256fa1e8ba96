//! What is particular to the presence of topics: [`TopicChange`], and how many there are.

use serde::{Deserialize, Serialize};

use super::PresenceChange;
use crate::topic::Topic;

/// The most topics of a Group that have a presence at the same time: 10,000. A topic counts while somebody is present in it, clients in
/// their grace time included. [`Socket::subscribe`](crate::Socket::subscribe) to one more fails with
/// [`Error::is_too_many`](crate::Error::is_too_many).
pub const MAX_PRESENCE_TOPICS: usize = 10_000;

/// The most topics with a presence to which one socket is subscribed: 32. One more fails with
/// [`Error::is_too_many`](crate::Error::is_too_many).
pub const MAX_PRESENCE_TOPICS_OF_SOCKET: usize = 32;

/// What changes in the presence of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicChange {
    /// The topic.
    pub topic: Topic,
    /// What changes.
    pub change: PresenceChange,
}
