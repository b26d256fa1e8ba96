//! [`NatsLink`]: sends bundles of node messages to other nodes, each at most once.
//!
//! If a connection fails, a bundle that was sent over it may still arrive when the network recovers. Then it arrives
//! after bundles that were sent later over another connection. So each bundle has a number. A receiver drops a bundle
//! if it has already received a later one from the same node.
//!
//! The bundles that wait for a slow connection are limited to 64 MiB. Bundles beyond that are lost, as they are when
//! the connection fails.

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

/// The number of bytes that may wait to be sent.
pub(crate) const MAX_WAITING: usize = 64 * 1024 * 1024;
/// The number of bytes that each bundle counts in addition to its own.
const BUNDLE_OVERHEAD: usize = 128;
/// The number of bytes that are given to the NATS client before a flush. The client itself limits only the number of
/// messages.
const MAX_UNFLUSHED: usize = 1024 * 1024;
/// How long to wait for a flush before the connection is checked again.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two log lines about lost bundles.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// The number of nodes whose last bundle numbers are kept. With more, the numbers of ended nodes are removed.
const MAX_NUMBERS: usize = 1024;

/// The link port. It accepts bundles on any thread, and the node's thread sends them.
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

/// Returns a link, and the receiver of the bundles that it accepts.
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
        // This fails only after the node has ended.
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
    /// Bundles for which there was no connection.
    unconnected: usize,
    /// Bundles from before this node lost its lease.
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

/// Sends the bundles in order. Returns when the link is dropped.
pub(crate) async fn send<B: Bus>(bus: &B, names: &Names, identity: &Identity, mut outgoing: Outgoing) {
    let (mut number, mut unflushed): (u64, usize) = (0, 0);
    let mut lost = LostBundles::default();
    while let Some((to, bundle)) = outgoing.next().await {
        if !bus.is_connected() {
            // If it were sent when the connection is back, it would arrive too late to be useful.
            lost.unconnected += 1;
        } else if sender(&bundle) != Some(identity.node()) || !identity.may_act() {
            // The bundle comes from before the lease was lost. The deadline is checked too, because this thread may
            // have been suspended.
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

/// Passes on the bundles that arrive. Returns when the subscription ends.
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
    /// Returns whether this bundle is later than all before it. If so, its number becomes the last one.
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
