//! The nodes of the cluster, as their leases say.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use dog_engine::address::{NodeId, Object};
use dog_native::cluster::{Inbox, Versions};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::jetstream::is_gone;
use crate::node::Node;

/// What a node's lease says of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// Where it listens for others.
    pub(crate) address: SocketAddr,
    /// The oldest version of the letters that it speaks: the only one that releases know of which spoke no other.
    pub(crate) version: u8,
    /// The newest; none of a release that spoke one.
    #[serde(default)]
    pub(crate) newest: Option<u8>,
    /// Tells one renewal from another.
    pub(crate) nonce: String,
}

impl Lease {
    pub(crate) fn new(address: SocketAddr, versions: Versions) -> Self {
        Self { address, version: versions.oldest, newest: Some(versions.newest), nonce: String::new() }
    }

    pub(crate) fn versions(&self) -> Versions {
        Versions { oldest: self.version, newest: self.newest.unwrap_or(self.version) }
    }
}

/// So many nodes that have ended are remembered: what was read of one before it ended may come to be known after.
const MOST_ENDED: usize = 4096;

/// Those that live, as far as this node has heard.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    live: BTreeMap<NodeId, Heard>,
    /// No node comes back by a name that it had.
    ended: VecDeque<NodeId>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    address: SocketAddr,
    versions: Versions,
    /// When its lease was heard of last: it is renewed all the time.
    at: Instant,
}

impl Nodes {
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, node: NodeId) -> Option<(SocketAddr, Versions)> {
        self.read().live.get(&node).map(|heard| (heard.address, heard.versions))
    }

    pub(crate) fn count(&self) -> usize {
        self.read().live.len()
    }

    /// A lease of that node is there, or was when it was read: of one that has ended by now, that says nothing.
    pub(crate) fn has_come(&self, node: NodeId, lease: &Lease) {
        let mut known = self.write();
        if !known.ended.contains(&node) {
            let heard = Heard { address: lease.address, versions: lease.versions(), at: Instant::now() };
            known.live.insert(node, heard);
        }
    }

    /// Whether it was there.
    pub(crate) fn has_gone(&self, node: NodeId) -> bool {
        let mut known = self.write();
        if !known.ended.contains(&node) {
            known.ended.push_back(node);
        }
        if known.ended.len() > MOST_ENDED {
            known.ended.pop_front();
        }
        known.live.remove(&node).is_some()
    }

    /// Whether it was there, and is no more.
    pub(crate) fn has_ended(&self, node: NodeId) -> bool {
        let known = self.read();
        !known.live.contains_key(&node) && known.ended.contains(&node)
    }

    /// Those of which nothing has been heard for that long.
    fn silent(&self, time: Duration) -> Vec<NodeId> {
        let known = self.read();
        known.live.iter().filter(|(_, heard)| heard.at.elapsed() > time).map(|(node, _)| *node).collect()
    }

    /// The one node that looks after an object that nobody has: by the highest of the numbers that each makes with it.
    pub(crate) fn caretaker(&self, object: Object) -> NodeId {
        let known = self.read();
        let number = |node: &NodeId| {
            // The same on all nodes: the keys of this one are constant.
            let mut hasher = DefaultHasher::new();
            (node.as_u64(), object.id()).hash(&mut hasher);
            hasher.finish()
        };
        known.live.keys().copied().max_by_key(number).unwrap_or_default()
    }
}

/// Follows the leases, which last for `time`, for as long as the node lives.
pub(crate) async fn follow(node: &Node, inbox: &Inbox, time: Duration) {
    loop {
        if let Err(trouble) = follow_once(node, inbox, time).await {
            tracing::warn!("the other nodes are not heard of: {trouble}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn follow_once(node: &Node, inbox: &Inbox, time: Duration) -> Result<(), String> {
    let wanted = pull::OrderedConfig {
        filter_subject: node.names.leases(),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..pull::OrderedConfig::default()
    };
    let consumer = node.leases.stream().create_consumer(wanted).await.map_err(|error| error.to_string())?;
    let mut leases = consumer.messages().await.map_err(|error| error.to_string())?;
    let mut silence = tokio::time::interval(time);
    loop {
        let message = tokio::select! {
            message = leases.next() => message,
            _ = silence.tick() => {
                look_after_silent(node, inbox, time).await;
                continue;
            }
        };
        let message = message.ok_or("the stream of leases has ended")?.map_err(|error| error.to_string())?;
        let Some(other) = node.names.node(&message.subject) else { continue };
        if is_gone(message.headers.as_ref()) {
            ended(node, inbox, other);
        } else if let Ok(lease) = serde_json::from_slice::<Lease>(&message.payload) {
            if node.nodes.find(other).is_none() {
                tracing::info!(node = %other, address = %lease.address, "a node is part of the cluster");
            }
            node.nodes.has_come(other, &lease);
        }
    }
}

fn ended(node: &Node, inbox: &Inbox, other: NodeId) {
    if node.nodes.has_gone(other) {
        tracing::info!(node = %other, "a node has left the cluster");
        inbox.gone(other);
    }
}

/// What says that a lease has ended is kept for a minute: whoever was cut off for longer never hears of it.
async fn look_after_silent(node: &Node, inbox: &Inbox, time: Duration) {
    for other in node.nodes.silent(2 * time) {
        let Ok(stored) = node.leases.last(&node.names.lease(other)).await else { return };
        let lease = stored.and_then(|stored| stored.payload);
        match lease.and_then(|lease| serde_json::from_slice::<Lease>(&lease).ok()) {
            Some(lease) => node.nodes.has_come(other, &lease),
            None => ended(node, inbox, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};

    #[test]
    fn releases_that_speak_one_version_read_the_leases_of_later_ones_and_are_read() {
        let lease = Lease::new(([127, 0, 0, 1], 1).into(), Versions { oldest: 2, newest: 3 });
        let written = serde_json::to_value(&lease).unwrap();
        assert_eq!(written["version"], 2, "what an earlier release compares with its own");
        let earlier = serde_json::json!({ "address": "127.0.0.1:1", "version": 2, "nonce": "" });
        let earlier: Lease = serde_json::from_value(earlier).unwrap();
        assert_eq!(earlier.versions(), Versions { oldest: 2, newest: 2 });
    }

    #[test]
    fn what_was_read_of_a_node_before_it_ended_does_not_bring_it_back() {
        let nodes = Nodes::default();
        let (node, lease) =
            (NodeId::from_raw(1), Lease::new(([127, 0, 0, 1], 1).into(), Versions { oldest: 1, newest: 1 }));
        nodes.has_come(node, &lease);
        assert!(nodes.silent(Duration::ZERO) == [node] && nodes.silent(Duration::from_secs(60)).is_empty());
        assert!(nodes.has_gone(node));
        nodes.has_come(node, &lease);
        assert_eq!((nodes.find(node), nodes.count()), (None, 0));
        assert!(nodes.has_ended(node) && !nodes.has_ended(NodeId::from_raw(2)));
    }

    #[test]
    fn every_object_has_one_caretaker_and_keeps_it_when_another_node_ends() {
        let nodes = Nodes::default();
        let lease = Lease::new(([127, 0, 0, 1], 1).into(), Versions { oldest: 1, newest: 1 });
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
