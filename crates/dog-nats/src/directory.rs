//! [`NatsDirectory`]: the port through which a server finds objects and nodes, and checks its own lease.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use dog::Error;
use dog_engine::address::{NodeId, Object};
use dog_native::cluster::{Directory, Owner, Pending, Standing, Versions};
use tokio::runtime::Handle;

use crate::identity::Identity;
use crate::leave::LeaveSignal;
use crate::members::Members;
use crate::ownership::Ownership;

/// The directory port.
pub(crate) struct NatsDirectory {
    client: Client,
    ownership: Arc<Ownership>,
    members: Arc<Members>,
    identity: Arc<Identity>,
    leave: Arc<LeaveSignal>,
    runtime: Handle,
}

impl NatsDirectory {
    pub(crate) fn new(
        client: Client,
        ownership: Arc<Ownership>,
        members: Arc<Members>,
        identity: Arc<Identity>,
        leave: Arc<LeaveSignal>,
        runtime: Handle,
    ) -> Self {
        Self { client, ownership, members, identity, leave, runtime }
    }
}

impl fmt::Debug for NatsDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NatsDirectory").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Directory for NatsDirectory {
    fn find(&self, object: Object, claim: bool) -> Pending<Result<Owner, Error>> {
        let ownership = Arc::clone(&self.ownership);
        Box::pin(async move { ownership.find(object, claim).await })
    }

    fn release(&self, object: Object, claim: u64) {
        let Some(last) = self.ownership.release(object, claim) else { return };
        let ownership = Arc::clone(&self.ownership);
        self.runtime.spawn(async move { ownership.delete_claim(object, last).await });
    }

    fn address(&self, node: NodeId) -> Option<SocketAddr> {
        self.members.address(node)
    }

    fn versions(&self, node: NodeId) -> Option<Versions> {
        self.members.versions(node)
    }

    fn lease_left(&self) -> Duration {
        self.identity.time_left()
    }

    fn standing(&self) -> Standing {
        let connected = self.client.connection_state() == State::Connected;
        Standing { connected, nodes: self.members.count() }
    }

    fn caretaker(&self, object: Object) -> NodeId {
        self.members.caretaker(object)
    }

    fn leave(&self) -> Pending<()> {
        let leave = Arc::clone(&self.leave);
        Box::pin(async move { leave.leave().await })
    }
}
