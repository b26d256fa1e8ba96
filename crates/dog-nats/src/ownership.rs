//! [`Ownership`]: finds the node that owns an object, and claims objects without an owner. The last message of the
//! object's owner subject names the owner. The number of the message that claimed the object identifies the claim.

use std::sync::Arc;
use std::time::Duration;

use dog::Error;
use dog::internal::Kind;
use dog_engine::address::{NodeId, Object};
use dog_native::cluster::{Owner, Versions};
use tokio::time::Instant;

use crate::claim::Claim;
use crate::faults::{Fault, is_planted};
use crate::identity::Identity;
use crate::lease::LeaseStore;
use crate::members::Members;
use crate::names::Names;
use crate::stream::{MessageStream, Put, RETRY_AFTER, StreamError, nonce};
use crate::writes::Writes;

/// How long a search for an object is retried. A stream may have no leader for up to six seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds and claims objects.
pub(crate) struct Ownership {
    stream: Arc<dyn MessageStream>,
    names: Names,
    leases: LeaseStore,
    members: Arc<Members>,
    identity: Arc<Identity>,
    /// The versions of the node protocol that this node supports.
    versions: Versions,
    writes: Arc<Writes>,
}

/// The result of one attempt to find an object.
enum Found {
    Owner(Owner),
    /// The object is at a node that shares no protocol version with this one.
    Incompatible(NodeId, Versions),
}

impl Ownership {
    pub(crate) fn new(
        stream: Arc<dyn MessageStream>,
        names: Names,
        leases: LeaseStore,
        members: Arc<Members>,
        identity: Arc<Identity>,
        versions: Versions,
        writes: Arc<Writes>,
    ) -> Self {
        Self { stream, names, leases, members, identity, versions, writes }
    }

    /// Implements [`Directory::find`](dog_native::cluster::Directory::find).
    pub(crate) async fn find(&self, object: Object, claim: bool) -> Result<Owner, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut own_nonce = nonce();
        loop {
            match self.find_once(object, claim, &own_nonce).await {
                Ok(Found::Owner(owner)) => return Ok(owner),
                Ok(Found::Incompatible(node, versions)) => {
                    let text = format!(
                        "the object is at node {node}, which speaks version {versions} of the node protocol; this node speaks {}",
                        self.versions
                    );
                    return Err(Error::new(Kind::Unreachable, text));
                }
                // The claim was not stored, so the next attempt is a new claim.
                Err(StreamError::Conflict) => own_nonce = nonce(),
                Err(error @ (StreamError::Retry(_) | StreamError::Unknown(_))) => {
                    if Instant::now() > deadline {
                        return Err(error.into_error(Kind::Unreachable));
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                Err(error @ StreamError::Rejected(_)) => return Err(error.into_error(Kind::Unreachable)),
            }
        }
    }

    async fn find_once(&self, object: Object, claim: bool, own_nonce: &str) -> Result<Found, StreamError> {
        let me = self.identity.node();
        if me == NodeId::default() {
            return Err(StreamError::Rejected("this node has no lease".into()));
        }
        let subject = self.names.owner(object);
        let (sequence, last) = Claim::read(self.stream.last(&subject).await?);
        match last {
            // An earlier attempt was stored, but its answer was lost.
            Some(last) if last.node == me && last.nonce == own_nonce => return self.begin(object, me, sequence),
            Some(last) if last.node != me => {
                if let Some(versions) = self.versions_if_alive(last.node).await? {
                    return Ok(match self.versions.in_common(versions) {
                        Some(_) => Found::Owner(Owner::There(last.node)),
                        None => Found::Incompatible(last.node, versions),
                    });
                }
            }
            Some(_) | None => {}
        }
        if !claim {
            return Ok(Found::Owner(Owner::Nobody));
        }
        let put = Claim { node: me, nonce: own_nonce.to_owned() }.put(subject)?;
        let put = if is_planted(Fault::ClaimsWithoutExpectation) { put } else { put.expecting(sequence) };
        let sequence = self.stream.put(put).await?;
        self.begin(object, me, sequence)
    }

    /// Begins to own an object that was claimed as `me`. If this process has lost that lease since, the claim is void.
    fn begin(&self, object: Object, me: NodeId, claim: u64) -> Result<Found, StreamError> {
        if self.identity.node() != me && !is_planted(Fault::KeepsClaimsOfAnEarlierLease) {
            return Err(StreamError::Conflict);
        }
        self.writes.begin(object, claim, me);
        Ok(Found::Owner(Owner::Here(claim)))
    }

    /// Returns the protocol versions of a node, if it has a lease. A node among the known members counts as alive. For
    /// another node, the leader of the lease stream is asked.
    async fn versions_if_alive(&self, node: NodeId) -> Result<Option<Versions>, StreamError> {
        if let Some(versions) = self.members.versions(node) {
            return Ok(Some(versions));
        }
        if is_planted(Fault::BelievesWhatItHasNotHeard) {
            return Ok(None);
        }
        let Some((sequence, lease)) = self.leases.read(node).await? else { return Ok(None) };
        self.members.learn(node, &lease, sequence);
        Ok(Some(lease.versions()))
    }

    /// Releases an object that this node no longer needs. Returns the number of the message that holds the claim, for
    /// [`Self::delete_claim`]. `None`: a write is in flight, or this node does not own the object under that claim.
    pub(crate) fn release(&self, object: Object, claim: u64) -> Option<u64> {
        self.writes.release(object, claim)
    }

    /// Deletes the claim of a released object, so that any node may claim it. The next claim still has a higher number,
    /// because the stream numbers its messages.
    pub(crate) async fn delete_claim(&self, object: Object, last: u64) {
        if let Err(error) = self.stream.put(Put::deletion(self.names.owner(object)).expecting(last)).await {
            // The next node that looks for the object finds this node, which then claims it again.
            tracing::debug!("the claim of an idle object could not be deleted: {}", error.text());
        }
    }
}
