//! The nodes of the cluster, as their leases say.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use dog_engine::address::{NodeId, Object};
use dog_native::cluster::Inbox;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::jetstream::{Messages, is_gone};
use crate::names::Names;

/// What a node's lease says of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// Where it listens for others.
    pub(crate) address: SocketAddr,
    /// The version of the letters that it speaks.
    pub(crate) version: u8,
    /// Tells one renewal from another.
    pub(crate) nonce: String,
}

/// Those that live, as far as this node has heard.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    live: RwLock<BTreeMap<NodeId, (SocketAddr, u8)>>,
}

impl Nodes {
    pub(crate) fn find(&self, node: NodeId) -> Option<(SocketAddr, u8)> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }

    pub(crate) fn count(&self) -> usize {
        self.live.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn has_come(&self, node: NodeId, lease: &Lease) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.insert(node, (lease.address, lease.version));
    }

    /// Whether it was there.
    pub(crate) fn has_gone(&self, node: NodeId) -> bool {
        self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&node).is_some()
    }

    /// The one node that looks after an object that nobody has: by the highest of the numbers that each makes with it.
    pub(crate) fn caretaker(&self, object: Object) -> NodeId {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let number = |node: &NodeId| {
            // The same on all nodes: the keys of this one are constant.
            let mut hasher = DefaultHasher::new();
            (node.as_u64(), object.id()).hash(&mut hasher);
            hasher.finish()
        };
        live.keys().copied().max_by_key(number).unwrap_or_default()
    }
}

/// Follows the leases for as long as the node lives.
pub(crate) async fn follow(nodes: &Nodes, messages: &Messages, names: &Names, inbox: &Inbox) {
    loop {
        if let Err(trouble) = follow_once(nodes, messages, names, inbox).await {
            tracing::warn!("the other nodes are not heard of: {trouble}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn follow_once(nodes: &Nodes, messages: &Messages, names: &Names, inbox: &Inbox) -> Result<(), String> {
    let wanted = pull::OrderedConfig {
        filter_subject: names.leases(),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..pull::OrderedConfig::default()
    };
    let consumer = messages.stream().create_consumer(wanted).await.map_err(|error| error.to_string())?;
    let mut leases = consumer.messages().await.map_err(|error| error.to_string())?;
    while let Some(message) = leases.next().await {
        let message = message.map_err(|error| error.to_string())?;
        let Some(node) = names.node(&message.subject) else { continue };
        if is_gone(message.headers.as_ref()) {
            if nodes.has_gone(node) {
                tracing::info!(%node, "a node has left the cluster");
                inbox.gone(node);
            }
        } else if let Ok(lease) = serde_json::from_slice::<Lease>(&message.payload) {
            if nodes.find(node).is_none() {
                tracing::info!(%node, address = %lease.address, "a node is part of the cluster");
            }
            nodes.has_come(node, &lease);
        }
    }
    Err("the stream of leases has ended".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};

    #[test]
    fn every_object_has_one_caretaker_and_keeps_it_when_another_node_ends() {
        let nodes = Nodes::default();
        let lease = Lease { address: ([127, 0, 0, 1], 1).into(), version: 1, nonce: String::new() };
        (1..=3).for_each(|node| nodes.has_come(NodeId::from_raw(node), &lease));
        let object = |number: u32| {
            let group = GroupId::from_name("lobby", &number.to_string());
            Object::Group(GroupAddress { class: ClassIndex(0), group })
        };
        let before: Vec<NodeId> = (0..300).map(|number| nodes.caretaker(object(number))).collect();
        assert!(nodes.has_gone(NodeId::from_raw(2)) && !nodes.has_gone(NodeId::from_raw(2)));
        for (number, before) in (0..300).zip(before) {
            let now = nodes.caretaker(object(number));
            assert!(now == before || before == NodeId::from_raw(2));
        }
    }
}
