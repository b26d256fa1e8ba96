//! Where things are sent: objects, tickets, seats.

use std::fmt;
use std::sync::Arc;

use dog::{ClientId, Epoch, GroupId, ReplicaId, Timestamp};
use serde::{Deserialize, Serialize};

/// Which of an App's Groups, by its place in [`App::Groups`](dog::App::Groups). The same on all nodes of one release;
/// between releases the name counts.
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
    /// The Group that it is, or that it belongs to.
    pub fn group(&self) -> GroupAddress {
        match self {
            Self::Group(group) => *group,
            Self::Replica(replica) => replica.group,
        }
    }

    /// The same object, of the class at `class`.
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
    /// Their ids, the speaker's own perhaps among them.
    pub replicas: Arc<[ReplicaId]>,
    /// The one that is left out: who speaks.
    pub except: Option<ReplicaId>,
}

impl Targets {
    /// Those meant, one by one.
    pub fn iter(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.replicas.iter().copied().filter(|replica| Some(*replica) != self.except)
    }

    /// The address of one of them.
    pub fn address(&self, replica: ReplicaId) -> ReplicaAddress {
        ReplicaAddress { group: self.group, replica }
    }
}

/// One of the nodes that a cluster of hosts is made of, in one life of it. Where there is no such cluster, all is at the
/// default one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(u64);

impl NodeId {
    /// The node of that number.
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

/// Names one ticket of a Group, for all its lives: the life that gave it, and a count within that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TicketId {
    /// The Group's life.
    pub epoch: Epoch,
    /// The count.
    pub number: u64,
}

/// A seat promised by a Group, for one client on one Replica, until it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its name.
    pub id: TicketId,
    /// Where.
    pub replica: ReplicaId,
    /// For whom.
    pub client: ClientId,
    /// Until when a Replica takes it. The Group itself keeps the seat somewhat longer.
    pub expires: Timestamp,
}

/// A seat taken on a Replica by a request, until the request ends or its socket opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeatId(pub u64);

/// The members of a Group, as the Group last told its Replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Later views have greater versions.
    pub version: ViewVersion,
    /// All members but the parked ones, those that are just joining among them.
    #[serde(with = "ids")]
    pub members: Arc<[ReplicaId]>,
}

/// Ids as their bytes. As text, as they travel elsewhere, they are twice as long; and of what a large room's objects say to
/// each other, views are by far the most.
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

/// The Group's life, and the changes in it: a restarted Group's first view is later than all before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ViewVersion {
    /// The Group's life.
    pub epoch: Epoch,
    /// Changes since that life began.
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
