//! [`Node`]: this server as a node of a cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dog_engine::address::{ClassIndex, NodeId};

use super::ports::{Ports, Standing, Versions};
use crate::clock::Clock;
use crate::tls::{NodeCertificates, TlsFigures};

/// What all threads of a node know of the node and its cluster.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ports: Ports,
    identity: Arc<Identity>,
    tls: Option<Arc<NodeCertificates>>,
}

/// The identity of this node. It exists before the node has joined the cluster.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Zero, which is no node's id, while the node has no lease.
    id: AtomicU64,
    classes: Vec<&'static str>,
    versions: Versions,
    clock: Clock,
}

impl Identity {
    /// Creates the identity of a node that has not joined, with the names of its App's Groups and the versions of the
    /// node protocol that it speaks.
    pub(crate) fn new(classes: Vec<&'static str>, versions: Versions) -> Arc<Self> {
        Arc::new(Self { id: AtomicU64::new(0), classes, versions, clock: Clock::start() })
    }

    /// Sets the id that this node has with its new lease.
    pub(crate) fn set(&self, id: NodeId) {
        self.id.store(id.as_u64(), Ordering::Release);
    }

    /// Clears the id, because the lease is over.
    pub(crate) fn clear(&self) {
        self.id.store(0, Ordering::Release);
    }

    /// Returns the names of the App's Groups, in the order of their [`ClassIndex`].
    pub(crate) fn classes(&self) -> &[&'static str] {
        &self.classes
    }

    /// Returns the class with this name, if the App has it.
    pub(crate) fn class(&self, name: &str) -> Option<ClassIndex> {
        let class = self.classes.iter().position(|known| *known == name)?;
        u16::try_from(class).ok().map(ClassIndex)
    }

    pub(crate) fn versions(&self) -> Versions {
        self.versions
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }
}

impl Node {
    /// Creates a node that has joined through these ports. With certificates, it speaks TLS with the other nodes.
    pub(crate) fn new(ports: Ports, identity: Arc<Identity>, tls: Option<Arc<NodeCertificates>>) -> Self {
        identity.set(ports.node);
        Self { ports, identity, tls }
    }

    /// Returns what this node shows to other nodes. `None` if nodes do not speak TLS.
    pub(super) fn tls(&self) -> Option<&NodeCertificates> {
        self.tls.as_deref()
    }

    /// Returns the current id of this node, or the default while it has no lease.
    pub(crate) fn id(&self) -> NodeId {
        NodeId::from_raw(self.identity.id.load(Ordering::Acquire))
    }

    /// Returns whether this node may act for its objects.
    pub(crate) fn has_lease(&self) -> bool {
        !self.ports.directory.lease_left().is_zero()
    }

    /// Returns whether another node lives. Workers are told of the end of a node only after this returns `false`.
    pub(crate) fn is_alive(&self, node: NodeId) -> bool {
        self.ports.directory.address(node).is_some()
    }

    pub(crate) fn classes(&self) -> &[&'static str] {
        self.identity.classes()
    }

    pub(crate) fn versions(&self) -> Versions {
        self.identity.versions()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.identity.clock()
    }

    pub(crate) fn figures(&self) -> ClusterFigures {
        ClusterFigures {
            standing: self.ports.directory.standing(),
            lease_left: self.ports.directory.lease_left(),
            tls: self.tls.as_ref().map(|tls| tls.figures()),
        }
    }
}

/// The metrics of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterFigures {
    pub(crate) standing: Standing,
    pub(crate) lease_left: Duration,
    pub(crate) tls: Option<TlsFigures>,
}
