//! Objects, tickets, seats, views, and the nodes of a cluster.

use std::fmt;
use std::sync::Arc;

use dog::{ClientId, Epoch, GroupId, ReplicaId, Timestamp};
use serde::{Deserialize, Serialize};

/// The index of a Group class in [`App::Groups`](dog::App::Groups). It is the same on all nodes of one release. Between
/// releases the class is identified by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassIndex(pub u16);

/// One Group object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupAddress {
    /// Its class.
    pub class: ClassIndex,
    /// Its id.
    pub group: GroupId,
}

/// One Replica object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaAddress {
    /// The Group that it belongs to.
    pub group: GroupAddress,
    /// Its id.
    pub replica: ReplicaId,
}

/// Any object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// A Group.
    Group(GroupAddress),
    /// A Replica.
    Replica(ReplicaAddress),
}

impl Object {
    /// The Group itself, or the Group that the Replica belongs to.
    pub fn group(&self) -> GroupAddress {
        match self {
            Self::Group(group) => *group,
            Self::Replica(replica) => replica.group,
        }
    }

    /// The same object with the class index `class`.
    #[must_use]
    pub fn of_class(self, class: ClassIndex) -> Self {
        let group = GroupAddress { class, ..self.group() };
        match self {
            Self::Group(_) => Self::Group(group),
            Self::Replica(replica) => Self::Replica(ReplicaAddress { group, ..replica }),
        }
    }

    /// Its own id.
    pub fn id(&self) -> &[u8; 32] {
        match self {
            Self::Group(address) => address.group.as_bytes(),
            Self::Replica(address) => address.replica.as_bytes(),
        }
    }
}

/// Several Replicas of one Group. Cloning shares.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Their Group.
    pub group: GroupAddress,
    /// Their ids. The sender's own id may be among them.
    pub replicas: Arc<[ReplicaId]>,
    /// The one that is left out: the sender.
    pub except: Option<ReplicaId>,
}

impl Targets {
    /// The targets, without the one that is left out.
    pub fn iter(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.replicas.iter().copied().filter(|replica| Some(*replica) != self.except)
    }

    /// The address of one target.
    pub fn address(&self, replica: ReplicaId) -> ReplicaAddress {
        ReplicaAddress { group: self.group, replica }
    }
}

/// One life of a node of a cluster. Without a cluster, everything is on the default node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(u64);

impl NodeId {
    /// The node with this number.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Its number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// The id of a ticket, unique over all lives of a Group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TicketId {
    /// The Group's life that has issued it.
    pub epoch: Epoch,
    /// Counts the tickets of this life.
    pub number: u64,
}

/// A seat that a Group has reserved for one client on one Replica, until the ticket expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// The Replica.
    pub replica: ReplicaId,
    /// The client.
    pub client: ClientId,
    /// Until when a Replica accepts it. The Group itself keeps the seat 5 s longer.
    pub expires: Timestamp,
    /// Whether the Group did not remember the client there. A Replica that is closed to newcomers refuses it then.
    pub newcomer: bool,
}

/// A seat that is taken by a request, until the request ends or its socket opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeatId(pub u64);

/// The members of a Group, as the Group tells its Replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Later views have greater versions.
    pub version: ViewVersion,
    /// All members except for the parked ones. Members that are joining are included.
    #[serde(with = "ids")]
    pub members: Arc<[ReplicaId]>,
}

/// Serialises ids as bytes. As text, like elsewhere, they would be twice as long, and views are by far the largest part of
/// what the objects of a large room send to each other.
pub(crate) mod ids {
    use std::sync::Arc;

    use dog::ReplicaId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(ids: &Arc<[ReplicaId]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(ReplicaId::as_bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[ReplicaId]>, D::Error> {
        let ids = Vec::<[u8; 32]>::deserialize(deserializer)?;
        Ok(ids.into_iter().map(ReplicaId::from_bytes).collect())
    }
}

/// The version of a view. The first view of a new life of the Group is later than all views before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ViewVersion {
    /// The Group's life.
    pub epoch: Epoch,
    /// Counts the changes in this life.
    pub change: u64,
}

impl Default for View {
    fn default() -> Self {
        Self { version: ViewVersion::default(), members: Arc::new([]) }
    }
}

impl fmt::Display for ReplicaAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.replica)
    }
}

impl fmt::Display for GroupAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.group)
    }
}
