//! The ports and the node protocol of a cluster of servers. Crates that connect nodes implement the ports: `dog-nats`
//! does so over NATS. A program needs none of this. It passes a [`Cluster`] to
//! [`Server::cluster`](crate::Server::cluster).
//!
//! The ports:
//! - [`Directory`]: which node each object lives on, and the lease of this node
//! - [`Link`]: messages to other nodes
//! - [`Storage`]: what objects store
//! - [`Inbox`]: messages and news from the cluster for this node
//!
//! A server without a cluster uses none of them. All its objects live in its process.
//!
//! # What a cluster must guarantee
//! 1. Two nodes never have one object at the same time. A claim that [`Directory::find`] returns has a higher number
//!    than all earlier claims. It is given only when the lease of the node with the last claim is over.
//! 2. [`Directory::lease_left`] is zero before that moment, whatever the clocks of other machines say. A worker that
//!    sees zero ends all its objects before it does anything else.
//! 3. A write with a claim earlier than the object's last one fails and changes nothing.
//! 4. Bundles from one thread to one node arrive in the order in which they were sent, or not at all.
//! 5. A node that has ended has no [`Directory::address`] any more when [`Inbox::node_gone`] reports its end, and never has one
//!    again. So what a worker remembers of a node with an address will be forgotten in time.
//!
//! The node protocol, which is the same in every cluster:
//! - `node`: this server as a node; `claim`: claims, and how they number lives; `names`: objects as text
//! - `message`: node messages and their encoding; `receive`: how they reach the workers
//! - `peer_auth`: TCP connections between nodes; `headers`: the headers of requests between nodes; `forward`: requests
//!   to other nodes; `serve`: requests from other nodes; `peer_watch`: whether another node still answers

pub(crate) mod claim;
pub(crate) mod forward;
mod headers;
pub(crate) mod inbox;
pub(crate) mod message;
mod names;
pub(crate) mod node;
mod peer_auth;
pub(crate) mod peer_watch;
pub(crate) mod ports;
pub(crate) mod receive;
pub(crate) mod serve;

use dog_engine::address::Object;

pub use crate::metrics::counters::Times;
pub use crate::storage::port::{Done, Pending, Read, SetAlarm, Storage, StorageFigures};
pub use claim::claim_of;
pub use dog_engine::address::NodeId;
pub use inbox::Inbox;
pub use ports::{Cluster, Directory, Joining, Link, Owner, Ports, Standing, Versions};

/// Returns whether one more event of this kind may be logged. Use it for events that clients can cause at will. Further
/// events are counted, and reported in one line every ten seconds.
pub fn may_log(kind: &'static str) -> bool {
    crate::repeats::may_log(kind)
}

/// Returns the node that sent a bundle of node messages, or `None` if the bundle is too short.
pub fn sender(bundle: &[u8]) -> Option<NodeId> {
    message::sender(bundle)
}

/// Returns the name of an object without its class: `gID` or `rIDID`, with ids in unpadded base64. It contains letters,
/// digits, `-` and `_`.
pub fn object_name(object: Object) -> String {
    names::object_name(object)
}

/// Returns the object with this name. Its class is not set.
pub fn object_of(name: &str) -> Option<Object> {
    names::object_of(name)
}
