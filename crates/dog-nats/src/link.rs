//! [`NatsLink`]: bundles of node messages to other nodes, each at most once.
//!
//! A bundle that was sent over a connection which then failed may still arrive when the network recovers: after bundles that
//! were sent later over another connection. So each bundle has a number, and a receiver drops a bundle if it has a later one of
//! the same node.
//!
//! The bundles that wait for a slow connection have a bound in bytes. What exceeds it is lost, as it would be if the connection
//! failed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dog_engine::address::NodeId;
use dog_native::cluster::{Link, sender};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::bus::{Arrived, Bus};
use crate::events::Events;
use crate::identity::Identity;
use crate::members::Members;
use crate::names::Names;

/// The bytes that may wait to be sent.
pub(crate) const MAX_WAITING: usize = 64 * 1024 * 1024;
/// What a bundle counts for besides its bytes.
const BUNDLE_OVERHEAD: usize = 128;
/// The bytes that are handed to the NATS client before they must have been flushed. The client itself bounds only the number
/// of messages.
const MAX_UNFLUSHED: usize = 1024 * 1024;
/// How long a flush is waited for before the connection is checked again.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two log lines about lost bundles.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// The number of nodes whose last numbers are kept before those of ended nodes are removed.
const MAX_NUMBERS: usize = 1024;

/// The link port: accepts bundles on any thread. The thread of the node sends them.
#[derive(Debug)]
pub(crate) struct NatsLink {
    bundles: UnboundedSender<(NodeId, Bytes)>,
    waiting: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    max_waiting: usize,
}

/// The bundles that wait to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bundles: UnboundedReceiver<(NodeId, Bytes)>,
    waiting: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

/// A link, and what it has to send.
pub(crate) fn channel(max_waiting: usize) -> (NatsLink, Outgoing) {
    let (sender, receiver) = unbounded_channel();
    let (waiting, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let outgoing = Outgoing { bundles: receiver, waiting: Arc::clone(&waiting), refused: Arc::clone(&refused) };
    (NatsLink { bundles: sender, waiting, refused, max_waiting }, outgoing)
}

impl Link for NatsLink {
    fn send(&self, to: NodeId, bundle: Bytes) {
        let weight = bundle.len() + BUNDLE_OVERHEAD;
        if self.waiting.fetch_add(weight, Ordering::Relaxed) + weight > self.max_waiting {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // The receiver is gone only after the node has ended.
        let _ = self.bundles.send((to, bundle));
    }
}

impl Outgoing {
    async fn next(&mut self) -> Option<(NodeId, Bytes)> {
        let (to, bundle) = self.bundles.recv().await?;
        self.waiting.fetch_sub(bundle.len() + BUNDLE_OVERHEAD, Ordering::Relaxed);
        Some((to, bundle))
    }
}

/// Counts bundles that were not sent, until they are logged.
#[derive(Default)]
struct LostBundles {
    /// There was no connection.
    unconnected: usize,
    /// The life of the node that said it was over.
    outdated: usize,
    failures: usize,
    last_error: Option<String>,
    logged: Option<Instant>,
}

impl LostBundles {
    fn log(&mut self, refused: &AtomicUsize) {
        if self.logged.is_some_and(|logged| logged.elapsed() < LOG_INTERVAL) {
            return;
        }
        let Self { unconnected, outdated, failures, .. } = *self;
        let refused = refused.swap(0, Ordering::Relaxed);
        if unconnected + outdated + failures + refused == 0 {
            return;
        }
        let error = self.last_error.take().unwrap_or_default();
        tracing::warn!(
            unconnected,
            outdated,
            refused,
            failures,
            error,
            "bundles of node messages were lost: there was no connection to NATS (unconnected), this node had lost its \
             lease (outdated), too much waited (refused), or sending failed (failures)"
        );
        *self = Self { logged: Some(Instant::now()), ..Self::default() };
    }
}

/// Sends the bundles in their order. Ends when the link is dropped.
pub(crate) async fn send<B: Bus>(bus: &B, names: &Names, identity: &Identity, mut outgoing: Outgoing) {
    let (mut number, mut unflushed): (u64, usize) = (0, 0);
    let mut lost = LostBundles::default();
    while let Some((to, bundle)) = outgoing.next().await {
        if !bus.is_connected() {
            // What leaves after the connection is back would arrive when nobody waits for it any more.
            lost.unconnected += 1;
        } else if sender(&bundle) != Some(identity.node()) || !identity.may_act() {
            // An earlier life said it. The deadline counts too: this thread may have been suspended.
            lost.outdated += 1;
        } else {
            number += 1;
            unflushed += bundle.len();
            if let Err(error) = bus.publish(names.messages(to), number, bundle).await {
                lost.failures += 1;
                lost.last_error = Some(error);
            }
            if unflushed >= MAX_UNFLUSHED && tokio::time::timeout(FLUSH_TIMEOUT, bus.flush()).await.is_ok() {
                unflushed = 0;
            }
        }
        lost.log(&outgoing.refused);
    }
}

/// Hands over the bundles that arrive. Ends with the subscription.
pub(crate) async fn receive<B: Bus>(mut subscription: B::Subscription, members: &Members, events: &dyn Events) {
    let mut latest = LatestNumbers::default();
    while let Some(Arrived { number, bundle }) = subscription.next().await {
        let from = sender(&bundle).unwrap_or_default();
        if members.has_ended(from) || number.is_some_and(|number| !latest.advance(from, number)) {
            tracing::debug!(%from, number, "an outdated bundle of node messages was dropped");
            continue;
        }
        if latest.0.len() > MAX_NUMBERS {
            latest.0.retain(|known, _| !members.has_ended(*known));
        }
        events.messages(&bundle);
    }
}

/// The number of the last bundle of each node.
#[derive(Debug, Default)]
struct LatestNumbers(HashMap<NodeId, u64>);

impl LatestNumbers {
    /// Whether this bundle is later than all before; then it is the last one.
    fn advance(&mut self, from: NodeId, number: u64) -> bool {
        let last = self.0.entry(from).or_default();
        let is_later = number > *last;
        *last = number.max(*last);
        is_later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bundles_that_wait_to_be_sent_have_a_bound() {
        let (link, mut outgoing) = channel(10 * (100 + BUNDLE_OVERHEAD));
        let node = NodeId::from_raw(1);
        let bundle = |number: u8| Bytes::from(vec![number; 100]);
        (0..20).for_each(|number| link.send(node, bundle(number)));
        assert_eq!(outgoing.refused.load(Ordering::Relaxed), 10);
        for number in 0..5 {
            assert_eq!(outgoing.next().await, Some((node, bundle(number))));
        }
        (20..30).for_each(|number| link.send(node, bundle(number)));
        for number in (5..10).chain(20..25) {
            assert_eq!(outgoing.next().await, Some((node, bundle(number))), "those that were accepted, in their order");
        }
        assert_eq!((outgoing.refused.load(Ordering::Relaxed), outgoing.waiting.load(Ordering::Relaxed)), (15, 0));
        drop(link);
        assert_eq!(outgoing.next().await, None);
    }

    #[test]
    fn a_bundle_that_arrives_after_later_ones_of_its_node_is_dropped() {
        let mut latest = LatestNumbers::default();
        let [one, other] = [1, 2].map(NodeId::from_raw);
        assert!(latest.advance(one, 1) && latest.advance(one, 4), "some may be lost");
        assert!(latest.advance(other, 2));
        assert!(!latest.advance(one, 2) && !latest.advance(one, 4));
        assert!(latest.advance(one, 5));
    }
}
