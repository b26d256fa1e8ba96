//! What the log of a topic keeps, and why it may be unable to say what somebody has missed: [`Log`], [`LogBounds`],
//! [`Unrecovered`].
//! `records`: what is stored of it; `publication`: what it keeps; `verbs`: what can be done with it; `outbox`: what a transaction
//! publishes; `recovery`: what a client that comes back has missed of it.

#[cfg(all(feature = "log", feature = "storage"))]
mod outbox;
pub(crate) mod publication;
mod records;
#[cfg(feature = "log")]
mod recovery;
pub(crate) mod verbs;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use records::{log_records, write_log_record};

/// What belongs to the API.
pub(crate) mod api {
    pub use super::publication::Publication;
    #[cfg(feature = "log")]
    pub use super::publication::{HistoryPage, MAX_HISTORY_PAGE, NewPublication, PublicationReport};
    #[cfg(feature = "log")]
    pub use super::{HistoryOrder, MAX_METADATA, MAX_PUBLICATION, MAX_PUBLICATION_KEY, ROOM};
    pub use super::{Log, Unrecovered};
    pub use crate::position::LogEpoch;
    #[cfg(feature = "log")]
    pub use crate::position::{Position, Recovered};
}

/// Longest message of a publication, in bytes.
pub const MAX_PUBLICATION: usize = 256 * 1024;

/// Longest metadata of a publication, in bytes.
pub const MAX_METADATA: usize = 4 * 1024;

/// Longest idempotency key of a publication, in bytes.
pub const MAX_PUBLICATION_KEY: usize = 256;

/// The most bytes of one stored record of a log. Every host stores as many in one value: 1 MiB with its headers is the least,
/// the default of `max_payload` of NATS.
pub const MAX_LOG_RECORD: usize = 832 * 1024;

/// The topic of the room: every socket of the Group is subscribed to it.
pub const ROOM: &str = "";

/// What a Group keeps of the publications of a topic: see [`Group::log`](crate::Group::log).
///
/// ```
/// use std::time::Duration;
/// use dog::Log;
///
/// // The newest 1,000 publications of the last hour, with 4 MiB at most.
/// let log = Log::memory().publications(1000).bytes(4 * 1024 * 1024).age(Duration::from_secs(3600));
/// assert_ne!(log, Log::none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log(Option<Kept>);

/// What a log keeps, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    bounds: LogBounds,
    is_durable: bool,
}

impl Log {
    /// No log: nothing can be published to the topic.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A log in the memory of the Group: the newest 100 publications of the last 5 minutes, with 1 MiB at most.
    ///
    /// It keeps the Group in memory until its publications are too old. It is lost when the Group's life ends, because its code has
    /// panicked or its node has ended. The next publication then begins a new [epoch](crate::Position::epoch), and Replicas that
    /// have followed the log before call [`Replica::on_lost`](crate::Replica::on_lost).
    ///
    /// On Workers it is [`durable`](Self::durable), with the bounds of a log in memory: there a Group leaves memory when the platform
    /// wants it to.
    pub const fn memory() -> Self {
        Self(Some(Kept { bounds: LogBounds::DEFAULT, is_durable: false }))
    }

    /// A log in the storage of the Group: the newest 1,000 publications of the last 24 hours, with 16 MiB at most.
    ///
    /// A publication is sent, answered and shown by `history` after its write is durable. From then on it survives whatever a
    /// [`Storage::put`](crate::Storage::put) survives, together with its position and its key. The
    /// [epoch](crate::Position::epoch) stays the same over restarts and crashes. Publications that arrive while a write is under
    /// way are written together. A Group reads its log when it is first used in a life, and may leave memory in between. What the
    /// bounds do not keep any more is not shown, and is deleted with later writes to the log. The log has a space of its own:
    /// [`Storage::delete_all`](crate::Storage::delete_all) leaves it.
    ///
    /// ```
    /// use dog::{Log, ROOM};
    ///
    /// fn log(topic: &str) -> Log {
    ///     if topic == ROOM { Log::durable() } else { Log::memory() }
    /// }
    /// # assert_ne!(log(ROOM), log("t"));
    /// ```
    pub const fn durable() -> Self {
        Self(Some(Kept { bounds: LogBounds::DURABLE, is_durable: true }))
    }

    const fn with_bounds(self, bounds: LogBounds) -> Self {
        match self.0 {
            Some(kept) => Self(Some(Kept { bounds, ..kept })),
            None => self,
        }
    }

    /// Keeps this number of publications at most.
    #[must_use]
    pub const fn publications(self, most: u32) -> Self {
        match self.0 {
            Some(Kept { bounds, .. }) => self.with_bounds(LogBounds { publications: most, ..bounds }),
            None => self,
        }
    }

    /// Keeps publications with this number of bytes at most, in their messages and metadata together.
    #[must_use]
    pub const fn bytes(self, most: u32) -> Self {
        match self.0 {
            Some(Kept { bounds, .. }) => self.with_bounds(LogBounds { bytes: most, ..bounds }),
            None => self,
        }
    }

    /// Keeps publications for this time.
    #[must_use]
    pub const fn age(self, age: Duration) -> Self {
        match self.0 {
            Some(Kept { bounds, .. }) => self.with_bounds(LogBounds { age, ..bounds }),
            None => self,
        }
    }

    /// What it keeps. `None`: there is no log.
    #[doc(hidden)]
    pub const fn bounds(self) -> Option<LogBounds> {
        match self.0 {
            Some(Kept { bounds, .. }) => Some(bounds),
            None => None,
        }
    }

    /// Whether it is stored.
    #[doc(hidden)]
    pub const fn is_durable(self) -> bool {
        matches!(self.0, Some(Kept { is_durable: true, .. }))
    }
}

/// What a log keeps: the newest publications that are within all three bounds. Answers keep to them exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBounds {
    /// Most publications.
    pub publications: u32,
    /// Most bytes in their messages and metadata.
    pub bytes: u32,
    /// How long after it was made a publication is kept.
    pub age: Duration,
}

impl LogBounds {
    const DEFAULT: Self = Self { publications: 100, bytes: 1024 * 1024, age: Duration::from_secs(5 * 60) };
    const DURABLE: Self = Self { publications: 1000, bytes: 16 * 1024 * 1024, age: Duration::from_secs(24 * 60 * 60) };
}

impl Default for LogBounds {
    /// 100 publications, 1 MiB, 5 minutes.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Which part of a log a page of its history begins with, and in which direction it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryOrder {
    /// The oldest first: those after the position.
    OldestFirst,
    /// The newest first: those before the position.
    NewestFirst,
}

/// Why the publications since a position cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unrecovered {
    /// The log has dropped some of them.
    Expired,
    /// There are more of them than one recovery may replay.
    GapTooLarge,
    /// The log has another epoch: publications were lost, or it was reset.
    EpochUnknown,
    /// The log has not come to this position yet.
    Future,
    /// The socket may not have them: its client is not known yet ([`Socket::assign`](crate::Socket::assign)).
    NotPermitted,
}

impl Unrecovered {
    /// The name that clients are told: `expired`, `gap_too_large`, `epoch_unknown`, `future` or `not_permitted`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::GapTooLarge => "gap_too_large",
            Self::EpochUnknown => "epoch_unknown",
            Self::Future => "future",
            Self::NotPermitted => "not_permitted",
        }
    }
}

impl fmt::Display for Unrecovered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
