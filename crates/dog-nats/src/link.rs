//! Letters between nodes, on core NATS: one subject a node, at most once.

use async_nats::Client;
use async_nats::connection::State;
use bytes::Bytes;
use dog_engine::address::NodeId;
use dog_native::cluster::{Inbox, Link};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::names::Names;

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
pub(crate) async fn send(client: &Client, names: &Names, mut bundles: UnboundedReceiver<(NodeId, Bytes)>) {
    while let Some((to, bundle)) = bundles.recv().await {
        // What cannot leave now would arrive when nobody waits for it any more.
        if client.connection_state() != State::Connected {
            tracing::debug!(%to, "letters were lost: there is no connection to NATS");
            continue;
        }
        if let Err(error) = client.publish(names.letters(to), bundle).await {
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

pub(crate) async fn take(mut letters: async_nats::Subscriber, inbox: &Inbox) {
    while let Some(message) = letters.next().await {
        inbox.letters(&message.payload);
    }
}
