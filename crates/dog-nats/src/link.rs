//! Letters between nodes, on core NATS: one subject a node, at most once.
//!
//! What was sent over a connection that was lost may still arrive, when the network finds its way again: after what was
//! sent since, by another connection. So each bundle has a number, and whoever has a later one takes no earlier one.

use std::collections::HashMap;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use dog_engine::address::NodeId;
use dog_native::cluster::{Inbox, Link, sender};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::names::Names;
use crate::node::Node;

/// The number of a bundle, among all that its node sends.
const NUMBER: &str = "Dog-Number";
/// So many nodes' numbers are remembered before those of nodes that have ended are forgotten.
const MANY: usize = 1024;

/// The port: what is handed over leaves from the thread of the node.
#[derive(Debug)]
pub(crate) struct Letters(pub(crate) UnboundedSender<(NodeId, Bytes)>);

impl Link for Letters {
    fn send(&self, to: NodeId, bundle: Bytes) {
        // A node that has ended needs nothing any more.
        let _ = self.0.send((to, bundle));
    }
}

/// Sends what is handed over, in its order.
pub(crate) async fn send(client: &Client, node: &Node, mut bundles: UnboundedReceiver<(NodeId, Bytes)>) {
    let mut number: u64 = 0;
    while let Some((to, bundle)) = bundles.recv().await {
        // What cannot leave now would arrive when nobody waits for it any more.
        if client.connection_state() != State::Connected {
            tracing::debug!(%to, "letters were lost: there is no connection to NATS");
            continue;
        }
        // And what an earlier life has said is over with it. The clock is asked too: this thread may have stood still.
        if sender(&bundle) != Some(node.me()) || node.term.left().is_zero() {
            tracing::debug!(%to, "letters were lost: this node has no lease, or another by now");
            continue;
        }
        number += 1;
        let mut headers = HeaderMap::new();
        headers.insert(NUMBER, number.to_string());
        if let Err(error) = client.publish_with_headers(node.names.letters(to), headers, bundle).await {
            tracing::warn!(%to, "letters were lost: {error}");
        }
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
