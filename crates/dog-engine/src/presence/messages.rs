//! What Replicas and their Group say to each other about presence.

use bytes::Bytes;
use dog::internal::{ConnectionId, PresenceVersion, Topic};
use dog::{ClientId, Epoch, ReplicaId};
use serde::{Deserialize, Serialize};

use super::rosters::{RosterChange, RosterKey};

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionEnd {
    /// By itself, or because nothing is known of it any more.
    Gone,
    /// With 1012: its server shuts down, and the client is told to come back.
    Restarting,
    /// Its client was disconnected: there is no grace time.
    Disconnected,
}

/// What has become of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionState {
    /// It is open.
    Open {
        /// Its client.
        client: ClientId,
        /// Its value.
        value: Bytes,
    },
    /// It has ended.
    Closed(ConnectionEnd),
}

/// Whether a Replica follows the presence of its Group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Following {
    /// It does not: it is told nothing.
    No,
    /// It does, and knows nothing yet.
    New,
    /// It does, and was told this version.
    At(PresenceVersion),
}

/// The connections of a Replica, as absolute facts: a report that is lost, late or doubled does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceReport {
    /// The Replica.
    pub replica: ReplicaId,
    /// The life that reports.
    pub epoch: Epoch,
    /// The last change that was acknowledged.
    pub after: u64,
    /// The last change. A report with a smaller number says nothing new.
    pub sequence: u64,
    /// The connections that have changed since the last acknowledged report. In a census: all that are open, and those that
    /// have ended since.
    pub connections: Vec<(ConnectionId, ConnectionState)>,
    /// Whether `connections` names every connection that is open.
    pub census: bool,
    /// The topics with a presence that the open ones of `connections` are subscribed to. One that is not named here is subscribed to
    /// none.
    pub topics: Vec<(ConnectionId, Vec<Topic>)>,
    /// Whether the Replica follows the presence. The Group reads it in a census only.
    pub following: Following,
}

/// A Group's answer to a [`PresenceReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceReportAnswer {
    /// The life of the Group that answers. What it has taken a later life may never have heard of.
    pub life: Epoch,
    /// What it says.
    pub verdict: ReportVerdict,
}

/// What becomes of a [`PresenceReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportVerdict {
    /// The Group has it.
    Taken,
    /// The Group does not know what this life has reported before: report everything.
    Census,
    /// It was reported by an earlier life, and nobody waits for an answer.
    Late,
}

/// Changes that follow each other without a gap. The Group sends them once per tick to each Replica that follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceChanges {
    /// The version that they are changes of. It may be one of an earlier life.
    pub since: PresenceVersion,
    /// The life of the Group that has numbered them.
    pub life: Epoch,
    /// The changes.
    pub changes: Vec<RosterChange>,
}

impl PresenceChanges {
    /// The version to which they lead.
    pub fn version(&self) -> PresenceVersion {
        PresenceVersion { life: self.life, ..self.since }.plus(self.changes.len() as u64)
    }
}

/// What a Replica asks that has missed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceQuestion {
    /// What has changed since this version? The answer is a snapshot if that is not known any more, and for `None`.
    Since(Option<PresenceVersion>),
    /// The next page of a snapshot.
    Next {
        /// The version of the pages so far.
        since: PresenceVersion,
        /// Their last key.
        after: RosterKey,
    },
}

/// The Group's answer to a [`PresenceQuestion`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceAnswer {
    /// The changes, or the first of them.
    Changes(PresenceChanges),
    /// A page of a snapshot.
    Page(Box<RosterPage>),
    /// The Group has just woken, and does not know yet. It tells when it does.
    NotYet,
}

/// A page of a snapshot. It goes on after the pages before it, and brings them up to its own version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterPage {
    /// The version of all pages up to this one.
    pub version: PresenceVersion,
    /// The last key of the pages before. `None`: it is the first page.
    pub after: Option<RosterKey>,
    /// What has changed in the pages before.
    pub changes: Vec<RosterChange>,
    /// Who is there, in the order of the keys, as arrivals and opened connections.
    pub entries: Vec<RosterChange>,
    /// The last key of this page, if others follow.
    pub next: Option<RosterKey>,
}

/// A Group that has woken reads the rosters of a Replica. From then on the Replica hears no earlier life of the Group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterQuestion {
    /// The life of the Group.
    pub life: Epoch,
    /// The last key of the pages before.
    pub after: Option<RosterKey>,
}
