//! The nodes of the cluster, as their leases say; and the end of those leases that are not renewed.
//!
//! Every node follows all leases. One of which nothing was heard for as long as it says that it is good is ended by whoever
//! finds so first: what says that it is gone takes the place of the renewal that was heard of last, or fails because there
//! is a later one.

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
use tokio::time::MissedTickBehavior;

use crate::jetstream::{Put, Trouble, is_gone};
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
    /// For how long it is good, in seconds. None of releases whose leases ended by themselves: others only wait for that.
    #[serde(default)]
    seconds: Option<u64>,
    /// Which process has written it.
    #[serde(default)]
    pub(crate) writer: String,
}

impl Lease {
    pub(crate) fn new(address: SocketAddr, versions: Versions, time: Duration, writer: &str) -> Self {
        Self {
            address,
            version: versions.oldest,
            newest: Some(versions.newest),
            nonce: String::new(),
            seconds: Some(time.as_secs()),
            writer: writer.to_owned(),
        }
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
    /// For how long its lease is good, where others have to end it.
    time: Option<Duration>,
    /// The renewal that was heard of last, and when it was heard of first.
    sequence: u64,
    at: Instant,
}

/// What is known of a lease that may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silent {
    sequence: u64,
    ends_alone: bool,
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
    pub(crate) fn has_come(&self, node: NodeId, lease: &Lease, sequence: u64) {
        let mut known = self.write();
        let is_news = known.live.get(&node).is_none_or(|heard| heard.sequence < sequence);
        if is_news && !known.ended.contains(&node) {
            let time = lease.seconds.map(Duration::from_secs);
            let heard =
                Heard { address: lease.address, versions: lease.versions(), time, sequence, at: Instant::now() };
            known.live.insert(node, heard);
        }
    }

    /// That renewal of a node's lease is still the last, as NATS has said just now.
    fn is_still(&self, node: NodeId, sequence: u64) {
        if let Some(heard) = self.write().live.get_mut(&node).filter(|heard| heard.sequence == sequence) {
            heard.at = Instant::now();
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

    /// Those whose lease was not renewed for all of its time, with the last renewal. Those that end by themselves are
    /// found when nothing was heard of them for `long`.
    fn silent(&self, long: Duration) -> Vec<(NodeId, Silent)> {
        let known = self.read();
        let silent = known.live.iter().filter(|(_, heard)| heard.at.elapsed() > heard.time.unwrap_or(long));
        silent
            .map(|(node, heard)| (*node, Silent { sequence: heard.sequence, ends_alone: heard.time.is_none() }))
            .collect()
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

/// Follows the leases, for as long as the node lives.
pub(crate) async fn follow(node: &Node, inbox: &Inbox) {
    loop {
        if let Err(trouble) = follow_once(node, inbox).await {
            tracing::warn!("the other nodes are not heard of: {trouble}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn follow_once(node: &Node, inbox: &Inbox) -> Result<(), String> {
    let wanted = pull::OrderedConfig {
        filter_subject: node.names.leases(),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..pull::OrderedConfig::default()
    };
    let consumer = node.leases.stream().create_consumer(wanted).await.map_err(|error| error.to_string())?;
    let mut leases = consumer.messages().await.map_err(|error| error.to_string())?;
    loop {
        let message =
            leases.next().await.ok_or("the stream of leases has ended")?.map_err(|error| error.to_string())?;
        let sequence = message.info().map_err(|error| error.to_string())?.stream_sequence;
        let Some(other) = node.names.node(&message.subject) else { continue };
        let lease = serde_json::from_slice::<Lease>(&message.payload).ok();
        let lease = lease.filter(|_| !is_gone(message.headers.as_ref()));
        if other == node.me() && lease.as_ref().is_none_or(|lease| lease.writer != node.writer) {
            node.is_struck_off(other);
        } else if let Some(lease) = lease {
            if node.nodes.find(other).is_none() {
                tracing::info!(node = %other, address = %lease.address, "a node is part of the cluster");
            }
            node.nodes.has_come(other, &lease, sequence);
        } else {
            ended(node, inbox, other);
        }
    }
}

fn ended(node: &Node, inbox: &Inbox, other: NodeId) {
    if node.nodes.has_gone(other) {
        tracing::info!(node = %other, "a node has left the cluster");
        inbox.gone(other);
    }
}

/// Ends the leases that are not renewed, for as long as the node lives, whose own lease lasts for `time`.
pub(crate) async fn strike_off(node: &Node, inbox: &Inbox, time: Duration) {
    // Nodes look at different moments, so mostly one of them finds a lease over and the others hear of it.
    let mut tick = tokio::time::interval(time / 15);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for (other, silent) in node.nodes.silent(2 * time) {
            if other == node.me() {
                continue;
            }
            if let Err(trouble) = strike_off_one(node, inbox, other, silent).await {
                tracing::debug!(node = %other, "whether its lease is over is not known: {}", trouble.text());
                break;
            }
        }
    }
}

async fn strike_off_one(node: &Node, inbox: &Inbox, other: NodeId, silent: Silent) -> Result<(), Trouble> {
    let over = if silent.ends_alone {
        Err(Trouble::Outdated)
    } else {
        node.leases.put(Put::gone(node.names.lease(other)).after(silent.sequence)).await
    };
    match over {
        Ok(_) => {
            tracing::warn!(node = %other, "a node has not renewed its lease, and is given up");
            ended(node, inbox, other);
        }
        // It was renewed and this node has not heard of it; or it has ended, which is said for a minute only: whoever was
        // cut off for longer never hears of it.
        Err(Trouble::Outdated) => match look(node, other).await? {
            Some(_) => node.nodes.is_still(other, silent.sequence),
            None => ended(node, inbox, other),
        },
        Err(trouble) => return Err(trouble),
    }
    Ok(())
}

/// A node's lease as the leader of the stream has it; none if it is over.
pub(crate) async fn look(node: &Node, other: NodeId) -> Result<Option<Lease>, Trouble> {
    let Some(stored) = node.leases.last(&node.names.lease(other)).await? else { return Ok(None) };
    let lease: Option<Lease> = stored.payload.and_then(|lease| serde_json::from_slice(&lease).ok());
    if let Some(lease) = &lease {
        node.nodes.has_come(other, lease, stored.sequence);
    }
    Ok(lease)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};

    fn lease(versions: Versions) -> Lease {
        Lease::new(([127, 0, 0, 1], 1).into(), versions, Duration::from_secs(15), "this")
    }

    #[test]
    fn releases_that_speak_one_version_read_the_leases_of_later_ones_and_are_read() {
        let lease = lease(Versions { oldest: 2, newest: 3 });
        let written = serde_json::to_value(&lease).unwrap();
        assert_eq!(written["version"], 2, "what an earlier release compares with its own");
        let earlier = serde_json::json!({ "address": "127.0.0.1:1", "version": 2, "nonce": "" });
        let earlier: Lease = serde_json::from_value(earlier).unwrap();
        assert_eq!(earlier.seconds, None, "it ends by itself");
        assert_eq!(earlier.versions(), Versions { oldest: 2, newest: 2 });
    }

    #[test]
    fn what_was_read_of_a_node_before_it_ended_does_not_bring_it_back() {
        let nodes = Nodes::default();
        let (node, lease) = (NodeId::from_raw(1), lease(Versions { oldest: 1, newest: 1 }));
        nodes.has_come(node, &lease, 7);
        assert!(nodes.has_gone(node));
        nodes.has_come(node, &lease, 8);
        assert_eq!((nodes.find(node), nodes.count()), (None, 0));
        assert!(nodes.has_ended(node) && !nodes.has_ended(NodeId::from_raw(2)));
    }

    #[test]
    fn a_lease_is_over_when_no_later_renewal_was_heard_of_for_all_of_its_time() {
        let nodes = Nodes::default();
        let (node, long) = (NodeId::from_raw(1), Duration::from_secs(60));
        let versions = Versions { oldest: 1, newest: 1 };
        nodes.has_come(node, &Lease::new(([127, 0, 0, 1], 1).into(), versions, Duration::ZERO, ""), 7);
        assert_eq!(nodes.silent(long), [(node, Silent { sequence: 7, ends_alone: false })]);
        let first = nodes.read().live[&node].at;
        // What is heard of again, or late, is no renewal.
        for sequence in [7, 6] {
            nodes.has_come(node, &lease(versions), sequence);
            assert_eq!((nodes.read().live[&node].at, nodes.silent(long).len()), (first, 1));
        }
        nodes.has_come(node, &lease(versions), 8);
        assert_eq!(nodes.silent(Duration::ZERO), [], "it is good for another time");
        let other = NodeId::from_raw(2);
        nodes.has_come(other, &Lease { seconds: None, ..lease(versions) }, 9);
        assert_eq!(nodes.silent(long), [], "it ends by itself, and is looked after in time");
        assert_eq!(nodes.silent(Duration::ZERO), [(other, Silent { sequence: 9, ends_alone: true })]);
    }

    #[test]
    fn every_object_has_one_caretaker_and_keeps_it_when_another_node_ends() {
        let nodes = Nodes::default();
        let lease = lease(Versions { oldest: 1, newest: 1 });
        (1..=3).for_each(|node| nodes.has_come(NodeId::from_raw(node), &lease, 1));
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
