//! [`ServerWatch`]: moves the node to another NATS server when its own one does not answer. Either packets to that
//! server are lost, or the server has lost its quorum.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;

use crate::connect::connect_to;
use crate::identity::Identity;
use crate::names::Names;
use crate::settings::Settings;
use crate::stream::{JetStream, MessageStream};

/// The pause before the other servers are checked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Watches the NATS server of this node.
pub(crate) struct ServerWatch {
    client: Client,
    settings: Settings,
    names: Names,
    identity: Arc<Identity>,
}

impl ServerWatch {
    pub(crate) fn new(client: Client, settings: Settings, names: Names, identity: Arc<Identity>) -> Self {
        Self { client, settings, names, identity }
    }

    /// Checks the other servers when a renewal of the lease is late, and moves the node to one that answers. During an
    /// election none answers, and the node stays, because a move loses node messages. Never returns.
    pub(crate) async fn run(&self) {
        let lease = self.settings.lease;
        // A lease is normally renewed when seven fifteenths of it are left.
        let late = lease * 2 / 5;
        loop {
            let left = self.identity.time_left();
            if left > late {
                tokio::time::sleep(left - late).await;
                continue;
            }
            if self.client.connection_state() == State::Connected && self.another_server_answers().await {
                tracing::warn!("this NATS server does not answer, and another does: this node reconnects");
                if let Err(error) = self.client.force_reconnect().await {
                    tracing::error!("the node cannot reconnect to another NATS server: {error}");
                }
            }
            tokio::time::sleep(ASK_AGAIN_AFTER.min(lease / 10)).await;
        }
    }

    async fn another_server_answers(&self) -> bool {
        let Ok(servers) = self.client.server_pool().await else { return false };
        for server in servers {
            let Ok(client) = connect_to(&self.settings, &server.addr).await else { continue };
            let is_another = client.server_info().server_id != self.client.server_info().server_id;
            if is_another && self.reaches_the_leader(client).await {
                return true;
            }
        }
        false
    }

    /// Returns whether that server reaches the leader of the lease stream.
    async fn reaches_the_leader(&self, client: Client) -> bool {
        let Ok(leases) = JetStream::open(client, self.names.nodes()).await else { return false };
        leases.last(&self.names.secret()).await.is_ok()
    }
}
