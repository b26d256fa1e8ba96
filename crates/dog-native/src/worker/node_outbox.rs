//! [`NodeOutbox`]: messages of this worker to other nodes. They are sent at the end of the turn at the latest, in one
//! bundle per node.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dog::ReplicaId;
use dog_engine::address::{GroupAddress, NodeId, ReplicaAddress};
use dog_engine::message::{ReplicaCall, ReplicaCast};

use crate::cluster::message::{GroupName, NodeMessage, ReplyTo, bundle};
use crate::cluster::node::Node;
use crate::repeats::seldom;

/// A bundle above this many bytes is split in two.
const LARGE: usize = 256 * 1024;
/// The most casts that share a list of addresses. A bundle can only be split between lists.
const MAX_CASTS: usize = 64;
/// The longest message, in bytes, of casts that share a list of addresses.
const LONGEST_CAST: usize = 4 * 1024;
/// The most Replicas that share a call.
const MAX_CALLED: usize = 2048;

fn may_share(cast: &ReplicaCast) -> bool {
    match cast {
        ReplicaCast::Deliver(delivery) => delivery.message.len() <= LONGEST_CAST,
        ReplicaCast::DeliverTopic(delivery) => delivery.message.len() <= LONGEST_CAST,
        ReplicaCast::Publication(delivery) => delivery.publication.size() <= LONGEST_CAST,
        ReplicaCast::Presence(_, list) => list.size() <= LONGEST_CAST,
        ReplicaCast::LogHead(_) | ReplicaCast::PresenceHead(..) | ReplicaCast::Acknowledge { .. } => true,
    }
}

pub(super) struct NodeOutbox {
    node: Arc<Node>,
    /// The messages of this turn.
    messages: RefCell<BTreeMap<NodeId, Vec<NodeMessage>>>,
    /// The protocol version that is used for each node.
    versions: RefCell<HashMap<NodeId, u8>>,
}

impl NodeOutbox {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node, messages: RefCell::default(), versions: RefCell::default() }
    }

    pub(super) fn name(&self, group: GroupAddress) -> GroupName {
        GroupName::new(group, self.node.classes())
    }

    pub(super) fn push(&self, to: NodeId, message: NodeMessage) {
        self.messages.borrow_mut().entry(to).or_default().push(message);
    }

    /// Queues a cast to Replicas on that node. If the last message is a cast to the same Replicas, the two share the
    /// list.
    pub(super) fn cast(&self, node: NodeId, group: GroupAddress, replicas: &[ReplicaId], cast: &ReplicaCast) {
        let mut messages = self.messages.borrow_mut();
        let messages = messages.entry(node).or_default();
        if let Some(NodeMessage::Casts { to, replicas: known, casts }) = messages.last_mut()
            && casts.len() < MAX_CASTS
            && may_share(cast)
            && casts.first().is_some_and(may_share)
            && replicas.iter().map(ReplicaId::as_bytes).eq(known.iter())
            && to.names(group, self.node.classes())
        {
            return casts.push(cast.clone());
        }
        let replicas = replicas.iter().map(|replica| *replica.as_bytes()).collect();
        messages.push(NodeMessage::Casts { to: self.name(group), replicas, casts: vec![cast.clone()] });
    }

    /// Queues a call to a Replica on that node. If the last message is the same call, the two share it. So a call to
    /// all siblings, such as the view of a large room, is sent once per node.
    pub(super) fn call(&self, node: NodeId, replica: ReplicaAddress, call: ReplicaCall, back: ReplyTo) {
        let mut messages = self.messages.borrow_mut();
        let messages = messages.entry(node).or_default();
        let (group, replica) = (replica.group, *replica.replica.as_bytes());
        if let Some(NodeMessage::Calls { to, asked, call: before }) = messages.last_mut()
            && asked.len() < MAX_CALLED
            && *before == call
            && to.names(group, self.node.classes())
        {
            return asked.push((replica, back));
        }
        messages.push(NodeMessage::Calls { to: self.name(group), asked: vec![(replica, back)], call });
    }

    /// Sends everything.
    pub(super) fn post(&self) {
        let messages = std::mem::take(&mut *self.messages.borrow_mut());
        for (node, messages) in messages {
            self.post_bundle(node, &messages, self.version_of(node));
        }
    }

    /// Returns the newest version that both nodes speak. An unknown node gets the oldest.
    fn version_of(&self, node: NodeId) -> u8 {
        let ours = self.node.versions();
        if let Some(version) = self.versions.borrow().get(&node) {
            return *version;
        }
        let theirs = self.node.ports.directory.versions(node);
        let version = theirs.and_then(|theirs| ours.in_common(theirs));
        self.versions.borrow_mut().extend(version.map(|version| (node, version)));
        version.unwrap_or(ours.oldest)
    }

    fn post_bundle(&self, to: NodeId, messages: &[NodeMessage], version: u8) {
        match bundle(self.node.id(), messages, version) {
            Ok(bundle) if bundle.len() > LARGE && messages.len() > 1 => {
                let (first, second) = messages.split_at(messages.len() / 2);
                self.post_bundle(to, first, version);
                self.post_bundle(to, second, version);
            }
            Ok(bundle) => self.node.ports.link.send(to, bundle),
            Err(error) => {
                let kind = "a node message cannot be encoded";
                seldom!(error, kind, "messages for node {to} cannot be encoded: {error}");
            }
        }
    }

    /// Forgets a node that has ended.
    pub(super) fn node_gone(&self, node: NodeId) {
        self.messages.borrow_mut().remove(&node);
        self.versions.borrow_mut().remove(&node);
    }

    /// Drops all messages.
    pub(super) fn clear(&self) {
        self.messages.borrow_mut().clear();
    }
}
