//! The ports through which everything goes that crosses nodes, for whoever makes a cluster of servers: `dog-nats` does,
//! over NATS. A program names none of this; it passes what implements [`Cluster`] to
//! [`Server::cluster`](crate::Server::cluster).
//!
//! - [`Directory`]: which node an object lives on, and this node's lease
//! - [`Link`]: letters to other nodes
//! - [`Storage`]: what objects keep; the embedded one is another
//!
//! A server without a cluster asks none of them: all its objects are its own, and reached by mail between its threads.
//! In a cluster an object that lives here is reached the same way.
//!
//! # What a cluster promises
//! 1. Two nodes never hold one object at the same time: a claim that [`Directory::find`] gives is later, by its number,
//!    than all that were given before, and is given only when the lease of the node that has the last one is over.
//! 2. [`Directory::lease_left`] is nothing before that moment comes, whatever the clocks of other machines say: a worker
//!    that finds so lets all its objects go before it does anything else.
//! 3. A write that names an earlier claim than the object's last one fails, and leaves nothing behind.
//! 4. Bundles from one thread to one node arrive in the order in which they were sent, or not at all.
//! 5. A node that has ended has no [`Directory::address`] any more when [`Inbox::gone`] tells of it, and never again has one:
//!    what a worker remembers of a node that has one is forgotten in time.

mod inbox;
pub(crate) mod letter;
mod lifeline;
pub(crate) mod peer;

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use dog::Error;
use dog_engine::address::Object;

pub use crate::metrics::Times;
pub use crate::storage::{Done, Read, SetAlarm, Storage, StorageFigures};
pub use dog_engine::address::NodeId;
pub use inbox::{Inbox, claim_of};

pub(crate) use inbox::{ClusterFigures, Held, Joined, State};
pub(crate) use lifeline::{Destinations, Lasts};

/// Something that ends later, on whatever thread.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A cluster that a server can be a node of.
pub trait Cluster: fmt::Debug + Send + Sync {
    /// Joins it. Ends when the node has its lease and can be reached; cancelled before that, it has joined nothing.
    ///
    /// # Errors
    /// One line that names what is missing: for the operator, who reads it at the start.
    fn join(&self, node: Joining) -> Pending<Result<Ports, String>>;
}

/// What a server tells of itself when it joins.
#[derive(Debug)]
pub struct Joining {
    /// Where other nodes reach this one, for requests and sockets that are passed on.
    pub address: SocketAddr,
    /// The versions of the letters between nodes that it speaks: nodes with which it has none in common are not spoken to.
    pub versions: Versions,
    /// The longest message that a client may send, in bytes: letters are a little longer.
    pub longest_message: usize,
    /// The names of its Groups, in the order of their [`ClassIndex`](dog_engine::address::ClassIndex).
    pub classes: Vec<&'static str>,
    /// Takes what the cluster has for this node.
    pub inbox: Inbox,
}

/// The versions of the letters that a node speaks: these two, and all between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub oldest: u8,
    /// The newest.
    pub newest: u8,
}

impl Versions {
    /// Whether a version is among them.
    pub fn include(self, version: u8) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The newest that is among others too.
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

/// What a node has joined by.
#[derive(Debug)]
pub struct Ports {
    /// The first name of this node; a later one is told to the [`Inbox`].
    pub node: NodeId,
    /// Shared by all nodes of the cluster and nobody else: by it they know each other over TCP.
    pub secret: [u8; 32],
    /// Who lives where.
    pub directory: Box<dyn Directory>,
    /// The way to other nodes.
    pub link: Box<dyn Link>,
    /// What objects keep.
    pub storage: std::sync::Arc<dyn Storage>,
}

/// Where an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Here, from now on, by a new claim of that number.
    Here(u64),
    /// At another node.
    There(NodeId),
    /// Nowhere: nobody has it, and it was not to be claimed.
    Nobody,
}

/// How a node stands in its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether what the cluster is made over can be reached now. Without it sockets go on, and what is said within this
    /// node; the rest waits, until the lease is over.
    pub connected: bool,
    /// The nodes that live, this one among them.
    pub nodes: usize,
}

/// Which node each object lives on.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Finds an object; where nobody has it, or nobody that lives, and `claim` is set, it is this node's from then on.
    /// Asked for an object that this node has already, it gives a later claim. Cancelled, it may have claimed the object
    /// all the same.
    ///
    /// # Errors
    /// When that cannot be found out now ([`Error::is_unreachable`]), or this node has no lease.
    fn find(&self, object: Object, claim: bool) -> Pending<Result<Owner, Error>>;

    /// This node has an object by that claim and has no use for it now: nobody needs to know where it is. Nothing of it is
    /// under way. The next who looks for it may claim it.
    fn release(&self, object: Object, claim: u64);

    /// Where a node is reached over TCP, while it lives.
    fn address(&self, node: NodeId) -> Option<SocketAddr>;

    /// The versions of the letters that a node speaks, while it lives.
    fn versions(&self, node: NodeId) -> Option<Versions>;

    /// How long this node may still act for its objects; nothing once it may not. By a clock that nobody sets, and that
    /// goes on while the machine sleeps.
    fn lease_left(&self) -> Duration;

    /// How this node stands in the cluster, for its operator.
    fn standing(&self) -> Standing;

    /// Which of the nodes that live looks after an object that nobody has: all nodes say the same, more or less.
    fn caretaker(&self, object: Object) -> NodeId;

    /// Gives the lease back, so that others need not wait for its end. All objects have ended and all is written.
    fn leave(&self) -> Pending<()>;
}

/// The way to other nodes.
pub trait Link: fmt::Debug + Send + Sync {
    /// Sends a bundle of letters; at most once, and nobody hears of a failure. Never blocks.
    fn send(&self, to: NodeId, bundle: Bytes);
}

/// Whether one more event of this kind is to be logged, of those that come as often as clients like: the others are
/// counted, and said in one line every ten seconds.
pub fn may_log(kind: &'static str) -> bool {
    crate::repeats::may_log(kind)
}

/// The node that a bundle of letters comes from: its name at that time.
pub fn sender(bundle: &[u8]) -> Option<NodeId> {
    letter::sender(bundle)
}

/// An object as text of letters, digits, `-` and `_`, its class left out: `gID` or `rIDID`, ids in unpadded base64.
pub fn object_name(object: Object) -> String {
    letter::object_name(object)
}

/// The object of that name, with a class yet to be set.
pub fn object_of(name: &str) -> Option<Object> {
    letter::object_of(name)
}
