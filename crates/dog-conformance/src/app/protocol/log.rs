//! Commands about publications.

use dog::{Format, Position};
use serde::{Deserialize, Serialize};

/// Topics that begin with this have a log of 100 publications, and so has the room. It is in memory, or durable in a
/// [`Match`](crate::app::Match).
pub const LOGGED: &str = "logged/";

/// Topics that begin with this have a log of 3 publications.
pub const SHORT: &str = "short/";

/// With `&since=POSITION` in its path, a socket goes on in the room where its client has been. It is first sent the [`LogTold`].
pub const SINCE: &str = "since";

/// With `&format=NUMBER` in its path, a socket of a [`Match`](crate::app::Match) has this format, 1 to 7: it gets [`rendered`]
/// publications.
pub const FORMAT: &str = "format";

/// How a socket with another format than 0 gets a publication.
pub fn rendered(format: Format, position: &Position, text: &str) -> String {
    format!("{format}: {position}: {text}")
}

/// The action of an [`Act::Log`](super::Act::Log). The topic `""` is the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "log_do", rename_all = "snake_case")]
pub enum LogAct {
    /// Publish.
    Publish {
        /// To which topic.
        topic: String,
        /// What.
        text: String,
        /// The idempotency key.
        key: Option<String>,
    },
    /// Publish, and say whom it has reached.
    PublishConfirmed {
        /// To which topic.
        topic: String,
        /// What.
        text: String,
        /// The idempotency key.
        key: Option<String>,
    },
    /// Publish a text of this many letters, with metadata and a key as long.
    PublishLong {
        /// To which topic.
        topic: String,
        /// How many letters the text, the metadata and the key have. A key of 0 letters is none.
        letters: [usize; 3],
    },
    /// Publish `NAME 0`, `NAME 1` and so on, without waiting between them, and every third confirmed.
    PublishMany {
        /// To which topic.
        topic: String,
        /// The name.
        name: String,
        /// How many.
        count: u32,
    },
    /// Go on where the client has been.
    Resume {
        /// In which topic.
        topic: String,
        /// The position, as text.
        since: String,
    },
    /// Read a page of the history.
    History {
        /// Of which topic.
        topic: String,
        /// The position, as text.
        since: Option<String>,
        /// Whether the newest come first.
        newest_first: bool,
        /// How many at most.
        limit: usize,
    },
}

/// The result of a [`LogAct`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTold {
    /// The positions of what was published, as text, in the order of the calls.
    Published(Vec<String>),
    /// A confirmed one.
    Confirmed {
        /// The position, as text.
        position: String,
        /// How many sockets took it.
        sockets: usize,
        /// How many Replicas did not answer.
        missing: usize,
    },
    /// How many publications are replayed, and the position of the last of them, as text.
    Recovered(u64, String),
    /// Why they cannot be.
    Unrecovered(String),
    /// A page.
    Page {
        /// Where the log ends, as text.
        head: String,
        /// The offsets and texts.
        publications: Vec<(u64, String)>,
        /// Whether there is more.
        more: bool,
    },
}
