//! This server as a node of a cluster: [`Node`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dog_engine::address::{ClassIndex, NodeId};

use super::ports::{Ports, Standing, Versions};
use crate::clock::Clock;

/// What all threads of a node know of it and of its cluster.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ports: Ports,
    identity: Arc<Identity>,
}

/// Who this node is. It exists before the node has joined the cluster.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Zero, which is no node's id, while the node has no lease.
    id: AtomicU64,
    classes: Vec<&'static str>,
    versions: Versions,
    clock: Clock,
}

impl Identity {
    /// A node that has not joined: with the names of its App's Groups, and the versions of the node protocol that it speaks.
    pub(crate) fn new(classes: Vec<&'static str>, versions: Versions) -> Arc<Self> {
        Arc::new(Self { id: AtomicU64::new(0), classes, versions, clock: Clock::start() })
    }

    /// The node has a lease, with this id.
    pub(crate) fn set(&self, id: NodeId) {
        self.id.store(id.as_u64(), Ordering::Release);
    }

    /// The lease is over.
    pub(crate) fn clear(&self) {
        self.id.store(0, Ordering::Release);
    }

    /// The names of the App's Groups, in the order of their [`ClassIndex`].
    pub(crate) fn classes(&self) -> &[&'static str] {
        &self.classes
    }

    /// The class with this name, if the App has it.
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
    /// A node that has joined by these ports.
    pub(crate) fn new(ports: Ports, identity: Arc<Identity>) -> Self {
        identity.set(ports.node);
        Self { ports, identity }
    }

    /// The present id of this node, or the default while it has no lease.
    pub(crate) fn id(&self) -> NodeId {
        NodeId::from_raw(self.identity.id.load(Ordering::Acquire))
    }

    /// Whether it may act for its objects.
    pub(crate) fn has_lease(&self) -> bool {
        !self.ports.directory.lease_left().is_zero()
    }

    /// Whether another node lives. Workers hear of the end of a node after this has become `false`.
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
        ClusterFigures { standing: self.ports.directory.standing(), lease_left: self.ports.directory.lease_left() }
    }
}

/// What the metrics say of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterFigures {
    pub(crate) standing: Standing,
    pub(crate) lease_left: Duration,
}
