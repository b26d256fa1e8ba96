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
    /// Joins the cluster. Completes when the node has its lease and can be reached. Cancelled before that, the node has not
    /// joined.
    ///
    /// # Errors
    /// One line for the operator that names what is missing.
    fn join(&self, node: Joining) -> Pending<Result<Ports, String>>;
}

/// What a server tells the cluster when it joins.
#[derive(Debug)]
pub struct Joining {
    /// The TCP address at which other nodes reach this one, for forwarded requests and sockets.
    pub address: SocketAddr,
    /// The versions of the node protocol that it speaks. It does not talk to nodes with which it has none in common.
    pub versions: Versions,
    /// The longest message that a client may send, in bytes. Node messages are a little longer.
    pub longest_message: usize,
    /// The names of its Groups, in the order of their [`ClassIndex`](dog_engine::address::ClassIndex).
    pub classes: Vec<&'static str>,
    /// Receives what the cluster has for this node.
    pub inbox: Inbox,
}

/// The versions of the node protocol that a node speaks: `oldest` to `newest`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest version.
    pub oldest: u8,
    /// The newest version.
    pub newest: u8,
}

impl Versions {
    /// Whether `version` is one of them.
    pub fn include(self, version: u8) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The newest version that `other` includes too.
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
    /// The first id of this node. Later ids are passed to [`Inbox::joined`].
    pub node: NodeId,
    /// A secret that all nodes of the cluster know, and nobody else. They authenticate each other with it over TCP.
    pub secret: [u8; 32],
    /// Which object lives on which node.
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
    /// On no node, and it was not to be claimed.
    Nobody,
}

/// The state of a node in its cluster, for its operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the service that connects the nodes can be reached now. Without it, sockets and messages within this node go
    /// on, and everything else waits until the lease is over.
    pub connected: bool,
    /// The number of live nodes, this one included.
    pub nodes: usize,
}

/// Knows which node each object lives on, and holds the lease of this node.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Finds the node of an object. If no live node has it and `claim` is set, this node claims it. If this node has it
    /// already, it gets a later claim. Cancelled, the object may be claimed all the same.
    ///
    /// # Errors
    /// When the node cannot be found out now ([`Error::is_unreachable`]), or this node has no lease.
    fn find(&self, object: Object, claim: bool) -> Pending<Result<Owner, Error>>;

    /// Gives up the claim of this node on an object that is not in memory and has no writes under way. The next node that
    /// looks for the object may claim it.
    fn release(&self, object: Object, claim: u64);

    /// The TCP address of a node, while it lives.
    fn address(&self, node: NodeId) -> Option<SocketAddr>;

    /// The versions of the node protocol that a node speaks, while it lives.
    fn versions(&self, node: NodeId) -> Option<Versions>;

    /// How long this node may still act for its objects, or zero if it may not. It is measured with a clock that nobody sets
    /// and that runs on while the machine sleeps.
    fn lease_left(&self) -> Duration;

    /// The state of this node in the cluster.
    fn standing(&self) -> Standing;

    /// The live node that wakes an object which no node has, when its alarm is due. All nodes with the same view of the
    /// cluster compute the same one.
    fn caretaker(&self, object: Object) -> NodeId;

    /// Gives the lease back, so that other nodes need not wait for its end. All objects have ended, and all writes are done.
    fn leave(&self) -> Pending<()>;
}

/// Carries node messages to other nodes.
pub trait Link: fmt::Debug + Send + Sync {
    /// Sends a bundle of node messages, at most once. A failure is not reported. Never blocks.
    fn send(&self, to: NodeId, bundle: Bytes);
}
