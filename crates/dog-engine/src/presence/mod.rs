//! Presence: who is in a Group (promise 19). Pure: reports, answers and the time come in, decisions come out.
//!
//! It has two levels. A **connection** appears and disappears at once. A **client** arrives with its first connection, and leaves
//! when the last one is gone and its grace time is over.
//!
//! - this file: the settings
//! - `messages`: what Replicas and Group say to each other
//! - [`read`]: what is answered to those who ask
//! - [`Roster`]: who is in the room or in a topic; [`Rosters`]: in all of them, in one version of the presence. The Group has them, and
//!   each Replica that follows
//!
//! Of a Replica:
//! - [`OwnConnections`]: its own connections, and what of them the Group has not acknowledged
//! - [`PresenceFollower`]: applies what the Group tells, notices gaps, and yields what the user's code has to be told
//!
//! Of a Group, [`GroupPresence`] (file `group`) with its parts:
//! - `owners`: the open connections of each Replica, as reported
//! - `clients`: which clients are there because of them, and their grace times; `member`: a client, and where it is
//! - `admitted`: how many topics have a presence
//! - `pending`: what may differ from what was told last, until the next tick
//! - `announced`: what was told last, and to whom
//! - `history`: the newest changes, for those who have missed some
//! - `waking`: how a new life of the Group finds out what the one before has told
//!
//! # Topics
//! The room has a presence, and each topic for which the Group wants one. Topics are not numbered apart: all changes have one version, one
//! epoch and one list per tick, so a topic costs nothing but its changes, and a new life of the Group goes on with all at once.
//!
//! # How a new life of the Group continues
//! The Replicas that follow know what was told, and each census says which version they have. The new life reads the rosters of
//! the newest version from its Replica, page by page, and goes on from there: it tells the difference to the connections that
//! the Replicas report. The connections of a Replica that was not counted yet count as open. If no Replica survived that
//! follows, there is a new epoch: it begins with what is open now, and is told as a reset.
//!
//! A Replica that hears a later life of its Group takes nothing from an earlier one. If it has been told something that the
//! later life does not know, it gets a snapshot, and tells the user's code the difference.

mod admitted;
mod announced;
mod clients;
mod connections;
mod follower;
mod group;
mod history;
mod member;
mod messages;
mod owners;
mod pending;
mod reading;
mod roster;
mod rosters;
mod waking;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use connections::{OwnConnections, PresenceRound};
pub use dog::internal::PresenceNews;
pub use follower::PresenceFollower;
pub use group::{GroupPresence, PresenceStart};
pub use messages::{
    ConnectionEnd, ConnectionState, Following, PresenceAnswer, PresenceChanges, PresenceQuestion, PresenceReport,
    PresenceReportAnswer, ReportVerdict, RosterPage, RosterQuestion,
};
pub use reading::{is_reading, read};
pub use roster::{PresenceKey, Roster};
pub use rosters::{RosterChange, RosterKey, Rosters};

/// How many changes, and how many bytes in them. What has one change is within it, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceBounds {
    /// Most changes.
    pub changes: usize,
    /// Most bytes.
    pub bytes: usize,
}

impl PresenceBounds {
    fn hold(self, changes: usize, bytes: usize) -> bool {
        changes <= 1 || (changes <= self.changes && bytes <= self.bytes)
    }
}

/// The times and bounds of a Group's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceSettings {
    /// How long a client stays after its last connection: 5 s by default.
    pub grace: Duration,
    /// How long it stays at least after a connection that was closed with 1012, because its server shuts down: the time that
    /// the shutdown takes, and 10 s. By default 20 s.
    pub restart_grace: Duration,
    /// How long changes are collected: 100 ms by default.
    pub tick: Duration,
    /// What is told at once: 4,096 changes or 256 KiB by default. The rest follows with the next tick.
    pub list: PresenceBounds,
    /// What is kept for Replicas that have missed something: 16,384 changes or 1 MiB by default. Beyond that they get a
    /// snapshot.
    pub history: PresenceBounds,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            restart_grace: Duration::from_secs(20),
            tick: Duration::from_millis(100),
            list: PresenceBounds { changes: 4096, bytes: 256 * 1024 },
            history: PresenceBounds { changes: 16_384, bytes: 1024 * 1024 },
        }
    }
}
