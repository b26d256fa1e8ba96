//! What the log of a topic keeps, and why it may be unable to say what somebody has missed: [`LogBounds`], [`Unrecovered`].
//! `records`: what is stored of it.

mod records;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use records::{log_records, write_log_record};

/// Longest message of a publication, in bytes.
pub const MAX_PUBLICATION: usize = 256 * 1024;

/// Longest metadata of a publication, in bytes.
pub const MAX_METADATA: usize = 4 * 1024;

/// Longest idempotency key of a publication, in bytes.
pub const MAX_PUBLICATION_KEY: usize = 256;

/// The most bytes of one stored record of a log. Every host stores as many in one value: 1 MiB with its headers is the least,
/// the default of `max_payload` of NATS.
pub const MAX_LOG_RECORD: usize = 832 * 1024;

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

impl Default for LogBounds {
    /// 100 publications, 1 MiB, 5 minutes.
    fn default() -> Self {
        Self { publications: 100, bytes: 1024 * 1024, age: Duration::from_secs(5 * 60) }
    }
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
    /// The socket may not have them: it is not subscribed to the topic.
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
