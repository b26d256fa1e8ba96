//! [`Routes`]: what a worker of a cluster's node knows of where objects live, and which of its objects this node has
//! claimed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use dog::Epoch;
use dog_engine::address::{NodeId, Object, ReplicaAddress};

use crate::cluster::claim::ClaimedObject;
use crate::cluster::node::Node;
use crate::cluster::ports::Owner;
use crate::mail::Mail;

/// How many bytes of mail (as [`Mail::weight`] counts them) may be queued for an object during a lookup: 1 MiB.
const MAX_WAITING: usize = 1024 * 1024;

pub(super) struct Routes {
    node: Arc<Node>,
    routes: RefCell<HashMap<Object, Route>>,
    /// The objects of this worker that this node has claimed.
    claims: RefCell<HashMap<Object, ClaimedObject>>,
    /// The id that this node had when it made these claims. The default if there are none.
    holder: Cell<NodeId>,
    /// The nodes on which new Replicas should begin.
    preferred: RefCell<HashMap<ReplicaAddress, NodeId>>,
}

enum Route {
    Here {
        used: Cell<bool>,
    },
    There {
        node: NodeId,
        used: Cell<bool>,
    },
    /// The object is being looked up: the mail that waits for it, and the workers that have asked for it.
    Resolving {
        waiting: Vec<Mail>,
        askers: Vec<usize>,
    },
}

/// Where an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Here,
    There(NodeId),
    Resolving,
    Unknown,
}

impl Route {
    fn here() -> Self {
        Self::Here { used: Cell::new(true) }
    }

    fn there(node: NodeId) -> Self {
        Self::There { node, used: Cell::new(true) }
    }
}

impl Routes {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            routes: RefCell::default(),
            claims: RefCell::default(),
            holder: Cell::default(),
            preferred: RefCell::default(),
        }
    }

    /// Returns where the object lives, as far as that is known. The route counts as used.
    pub(super) fn locate(&self, object: Object) -> Location {
        match self.routes.borrow().get(&object) {
            Some(Route::Here { used }) => {
                used.set(true);
                Location::Here
            }
            Some(Route::There { node, used }) => {
                used.set(true);
                Location::There(*node)
            }
            Some(Route::Resolving { .. }) => Location::Resolving,
            None if self.has_claim(object) => Location::Here,
            None => Location::Unknown,
        }
    }

    /// Notes that the object lives on another node.
    pub(super) fn set(&self, object: Object, node: NodeId) {
        self.routes.borrow_mut().insert(object, Route::there(node));
    }

    /// Notes that the object is being looked up.
    pub(super) fn resolve(&self, object: Object, waiting: Vec<Mail>, askers: Vec<usize>) {
        self.routes.borrow_mut().insert(object, Route::Resolving { waiting, askers });
    }

    /// Queues mail for an object that is being looked up. Returns the mail if too much is queued already.
    pub(super) fn wait(&self, object: Object, mail: Mail) -> Option<Mail> {
        if let Some(Route::Resolving { waiting, .. }) = self.routes.borrow_mut().get_mut(&object) {
            let weight: usize = waiting.iter().map(Mail::weight).sum();
            if weight <= MAX_WAITING || !mail.may_be_refused() {
                waiting.push(mail);
                return None;
            }
        }
        Some(mail)
    }

    /// Adds a worker that asks for an object, if that is being looked up. Returns whether it is.
    pub(super) fn add_asker(&self, object: Object, worker: usize) -> bool {
        match self.routes.borrow_mut().get_mut(&object) {
            Some(Route::Resolving { askers, .. }) => {
                askers.push(worker);
                true
            }
            _ => false,
        }
    }

    /// Ends a lookup, with an owner or without. Returns the mail that has waited, and the workers that have asked.
    /// Returns `None` if the object was not being looked up.
    pub(super) fn located(&self, object: Object, owner: Option<Owner>) -> Option<(Vec<Mail>, Vec<usize>)> {
        let mut routes = self.routes.borrow_mut();
        if !matches!(routes.get(&object), Some(Route::Resolving { .. })) {
            return None;
        }
        let Some(Route::Resolving { waiting, askers }) = routes.remove(&object) else { return None };
        let route = match owner {
            Some(Owner::Here(_)) => Some(Route::here()),
            // A node that has ended in the meantime does not have the object any more.
            Some(Owner::There(node)) if self.node.is_alive(node) => Some(Route::there(node)),
            Some(Owner::There(_) | Owner::Nobody) | None => None,
        };
        routes.extend(route.map(|route| (object, route)));
        Some((waiting, askers))
    }

    /// Handles a report that the object lives on `node`. It counts only if this worker believed that another node has
    /// the object. If the report names this node or a node that has ended, the route is removed, and the next mail
    /// looks the object up.
    pub(super) fn moved(&self, object: Object, node: NodeId) {
        if let Location::There(_) = self.locate(object) {
            if node != self.node.id() && self.node.is_alive(node) {
                self.set(object, node);
            } else {
                self.routes.borrow_mut().remove(&object);
            }
        }
    }

    /// Removes the route of an object that does not live here, if the route says that it does.
    pub(super) fn is_not_here(&self, object: Object) {
        if self.locate(object) == Location::Here {
            self.routes.borrow_mut().remove(&object);
        }
    }

    /// Removes the routes to a node that has ended.
    pub(super) fn node_gone(&self, gone: NodeId) {
        self.routes.borrow_mut().retain(|_, route| !matches!(route, Route::There { node, .. } if *node == gone));
    }

    /// Gives a hint that a new Replica should begin on `node`, if no node has it yet.
    pub(super) fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        let is_elsewhere = node != self.node.id() && self.node.is_alive(node);
        if is_elsewhere && self.locate(Object::Replica(replica)) == Location::Unknown {
            self.preferred.borrow_mut().insert(replica, node);
        }
    }

    pub(super) fn take_preference(&self, object: Object) -> Option<NodeId> {
        match object {
            Object::Replica(replica) => {
                self.preferred.borrow_mut().remove(&replica).filter(|node| self.node.is_alive(*node))
            }
            Object::Group(_) => None,
        }
    }

    /// Notes that this node has claimed the object, when its id was `node`.
    pub(super) fn claimed(&self, object: Object, node: NodeId, claim: u64) {
        self.holder.set(node);
        self.claims.borrow_mut().insert(object, ClaimedObject::new(claim));
    }

    pub(super) fn has_claim(&self, object: Object) -> bool {
        self.claims.borrow().contains_key(&object)
    }

    /// Returns the epoch of the next life of an object that this node has claimed.
    pub(super) fn next_epoch(&self, object: Object) -> Option<Epoch> {
        let mut claims = self.claims.borrow_mut();
        let next = claims.get_mut(&object)?.next_epoch();
        if next.is_none() {
            claims.remove(&object);
        }
        next
    }

    /// Returns the id that this node had when it made its claims.
    pub(super) fn holder(&self) -> NodeId {
        self.holder.get()
    }

    pub(super) fn forget_holder(&self) {
        self.holder.set(NodeId::default());
    }

    /// Removes everything. Returns the mail that has waited.
    pub(super) fn clear(&self) -> Vec<Mail> {
        self.claims.borrow_mut().clear();
        let waiting = |route| match route {
            Route::Resolving { waiting, .. } => waiting,
            Route::Here { .. } | Route::There { .. } => Vec::new(),
        };
        self.routes.take().into_values().flat_map(waiting).collect()
    }

    /// Removes routes that were not used since the last call. Also removes and returns claims that were not used since
    /// then, except those on objects that are `in_use`.
    pub(super) fn evict_unused(&self, in_use: impl Fn(Object) -> bool) -> Vec<(Object, u64)> {
        let mut routes = self.routes.borrow_mut();
        routes.retain(|_, route| match route {
            Route::Here { used } | Route::There { used, .. } => used.replace(false),
            Route::Resolving { .. } => true,
        });
        let mut evicted = Vec::new();
        self.claims.borrow_mut().retain(|object, claimed| {
            if in_use(*object) || claimed.take_used() {
                return true;
            }
            routes.remove(object);
            evicted.push((*object, claimed.claim()));
            false
        });
        evicted
    }
}
