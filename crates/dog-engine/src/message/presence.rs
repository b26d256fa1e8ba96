//! The messages about presence. What they carry is in [`presence`](crate::presence).

use dog::ReplicaId;
use dog::internal::{ConnectionId, PresenceVersion, Topic};
use serde::{Deserialize, Serialize};

use crate::presence::{
    ConnectionState, PresenceAnswer, PresenceChanges, PresenceQuestion, PresenceReport, PresenceReportAnswer,
    RosterChange, RosterPage,
};

/// A Replica reports its connections, or asks what it has missed. Both can be repeated without harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceCall {
    /// Its connections.
    Report(PresenceReport),
    /// What it has missed.
    Question(PresenceQuestion),
}

/// The Group's answer to a [`PresenceCall`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceReply {
    /// To `Report`.
    Reported(PresenceReportAnswer),
    /// To `Question`.
    Answered(PresenceAnswer),
}

impl PresenceCall {
    /// The number of bytes of the connections in it.
    pub fn carried(&self) -> usize {
        match self {
            Self::Report(report) => report.carried(),
            Self::Question(_) => 0,
        }
    }
}

impl PresenceReport {
    /// The number of bytes of the connections in it.
    pub fn carried(&self) -> usize {
        let bytes = |(_, state): &(ConnectionId, ConnectionState)| match state {
            ConnectionState::Open { client, value } => size_of::<ConnectionId>() + client.as_str().len() + value.len(),
            ConnectionState::Closed(_) => size_of::<ConnectionId>(),
        };
        let names = |(_, topics): &(ConnectionId, Vec<Topic>)| {
            size_of::<ConnectionId>() + topics.iter().map(|topic| topic.len()).sum::<usize>()
        };
        self.connections.iter().map(bytes).sum::<usize>() + self.topics.iter().map(names).sum::<usize>()
    }
}

impl PresenceChanges {
    /// The number of bytes of the changes in it.
    pub fn size(&self) -> usize {
        size(&self.changes)
    }
}

impl PresenceReply {
    /// The number of bytes of the changes in it.
    pub fn carried(&self) -> usize {
        match self {
            Self::Reported(_) => 0,
            Self::Answered(PresenceAnswer::Changes(list)) => size(&list.changes),
            Self::Answered(PresenceAnswer::Page(page)) => page.carried(),
            Self::Answered(PresenceAnswer::NotYet) => 0,
        }
    }
}

impl RosterPage {
    /// The number of bytes of the changes in it.
    pub fn carried(&self) -> usize {
        size(&self.changes) + size(&self.entries)
    }
}

fn size(changes: &[RosterChange]) -> usize {
    changes.iter().map(RosterChange::size).sum()
}

/// A Replica has this version of the presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceAcknowledgement {
    /// The Replica.
    pub replica: ReplicaId,
    /// The version.
    pub version: PresenceVersion,
}
