//! [`Life`]: the life of a node in the cluster, from its first lease until it leaves. A node that loses its lease
//! acquires a new one, under a new node id.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dog_engine::address::NodeId;
use dog_native::cluster::Versions;

use crate::bus::Bus;
use crate::lease::{Lease, LeaseKeeper, LeaseStore, Renewal};
use crate::link;
use crate::parts::Parts;
use crate::stream::retry_while;

/// The pause before the next attempt to acquire a lease.
const REJOIN_AFTER: Duration = Duration::from_secs(1);

/// What a node's lease says about the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// The address at which other nodes reach it.
    pub(crate) address: SocketAddr,
    pub(crate) versions: Versions,
    /// The time of its lease.
    pub(crate) lease: Duration,
}

/// Returns ids that no node has used.
pub(crate) type NewId = Box<dyn FnMut() -> Result<NodeId, String> + Send>;

/// The life of this node.
pub(crate) struct Life<B: Bus> {
    bus: B,
    parts: Parts,
    profile: Profile,
    new_id: NewId,
}

/// A node that has a lease, and receives bundles.
pub(crate) struct Joined<B: Bus> {
    keeper: LeaseKeeper,
    subscription: B::Subscription,
}

/// Why a node stops using its lease.
enum Ended {
    /// The lease could not be renewed in time, or the subscription has ended.
    Lost,
    Revoked,
    Leaves,
}

impl<B: Bus> Life<B> {
    /// Creates a life without a lease. [`Self::join`] acquires the first one.
    pub(crate) fn new(bus: B, parts: Parts, profile: Profile, new_id: NewId) -> Self {
        Self { bus, parts, profile, new_id }
    }

    /// Acquires a lease under an id that no node has used, and subscribes to bundles.
    pub(crate) async fn join(&mut self) -> Result<Joined<B>, String> {
        let node = (self.new_id)()?;
        // The subscription comes before the lease, because a node that sees the lease may send a bundle at once.
        let subscription = self.bus.subscribe(self.parts.names.messages(node)).await?;
        let Profile { address, versions, lease: time } = self.profile;
        let lease = Lease::new(address, versions, time, self.parts.identity.process());
        let mut keeper =
            LeaseKeeper::new(self.parts.leases.clone(), Arc::clone(&self.parts.identity), node, lease, time);
        match keeper.renew().await {
            Ok(Renewal::Done) => {}
            Ok(Renewal::Revoked) => return Err("another node has the same id".into()),
            Err(error) => return Err(format!("the lease cannot be acquired: {}", error.text())),
        }
        self.parts.members.learn(node, keeper.lease(), keeper.sequence());
        self.parts.identity.assume(node);
        // This process may have seen the end of the lease before it assumed the node id.
        if self.parts.members.has_ended(node) {
            self.parts.identity.resign();
            return Err("another process has ended the lease".into());
        }
        Ok(Joined { keeper, subscription })
    }

    /// Renews the lease, and acquires a new one when it is lost, until this node leaves.
    pub(crate) async fn run(&mut self, mut joined: Joined<B>) {
        loop {
            let node = joined.keeper.node();
            match self.live(joined).await {
                Ended::Leaves => return self.end(),
                Ended::Lost => {
                    self.lose(node);
                    let unused = self.profile.lease / 5;
                    tokio::spawn(delete_lost_lease(self.parts.leases.clone(), node, unused));
                }
                Ended::Revoked => self.lose(node),
            }
            let leave = Arc::clone(&self.parts.leave);
            joined = tokio::select! {
                biased;
                () = leave.requested() => return self.end(),
                joined = self.rejoin() => joined,
            };
            let node = joined.keeper.node();
            tracing::warn!(%node, "this node has joined the cluster again");
            self.parts.events.joined(node);
        }
    }

    async fn live(&mut self, Joined { mut keeper, subscription }: Joined<B>) -> Ended {
        let node = keeper.node();
        tokio::select! {
            biased;
            () = self.parts.leave.requested() => {}
            () = self.parts.identity.revoked(node) => return Ended::Revoked,
            () = keeper.keep() => return Ended::Lost,
            () = link::receive::<B>(subscription, &self.parts.members, &*self.parts.events) => return Ended::Lost,
        }
        keeper.give_back().await;
        Ended::Leaves
    }

    fn lose(&self, node: NodeId) {
        tracing::error!(%node, "this node has lost its lease: other nodes may own its objects from now on");
        self.parts.identity.resign();
        self.parts.members.remove(node);
        self.parts.writes.end();
        self.parts.events.lost();
    }

    async fn rejoin(&mut self) -> Joined<B> {
        loop {
            match self.join().await {
                Ok(joined) => return joined,
                Err(error) => tracing::warn!("this node cannot join the cluster again: {error}"),
            }
            tokio::time::sleep(REJOIN_AFTER).await;
        }
    }

    /// Records that the node has left.
    pub(crate) fn end(&self) {
        self.parts.identity.resign();
        self.parts.writes.end();
        self.parts.leave.set_left();
    }
}

/// Deletes a lease that this process has lost, after the margin that the process does not use (`unused`). There may be
/// no other node that could do so.
async fn delete_lost_lease(leases: LeaseStore, node: NodeId, unused: Duration) {
    tokio::time::sleep(unused).await;
    // The last renewal does not matter: no process acts as this node any more.
    if let Err(error) = retry_while(|| true, || leases.delete_any(node)).await {
        tracing::warn!("a lost lease could not be deleted; other nodes do it later: {}", error.text());
    }
}
