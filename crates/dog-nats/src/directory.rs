//! Which node has an object: the last message of the object's subject says so, and its number is the claim.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dog::Error;
use dog::internal::Kind;
use dog_engine::address::{NodeId, Object};
use dog_native::cluster::{Directory, Owner, Pending, Standing, Versions};
use serde::{Deserialize, Serialize};

use crate::jetstream::{AGAIN, Put, Stored, Trouble, nonce};
use crate::node::Node;
use crate::nodes;

/// How long it may take to find an object: a new leader of a stream takes up to six seconds to be chosen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What stands in an object's subject.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Which node has it.
    pub(crate) node: NodeId,
    /// Tells one claim, or one write, from another.
    pub(crate) nonce: String,
}

impl Claim {
    /// The message that makes it.
    pub(crate) fn put(&self, subject: String, after: u64) -> Result<Put, Trouble> {
        let text = serde_json::to_vec(self).map_err(|error| Trouble::Refused(error.to_string()))?;
        Ok(Put::new(subject, text).after(after))
    }

    /// What is there, and its number.
    pub(crate) fn read(stored: Option<Stored>) -> (u64, Option<Self>) {
        let Some(Stored { sequence, payload }) = stored else { return (0, None) };
        (sequence, payload.and_then(|payload| serde_json::from_slice(&payload).ok()))
    }
}

/// The port.
#[derive(Debug)]
pub(crate) struct Found(pub(crate) Arc<Node>);

impl Directory for Found {
    fn find(&self, object: Object, claim: bool) -> Pending<Result<Owner, Error>> {
        let node = Arc::clone(&self.0);
        Box::pin(async move { find(&node, object, claim).await })
    }

    fn release(&self, object: Object, claim: u64) {
        let Some(fence) = self.0.writers.release(object, claim) else { return };
        let node = Arc::clone(&self.0);
        // The number of the next claim is the stream's next, and so is later all the same.
        let gone = Put::gone(node.names.owner(object)).after(fence);
        node.runtime.clone().spawn(async move {
            // Where it stays, the next who looks for the object is led here, and it is claimed anew.
            if let Err(trouble) = node.objects.put(gone).await {
                tracing::debug!("the claim of an idle object stays: {}", trouble.text());
            }
        });
    }

    fn address(&self, node: NodeId) -> Option<SocketAddr> {
        self.0.nodes.find(node).map(|(address, _)| address)
    }

    fn versions(&self, node: NodeId) -> Option<Versions> {
        self.0.nodes.find(node).map(|(_, versions)| versions)
    }

    fn lease_left(&self) -> Duration {
        self.0.term.left()
    }

    fn standing(&self) -> Standing {
        let connected = self.0.client.connection_state() == async_nats::connection::State::Connected;
        Standing { connected, nodes: self.0.nodes.count() }
    }

    fn caretaker(&self, object: Object) -> NodeId {
        self.0.nodes.caretaker(object)
    }

    fn leave(&self) -> Pending<()> {
        let node = Arc::clone(&self.0);
        Box::pin(async move { node.leave().await })
    }
}

async fn find(node: &Node, object: Object, claim: bool) -> Result<Owner, Error> {
    let by = Instant::now() + PATIENCE;
    let mut made = nonce();
    loop {
        match look(node, object, claim, &made).await {
            Ok(Look::Known(owner)) => return Ok(owner),
            Ok(Look::Stranger(other, versions)) => {
                let text = format!(
                    "the object is at node {other}, which speaks version {versions} of the letters, and this one {}",
                    node.versions
                );
                return Err(Error::new(Kind::Unreachable, text));
            }
            Err(Trouble::Outdated) => made = nonce(),
            Err(trouble @ (Trouble::Busy(_) | Trouble::Unanswered(_))) => {
                if Instant::now() > by {
                    return Err(trouble.into_error(Kind::Unreachable));
                }
                tokio::time::sleep(AGAIN).await;
            }
            Err(trouble @ Trouble::Refused(_)) => return Err(trouble.into_error(Kind::Unreachable)),
        }
    }
}

enum Look {
    Known(Owner),
    /// At a node with which this one has no version in common.
    Stranger(NodeId, Versions),
}

async fn look(node: &Node, object: Object, claim: bool, made: &str) -> Result<Look, Trouble> {
    let me = node.me();
    if me == NodeId::default() {
        return Err(Trouble::Refused("this node has no lease".into()));
    }
    let subject = node.names.owner(object);
    let (sequence, last) = Claim::read(node.objects.last(&subject).await?);
    match last {
        // The answer to it was lost.
        Some(last) if last.node == me && last.nonce == made => return Ok(Look::Known(own(node, object, sequence))),
        Some(last) if last.node != me => {
            if let Some(versions) = is_alive(node, last.node).await? {
                return Ok(match node.versions.in_common(versions) {
                    Some(_) => Look::Known(Owner::There(last.node)),
                    None => Look::Stranger(last.node, versions),
                });
            }
        }
        Some(_) | None => {}
    }
    if !claim {
        return Ok(Look::Known(Owner::Nobody));
    }
    let put = Claim { node: me, nonce: made.to_owned() }.put(subject, sequence)?;
    let sequence = node.objects.put(put).await?;
    Ok(Look::Known(own(node, object, sequence)))
}

fn own(node: &Node, object: Object, claim: u64) -> Owner {
    node.writers.own(object, claim, node.me());
    Owner::Here(claim)
}

/// Whether a node's lease is there, and which versions it speaks. Those that one has heard of are believed; one that seems
/// to have ended is asked for where the leases are kept.
async fn is_alive(node: &Node, other: NodeId) -> Result<Option<Versions>, Trouble> {
    if let Some((_, versions)) = node.nodes.find(other) {
        return Ok(Some(versions));
    }
    Ok(nodes::look(node, other).await?.map(|lease| lease.versions()))
}
