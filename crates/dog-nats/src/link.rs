//! Letters between nodes, on core NATS: one subject a node, at most once.
//!
//! What was sent over a connection that was lost may still arrive, when the network finds its way again: after what was
//! sent since, by another connection. So each bundle has a number, and whoever has a later one takes no earlier one.
//!
//! What waits for a connection that takes less than is said has a bound; what is more is lost, as it would be with the
//! connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use dog_engine::address::NodeId;
use dog_native::cluster::{Inbox, Link, sender};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::names::Names;
use crate::node::Node;

/// The number of a bundle, among all that its node sends.
const NUMBER: &str = "Dog-Number";
/// So many nodes' numbers are remembered before those of nodes that have ended are forgotten.
const MANY: usize = 1024;

/// So many bytes wait to be sent, at most.
pub(crate) const MOST_WAITING: usize = 64 * 1024 * 1024;
/// What a bundle counts for besides its bytes.
const KEEPING: usize = 128;
/// So many bytes are handed to the client before they must have gone out: it has no bound of its own in bytes.
const MOST_UNFLUSHED: usize = 1024 * 1024;
/// How long that is waited for before it is asked again whether there is a connection.
const FLUSHES: Duration = Duration::from_secs(1);
/// Lost bundles are told of together, this often at most.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The port: what is handed over leaves from the thread of the node.
#[derive(Debug)]
pub(crate) struct Letters {
    bundles: UnboundedSender<(NodeId, Bytes)>,
    waiting: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    most: usize,
}

/// What waits to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bundles: UnboundedReceiver<(NodeId, Bytes)>,
    waiting: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

/// The way of letters out of this process, which holds so many bytes.
pub(crate) fn way(most: usize) -> (Letters, Outgoing) {
    let (sender, receiver) = unbounded_channel();
    let (waiting, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let outgoing = Outgoing { bundles: receiver, waiting: Arc::clone(&waiting), refused: Arc::clone(&refused) };
    (Letters { bundles: sender, waiting, refused, most }, outgoing)
}

impl Link for Letters {
    fn send(&self, to: NodeId, bundle: Bytes) {
        let weight = bundle.len() + KEEPING;
        if self.waiting.fetch_add(weight, Ordering::Relaxed) + weight > self.most {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // A node that has ended needs nothing any more.
        let _ = self.bundles.send((to, bundle));
    }
}

impl Outgoing {
    async fn next(&mut self) -> Option<(NodeId, Bytes)> {
        let (to, bundle) = self.bundles.recv().await?;
        self.waiting.fetch_sub(bundle.len() + KEEPING, Ordering::Relaxed);
        Some((to, bundle))
    }
}

/// Bundles that were not sent, until somebody is told.
#[derive(Default)]
struct Lost {
    unconnected: usize,
    outdated: usize,
    failed: Option<String>,
    failures: usize,
    told: Option<Instant>,
}

impl Lost {
    fn tell(&mut self, refused: &AtomicUsize) {
        if self.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        let Self { unconnected, outdated, failures, .. } = *self;
        let refused = refused.swap(0, Ordering::Relaxed);
        if unconnected + outdated + failures + refused == 0 {
            return;
        }
        let error = self.failed.take().unwrap_or_default();
        tracing::warn!(
            unconnected,
            outdated,
            refused,
            failures,
            error,
            "bundles of letters to other nodes were lost: there was no connection to NATS, or this node had no lease any \
             more, or more waited than may, or they could not be sent"
        );
        *self = Self { told: Some(Instant::now()), ..Self::default() };
    }
}

/// Sends what is handed over, in its order.
pub(crate) async fn send(client: &Client, node: &Node, mut outgoing: Outgoing) {
    let (mut number, mut unflushed): (u64, usize) = (0, 0);
    let mut lost = Lost::default();
    while let Some((to, bundle)) = outgoing.next().await {
        if client.connection_state() != State::Connected {
            // What cannot leave now would arrive when nobody waits for it any more.
            lost.unconnected += 1;
        } else if sender(&bundle) != Some(node.me()) || node.term.left().is_zero() {
            // And what an earlier life has said is over with it. The clock is asked too: this thread may have stood still.
            lost.outdated += 1;
        } else {
            number += 1;
            unflushed += bundle.len();
            let mut headers = HeaderMap::new();
            headers.insert(NUMBER, number.to_string());
            if let Err(error) = client.publish_with_headers(node.names.letters(to), headers, bundle).await {
                lost.failures += 1;
                lost.failed = Some(error.to_string());
            }
            if unflushed >= MOST_UNFLUSHED && tokio::time::timeout(FLUSHES, client.flush()).await.is_ok() {
                unflushed = 0;
            }
        }
        lost.tell(&outgoing.refused);
    }
}

/// Listens for letters to this node; they are taken as long as what this gives is polled.
pub(crate) async fn listen(client: &Client, names: &Names, node: NodeId) -> Result<async_nats::Subscriber, String> {
    let letters = client.subscribe(names.letters(node)).await.map_err(|error| error.to_string())?;
    // Whoever finds the lease may write at once.
    client.flush().await.map_err(|error| error.to_string())?;
    Ok(letters)
}

pub(crate) async fn take(mut letters: async_nats::Subscriber, node: &Node, inbox: &Inbox) {
    let mut latest = Latest::default();
    while let Some(message) = letters.next().await {
        let number = message.headers.as_ref().and_then(|headers| headers.get(NUMBER)?.as_str().parse().ok());
        let from = sender(&message.payload).unwrap_or_default();
        if node.nodes.has_ended(from) || number.is_some_and(|number| !latest.advances(from, number)) {
            tracing::debug!(%from, number, "letters of a time that is over were let be");
            continue;
        }
        if latest.0.len() > MANY {
            latest.0.retain(|known, _| !node.nodes.has_ended(*known));
        }
        inbox.letters(&message.payload);
    }
}

/// The last number of each node.
#[derive(Debug, Default)]
struct Latest(HashMap<NodeId, u64>);

impl Latest {
    /// Whether that one is later; then it is the last one.
    fn advances(&mut self, from: NodeId, number: u64) -> bool {
        let last = self.0.entry(from).or_default();
        let later = number > *last;
        *last = number.max(*last);
        later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_to_be_sent_has_a_bound() {
        let (letters, mut outgoing) = way(10 * (100 + KEEPING));
        let node = NodeId::from_raw(1);
        let bundle = |number: u8| Bytes::from(vec![number; 100]);
        (0..20).for_each(|number| letters.send(node, bundle(number)));
        assert_eq!(outgoing.refused.load(Ordering::Relaxed), 10);
        for number in 0..5 {
            assert_eq!(outgoing.next().await, Some((node, bundle(number))));
        }
        (20..30).for_each(|number| letters.send(node, bundle(number)));
        for number in (5..10).chain(20..25) {
            assert_eq!(outgoing.next().await, Some((node, bundle(number))), "those that found room, in their order");
        }
        assert_eq!((outgoing.refused.load(Ordering::Relaxed), outgoing.waiting.load(Ordering::Relaxed)), (15, 0));
        drop(letters);
        assert_eq!(outgoing.next().await, None);
    }

    #[test]
    fn what_comes_after_later_bundles_of_its_node_is_let_be() {
        let mut latest = Latest::default();
        let [one, other] = [1, 2].map(NodeId::from_raw);
        assert!(latest.advances(one, 1) && latest.advances(one, 4), "some may be lost");
        assert!(latest.advances(other, 2));
        assert!(!latest.advances(one, 2) && !latest.advances(one, 4));
        assert!(latest.advances(one, 5));
    }
}
