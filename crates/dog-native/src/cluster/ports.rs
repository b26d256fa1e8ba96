//! The ports of a cluster: what a server needs from it. `dog-nats` implements them over NATS.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::Error;
use dog_engine::address::{NodeId, Object};

use super::inbox::Inbox;
use crate::storage::port::{Pending, Storage};

/// A cluster that a server can join as a node.
pub trait Cluster: fmt::Debug + Send + Sync {
    /// Joins the cluster. Completes when the node has its lease and can be reached. If it is cancelled before that, the
    /// node has not joined.
    ///
    /// # Errors
    /// One line for the operator that names what is missing.
    fn join(&self, node: Joining) -> Pending<Result<Ports, String>>;
}

/// What a server passes to the cluster when it joins.
#[derive(Debug)]
pub struct Joining {
    /// The TCP address at which other nodes reach this one, for forwarded requests and sockets.
    pub address: SocketAddr,
    /// The versions of the node protocol that it speaks. It does not exchange messages with nodes that speak none of
    /// them.
    pub versions: Versions,
    /// The longest message that a client may send, in bytes. Node messages are a little longer.
    pub longest_message: usize,
    /// The names of its Groups, in the order of their [`ClassIndex`](dog_engine::address::ClassIndex).
    pub classes: Vec<&'static str>,
    /// Receives messages and news from the cluster for this node.
    pub inbox: Inbox,
}

/// A range of versions of the node protocol, from `oldest` to `newest`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest version.
    pub oldest: u8,
    /// The newest version.
    pub newest: u8,
}

impl Versions {
    /// Returns whether `version` is one of them.
    pub fn include(self, version: u8) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// Returns the newest version that `other` includes too.
    ///
    /// ```
    /// use dog_native::cluster::Versions;
    ///
    /// let old = Versions { oldest: 2, newest: 2 };
    /// let new = Versions { oldest: 2, newest: 3 };
    /// assert_eq!((new.in_common(old), new.in_common(new)), (Some(2), Some(3)));
    /// assert_eq!(old.in_common(Versions { oldest: 3, newest: 4 }), None);
    /// ```
    pub fn in_common(self, other: Self) -> Option<u8> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            return write!(formatter, "{}", self.newest);
        }
        write!(formatter, "{} to {}", self.oldest, self.newest)
    }
}

/// The cluster, as a node that has joined it uses it.
#[derive(Debug)]
pub struct Ports {
    /// The first id of this node. Later ids are passed to [`Inbox::rejoined`].
    pub node: NodeId,
    /// A secret that only the nodes of the cluster know. They use it to authenticate each other over TCP.
    pub secret: [u8; 32],
    /// Knows which object lives on which node.
    pub directory: Box<dyn Directory>,
    /// Carries node messages to other nodes.
    pub link: Box<dyn Link>,
    /// Stores the entries and alarms of objects.
    pub storage: Arc<dyn Storage>,
}

/// Where an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// On this node, by a new claim with this number.
    Here(u64),
    /// On another node.
    There(NodeId),
    /// On no node. The lookup was not allowed to claim it.
    Nobody,
}

/// The state of a node in its cluster, for its operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the service that connects the nodes can be reached. Without it, sockets and messages within this node
    /// keep working, and everything else waits until the lease is over.
    pub connected: bool,
    /// The number of live nodes, this one included.
    pub nodes: usize,
}

/// Knows which node each object lives on, and holds the lease of this node.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Finds the node of an object. If no live node has it and `claim` is set, this node claims it. If this node has it
    /// already, it gets a later claim. If the future is dropped, the object may be claimed anyway.
    ///
    /// # Errors
    /// If the node cannot be determined now ([`Error::is_unreachable`]), or this node has no lease.
    fn find(&self, object: Object, claim: bool) -> Pending<Result<Owner, Error>>;

    /// Gives up this node's claim on an object that is not in memory and has no pending writes. The next node that
    /// looks it up may claim it.
    fn release(&self, object: Object, claim: u64);

    /// Returns the TCP address of a node, or `None` if the node has ended.
    fn address(&self, node: NodeId) -> Option<SocketAddr>;

    /// Returns the versions of the node protocol that a node speaks, or `None` if the node has ended.
    fn versions(&self, node: NodeId) -> Option<Versions>;

    /// Returns how long this node may still act for its objects, or zero if it may not. The clock for this must be
    /// monotonic and must include the time during which the machine sleeps.
    fn lease_left(&self) -> Duration;

    /// Returns the state of this node in the cluster.
    fn standing(&self) -> Standing;

    /// Returns the live node that wakes an object when its alarm is due and no node has the object. All nodes with the
    /// same view of the cluster return the same one.
    fn caretaker(&self, object: Object) -> NodeId;

    /// Releases the lease, so that other nodes need not wait until it expires. All objects have ended, and all writes
    /// are done.
    fn leave(&self) -> Pending<()>;
}

/// Carries node messages to other nodes.
pub trait Link: fmt::Debug + Send + Sync {
    /// Sends a bundle of node messages, at most once. A failure is not reported. Never blocks.
    fn send(&self, to: NodeId, bundle: Bytes);
}
