//! Who is in a Group, and in its topics: connections, clients, and how that changes: [`PresenceChange`]. `topics`: what is particular to
//! topics; `policy`: [`Presence`], the times of a Group's presence; `page`: who is there, in pages; `verbs`: how it is read.

mod page;
mod policy;
mod topics;
pub(crate) mod verbs;

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::Error;
use crate::id::{ClientId, ReplicaId};
use crate::numbers::Epoch;

pub use page::{MAX_PRESENCE_PAGE, PresenceCursor, PresencePage, PresentClient, PresentConnection};
pub use policy::Presence;
pub use topics::{MAX_PRESENCE_TOPICS, MAX_PRESENCE_TOPICS_OF_SOCKET, TopicChange};

/// What belongs to the API.
pub(crate) mod api {
    pub use super::PresenceNews;
    #[cfg(feature = "presence")]
    pub use super::{
        ConnectionId, MAX_PRESENCE_PAGE, MAX_PRESENCE_VALUE, Presence, PresenceChange, PresenceCounts, PresenceCursor,
        PresencePage, PresenceVersion, PresentClient, PresentConnection,
    };
    #[cfg(all(feature = "presence", feature = "topics"))]
    pub use super::{MAX_PRESENCE_TOPICS, MAX_PRESENCE_TOPICS_OF_SOCKET, TopicChange};
}

/// Largest presence value of a socket, in bytes when serialised.
pub const MAX_PRESENCE_VALUE: usize = 1024;

/// The name of one connection: of an open socket, as all of its Group know it. It is unique in the Group, and stays the same
/// while its Replica hibernates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId {
    replica: ReplicaId,
    life: Epoch,
    number: u64,
}

impl ConnectionId {
    /// The connection with this number among those that have opened in this life of the Replica.
    pub const fn new(replica: ReplicaId, life: Epoch, number: u64) -> Self {
        Self { replica, life, number }
    }

    /// The Replica that has the connection.
    pub const fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The life of the Replica in which it has opened.
    pub const fn life(&self) -> Epoch {
        self.life
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}/{}/{}", self.replica, self.life.as_u64(), self.number)
    }
}

/// One state of a Group's presence. Two states with the same version are equal, and the later one has the greater version.
///
/// The life is part of it because a life of the Group may end when it has told a change to nobody who is heard again: then the
/// next life gives the number of that change to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PresenceVersion {
    /// The life of the Group that has numbered the last change.
    pub life: Epoch,
    /// The number of the last change. Each change has the next one.
    pub number: u64,
    /// The life of the Group in which this presence began. Within it, the joins and leaves of each client alternate.
    pub epoch: Epoch,
}

impl PresenceVersion {
    /// The version after this number of changes by the same life.
    #[must_use]
    pub const fn plus(self, changes: u64) -> Self {
        Self { number: self.number + changes, ..self }
    }
}

/// What changes in a Group's presence: in the room, or in a [topic](TopicChange).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceChange {
    /// The client has its first connection there.
    Arrived {
        /// The client.
        client: ClientId,
    },
    /// A client that is there has one more connection.
    Opened {
        /// The client.
        client: ClientId,
        /// The connection.
        connection: ConnectionId,
        /// Its value.
        value: Bytes,
    },
    /// A connection has another value.
    Updated {
        /// The client.
        client: ClientId,
        /// The connection.
        connection: ConnectionId,
        /// Its new value.
        value: Bytes,
    },
    /// A connection has ended, or is not subscribed to the topic any more. Its client is still there.
    Closed {
        /// The client.
        client: ClientId,
        /// The connection.
        connection: ConnectionId,
    },
    /// The client has had no connection there for the grace time.
    Left {
        /// The client.
        client: ClientId,
    },
}

impl PresenceChange {
    /// The client.
    pub const fn client(&self) -> &ClientId {
        match self {
            Self::Arrived { client }
            | Self::Opened { client, .. }
            | Self::Updated { client, .. }
            | Self::Closed { client, .. }
            | Self::Left { client } => client,
        }
    }

    /// The connection, if it is about one.
    pub const fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Opened { connection, .. } | Self::Updated { connection, .. } | Self::Closed { connection, .. } => {
                Some(*connection)
            }
            Self::Arrived { .. } | Self::Left { .. } => None,
        }
    }

    /// The value that its socket has set, if it is about one that has set any.
    ///
    /// # Errors
    /// [`Error::is_encoding`]: the value is not a `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        match self {
            Self::Opened { value, .. } | Self::Updated { value, .. } => decode(value),
            Self::Arrived { .. } | Self::Closed { .. } | Self::Left { .. } => Ok(None),
        }
    }

    /// What counts against bounds: about as many bytes as it takes on the way.
    #[doc(hidden)]
    pub fn size(&self) -> usize {
        let value = match self {
            Self::Opened { value, .. } | Self::Updated { value, .. } => value.len(),
            Self::Arrived { .. } | Self::Closed { .. } | Self::Left { .. } => 0,
        };
        let connection = self.connection().map_or(0, |_| size_of::<ConnectionId>());
        self.client().as_str().len() + connection + value + 8
    }
}

/// What [`Replica::on_presence`](crate::Replica::on_presence) is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceNews {
    /// What was told before does not count any more. `presence()` says who is there.
    Reset(PresenceVersion),
    /// These changes lead from the version that was told before to this one.
    Changed {
        /// The version.
        version: PresenceVersion,
        /// The changes in the room, in their order. Each is possible after the one before.
        changes: Vec<PresenceChange>,
        /// The changes in topics that [have a presence](crate::Group::has_presence), in the same way.
        in_topics: Vec<TopicChange>,
    },
}

impl PresenceNews {
    /// The version after the news.
    pub const fn version(&self) -> PresenceVersion {
        match self {
            Self::Reset(version) | Self::Changed { version, .. } => *version,
        }
    }
}

/// The value that a socket has set. An empty one was never set: no value is serialised to no bytes.
fn decode<T: DeserializeOwned>(value: &Bytes) -> Result<Option<T>, Error> {
    if value.is_empty() { Ok(None) } else { codec::decode(value).map(Some) }
}

/// How many are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceCounts {
    /// Clients, those in their grace time too.
    pub clients: usize,
    /// Connections.
    pub connections: usize,
}
