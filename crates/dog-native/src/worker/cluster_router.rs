//! [`ClusterRouter`]: how mail reaches objects in a cluster.
//!
//! Only the home worker of an object asks the directory where the object lives, so that a process claims it only once.
//! Other workers ask the home worker. All of them remember the answer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use dog::internal::{Identity, Kind};
use dog::{Epoch, Error, ReplicaId, Request};
use dog_engine::address::{GroupAddress, NodeId, Object, ReplicaAddress, Targets, Ticket};
use dog_engine::host::{Fetched, Space};
use dog_engine::message::{GroupAnswer, ReplicaCall, ReplicaCast};
use dog_engine::wire::ToGroup;

use super::node_outbox::NodeOutbox;
use super::outbound::Outbound;
use super::routes::{Location, Routes};
use super::shutdown::Shutdown;
use crate::cluster::forward::Forwarder;
use crate::cluster::message::{NodeMessage, RemoteAnswer, ReplyTo, RequestHead, ticket_to_send};
use crate::cluster::node::Node;
use crate::cluster::ports::Owner;
use crate::mail::{Answer, Claim, Mail, ReturnAddress, RoutingMail};
use crate::shared::Shared;

/// How long routes and claims are kept at least, if objects never hibernate.
const KEPT: Duration = Duration::from_secs(60);

pub(super) struct ClusterRouter {
    node: Arc<Node>,
    shared: Arc<Shared>,
    outbound: Rc<Outbound>,
    shutdown: Rc<Shutdown>,
    this: Weak<Self>,
    routes: Routes,
    outbox: NodeOutbox,
    /// Calls of this worker to objects on other nodes, each with the node.
    remote_calls: RefCell<HashMap<u64, NodeId>>,
    forwarder: Forwarder,
    /// Seconds until unused routes and claims are evicted.
    evicts_in: Cell<u64>,
}

impl ClusterRouter {
    pub(super) fn new(
        node: Arc<Node>,
        shared: Arc<Shared>,
        outbound: Rc<Outbound>,
        shutdown: Rc<Shutdown>,
    ) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            routes: Routes::new(Arc::clone(&node)),
            outbox: NodeOutbox::new(Arc::clone(&node)),
            forwarder: Forwarder::new(Arc::clone(&node)),
            node,
            shared,
            outbound,
            shutdown,
            this: Weak::clone(this),
            remote_calls: RefCell::default(),
            evicts_in: Cell::default(),
        })
    }

    pub(super) fn node(&self) -> NodeId {
        self.node.id()
    }

    /// See [`Router::send`](super::router::Router::send).
    pub(super) fn send(&self, object: Object, mail: Mail) {
        match self.routes.locate(object) {
            Location::Here => self.outbound.send(self.outbound.home(object), mail),
            Location::There(node) => self.send_to_node(node, object, mail),
            Location::Resolving => {
                if let Some(mail) = self.routes.wait(object, mail) {
                    self.outbound.refuse(mail);
                }
            }
            Location::Unknown => match self.routes.take_preference(object) {
                Some(node) => {
                    self.routes.set(object, node);
                    self.send_to_node(node, object, mail);
                }
                None => {
                    let claim = mail.claim();
                    self.resolve(object, claim, vec![mail], Vec::new());
                }
            },
        }
    }

    /// See [`Router::cast`](super::router::Router::cast). Sends one message to each node.
    pub(super) fn cast(&self, to: &Targets, cast: &ReplicaCast) {
        let mut concerned = vec![false; self.outbound.workers()];
        let mut here: Vec<ReplicaId> = Vec::new();
        let mut there: BTreeMap<NodeId, Vec<ReplicaId>> = BTreeMap::new();
        for replica in to.iter() {
            let object = Object::Replica(to.address(replica));
            match self.routes.locate(object) {
                Location::Here => {
                    concerned[self.outbound.home(object)] = true;
                    here.push(replica);
                }
                Location::There(node) => there.entry(node).or_default().push(replica),
                Location::Resolving | Location::Unknown => {
                    let to = Targets { group: to.group, replicas: Arc::new([replica]), except: None };
                    self.send(object, Mail::ReplicaCast { to, cast: cast.clone() });
                }
            }
        }
        for (node, replicas) in there {
            self.outbox.cast(node, to.group, &replicas, cast);
        }
        let to = Targets { group: to.group, replicas: here.into(), except: None };
        for (worker, _) in concerned.iter().enumerate().filter(|(_, concerned)| **concerned) {
            self.outbound.send(worker, Mail::ReplicaCast { to: to.clone(), cast: cast.clone() });
        }
        self.outbound.queued();
    }

    /// See [`Router::call_all`](super::router::Router::call_all). What goes to another node is bundled there.
    pub(super) fn call_all(&self, group: GroupAddress, call: &ReplicaCall, to: Vec<(ReplicaId, u64)>) {
        let is_here =
            |replica| self.routes.locate(Object::Replica(ReplicaAddress { group, replica })) == Location::Here;
        let (here, others): (Vec<_>, Vec<_>) = to.into_iter().partition(|(replica, _)| is_here(*replica));
        for (replica, number) in others {
            let to = ReplicaAddress { group, replica };
            let back = ReturnAddress::here(self.outbound.index(), number);
            self.send(Object::Replica(to), Mail::ReplicaCall { to, call: call.clone(), back });
        }
        self.outbound.call_all(group, call, here);
    }

    /// See [`Router::answer`](super::router::Router::answer).
    pub(super) fn answer(&self, node: NodeId, worker: usize, call: u64, answer: Result<Answer, Error>) {
        if node == NodeId::default() || node == self.node.id() {
            return self.outbound.answer(worker, call, answer);
        }
        let answer = match answer {
            Ok(Answer::Group(GroupAnswer::Identified(ticket))) => {
                Ok(RemoteAnswer::Group(GroupAnswer::Identified(ticket_to_send(ticket, self.shared.now()))))
            }
            Ok(Answer::Group(answer)) => Ok(RemoteAnswer::Group(answer)),
            Ok(Answer::Replica(answer)) => Ok(RemoteAnswer::Replica(answer)),
            Err(error) => Err(error),
            // Requests are forwarded over connections, and only objects of this process write here.
            Ok(Answer::GroupFetched(_) | Answer::ReplicaFetched(_) | Answer::Written) => return,
        };
        let worker = u32::try_from(worker).unwrap_or(u32::MAX);
        self.outbox.push(node, NodeMessage::Answer { back: ReplyTo { node, worker, call }, answer });
        self.outbound.queued();
    }

    fn answer_to(&self, back: &ReturnAddress, answer: Result<Answer, Error>) {
        self.answer(back.node, back.worker, back.call, answer);
    }

    fn send_to_node(&self, node: NodeId, object: Object, mail: Mail) {
        self.outbound.queued();
        self.tell_caller(node, object, &mail);
        match mail {
            Mail::GroupCall { to, call, back } => {
                let (to, back) = (self.outbox.name(to), Some(self.reply_to(node, &back)));
                self.outbox.push(node, NodeMessage::Group { to, what: ToGroup::Call(call), back });
            }
            Mail::GroupCast { to, cast } => {
                let to = self.outbox.name(to);
                self.outbox.push(node, NodeMessage::Group { to, what: ToGroup::Cast(cast), back: None });
            }
            Mail::ReplicaCall { to, call, back } => self.outbox.call(node, to, call, self.reply_to(node, &back)),
            Mail::ReplicaCast { to, cast } => {
                let replicas: Vec<ReplicaId> = to.iter().collect();
                self.outbox.cast(node, to.group, &replicas, &cast);
            }
            Mail::GroupFetch { to, request, back, hops } => self.forward(node, to, None, request, back, hops),
            Mail::ReplicaFetch { to: ReplicaAddress { group, replica }, ticket, request, back, hops } => {
                self.forward(node, group, Some((replica, ticket)), request, back, hops);
            }
            // An alarm rings on the node that has the object. All other mail is for workers, not for objects.
            _ => {}
        }
    }

    /// Returns the return address for a call to an object on node `to`.
    fn reply_to(&self, to: NodeId, back: &ReturnAddress) -> ReplyTo {
        let me = self.node.id();
        let node = if back.node == NodeId::default() { me } else { back.node };
        if node == me && back.worker == self.outbound.index() {
            self.remote_calls.borrow_mut().insert(back.call, to);
        }
        ReplyTo { node, worker: u32::try_from(back.worker).unwrap_or(u32::MAX), call: back.call }
    }

    /// If a third node has sent the mail here, tells it where the object lives.
    fn tell_caller(&self, node: NodeId, object: Object, mail: &Mail) {
        let Some(caller) = mail.caller().filter(|caller| *caller != NodeId::default() && *caller != self.node.id())
        else {
            return;
        };
        let replica = match object {
            Object::Group(_) => None,
            Object::Replica(address) => Some(*address.replica.as_bytes()),
        };
        self.outbox.push(caller, NodeMessage::Lives { group: self.outbox.name(object.group()), replica, node });
    }

    fn forward(
        &self,
        node: NodeId,
        group: GroupAddress,
        replica: Option<(ReplicaId, Ticket)>,
        request: Request,
        back: ReturnAddress,
        hops: u8,
    ) {
        let Some(this) = self.this.upgrade() else { return };
        let replica = replica.map(|(replica, ticket)| (*replica.as_bytes(), ticket_to_send(ticket, self.shared.now())));
        let is_group = replica.is_none();
        let (identity, peer) = (request.extensions().get::<Identity>(), dog::peer_address(&request));
        let identity = identity.map(|identity| identity.0.clone());
        let head = RequestHead { group: self.outbox.name(group), replica, identity, peer, hops: hops + 1 };
        tokio::task::spawn_local(async move {
            let fetched = this.forwarder.forward(node, &head, request, this.shutdown.watch()).await;
            let answer = fetched.map(|fetched| match fetched {
                Fetched::Response(response) if is_group => Answer::GroupFetched(response),
                fetched => Answer::ReplicaFetched(fetched),
            });
            this.answer_to(&back, answer);
        });
    }

    /// Looks up where an object lives. Then `waiting` is sent there, and `askers` are told.
    fn resolve(&self, object: Object, claim: Claim, waiting: Vec<Mail>, askers: Vec<usize>) {
        self.routes.resolve(object, waiting, askers);
        let (home, worker) = (self.outbound.home(object), self.outbound.index());
        if home == worker {
            self.ask_directory(object, claim);
        } else {
            self.outbound.send(home, Mail::Routing(RoutingMail::Locate { object, claim, worker }));
        }
    }

    /// Asks the directory. Its answer arrives as mail. If this node gets the object, its alarm is read first. All
    /// writes of the node that had the object before are done by then.
    fn ask_directory(&self, object: Object, claim: Claim) {
        let Some(this) = self.this.upgrade() else { return };
        let node = self.node.id();
        tokio::task::spawn_local(async move {
            let mut owner = this.node.ports.directory.find(object, claim == Claim::IfFree).await;
            if claim == Claim::IfMembers
                && let Ok(Owner::Nobody) = owner
            {
                owner = match this.has_members(object).await {
                    Ok(true) => this.node.ports.directory.find(object, true).await,
                    Ok(false) => Ok(Owner::Nobody),
                    Err(error) => Err(error),
                };
            }
            let mut alarm = None;
            if let Ok(Owner::Here(_)) = owner {
                match this.node.ports.storage.alarm(object).await {
                    Ok(at) => alarm = at,
                    Err(error) => owner = Err(error),
                }
            }
            let found = RoutingMail::Found { object, node, owner, alarm };
            this.outbound.send(this.outbound.index(), Mail::Routing(found));
        });
    }

    /// Returns whether a Group has members. Without members there are no sockets, so nobody needs to have the Group.
    async fn has_members(&self, group: Object) -> Result<bool, Error> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let members = self.node.ports.storage.range(group, Space::Members, all, Some(1), false).await?;
        Ok(!members.is_empty())
    }

    /// Handles the answer of the directory. `node` is the id that this node had when it asked.
    pub(super) fn found(&self, object: Object, node: NodeId, owner: Result<Owner, Error>) {
        let owner = match owner {
            Ok(Owner::Here(claim)) if self.node.has_lease() && self.node.id() == node => {
                self.routes.claimed(object, node, claim);
                Ok(Owner::Here(claim))
            }
            Ok(Owner::Here(_)) => Err(no_lease()),
            other => other,
        };
        self.located(object, owner);
    }

    /// Ends a lookup, and sends the mail that has waited for it.
    pub(super) fn located(&self, object: Object, owner: Result<Owner, Error>) {
        let Some((waiting, askers)) = self.routes.located(object, owner.as_ref().ok().copied()) else { return };
        for worker in askers {
            let owner = owner.as_ref().copied().map_err(|error| Error::new(error.kind(), error.to_string()));
            self.outbound.send(worker, Mail::Routing(RoutingMail::Located { object, owner }));
        }
        match owner {
            Err(error) => waiting.into_iter().for_each(|mail| self.reject(mail, &error)),
            Ok(owner) => {
                for mail in waiting {
                    match mail.claim() {
                        // This lookup did not claim the object, so it is looked up again.
                        Claim::IfFree => self.send(object, mail),
                        Claim::IfMembers | Claim::Never if owner != Owner::Nobody => self.send(object, mail),
                        Claim::IfMembers => self.answer_for_nobody(mail),
                        // A cast to a Replica that no node has is dropped.
                        Claim::Never => {}
                    }
                }
            }
        }
    }

    fn answer_for_nobody(&self, mail: Mail) {
        let answer = mail.answer_of_nobody();
        if let (Some(answer), Some(back)) = (answer, mail.into_return_address()) {
            self.answer_to(&back, Ok(answer));
        }
    }

    fn reject(&self, mail: Mail, error: &Error) {
        if let Some(back) = mail.into_return_address() {
            self.answer_to(&back, Err(Error::new(error.kind(), error.to_string())));
        }
    }

    /// Answers another worker that asks where an object of this worker lives.
    pub(super) fn locate(&self, object: Object, claim: Claim, worker: usize) {
        if self.routes.add_asker(object, worker) {
            return;
        }
        let owner = match self.routes.locate(object) {
            Location::There(node) => Owner::There(node),
            _ if self.has_claim(object) => Owner::Here(0),
            _ => return self.resolve(object, claim, Vec::new(), vec![worker]),
        };
        self.outbound.send(worker, Mail::Routing(RoutingMail::Located { object, owner: Ok(owner) }));
    }

    /// Handles another node's report that an object lives on `node`.
    pub(super) fn moved(&self, object: Object, node: NodeId) {
        self.routes.moved(object, node);
    }

    /// Sends on mail for an object that does not live here. If necessary, the object is looked up.
    pub(super) fn forward_mail(&self, object: Object, mail: Mail) {
        self.routes.is_not_here(object);
        self.send(object, mail);
    }

    pub(super) fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        self.routes.prefer(replica, node);
    }

    /// Returns whether this node has claimed the object.
    pub(super) fn has_claim(&self, object: Object) -> bool {
        self.routes.has_claim(object)
    }

    pub(super) fn next_epoch(&self, object: Object) -> Option<Epoch> {
        self.routes.next_epoch(object)
    }

    /// Handles a due alarm of an object that this node has not claimed. One node of the cluster wakes the object,
    /// wherever it lives. If no node has it, the lookup claims it and reads the alarm, which then rings.
    pub(super) fn wake_elsewhere(&self, object: Object) {
        if self.node.has_lease() && self.node.ports.directory.caretaker(object) == self.node.id() {
            self.send(object, Mail::Wake { object });
        }
    }

    /// Handles the end of a node. Returns the calls that it will not answer any more.
    pub(super) fn node_gone(&self, gone: NodeId) -> Vec<u64> {
        self.routes.node_gone(gone);
        self.outbox.node_gone(gone);
        self.forwarder.node_gone(gone);
        self.remote_calls.borrow_mut().extract_if(|_, node| *node == gone).map(|(call, _)| call).collect()
    }

    /// Notes that a call was answered.
    pub(super) fn answered(&self, call: u64) {
        self.remote_calls.borrow_mut().remove(&call);
    }

    /// Forgets the calls that are no longer pending.
    pub(super) fn retain_calls(&self, is_pending: impl Fn(u64) -> bool) {
        self.remote_calls.borrow_mut().retain(|call, _| is_pending(*call));
    }

    /// To be called every second. Evicts routes that were not used, and gives up claims on objects that are not
    /// `in_use`.
    pub(super) fn evict_unused(&self, in_use: impl Fn(Object) -> bool) {
        let left = self.evicts_in.get();
        if left > 0 {
            return self.evicts_in.set(left - 1);
        }
        self.evicts_in.set(self.shared.config.hibernate_after.unwrap_or(KEPT).as_secs());
        for (object, claim) in self.routes.evict_unused(in_use) {
            self.node.ports.directory.release(object, claim);
        }
    }

    /// Returns whether this node must no longer act for the objects that it has claimed. If a worker was suspended, the
    /// node may have a new lease by now. That is not the lease of these objects.
    pub(super) fn lease_is_over(&self) -> bool {
        let holder = self.routes.holder();
        holder != NodeId::default() && (self.node.id() != holder || !self.node.has_lease())
    }

    /// Makes the claims void. This is the first step after the lease is over.
    pub(super) fn void_claims(&self) {
        self.routes.forget_holder();
    }

    /// Drops the messages of this worker's objects, and rejects all mail that waits for a lookup. This is the last
    /// step, when all these objects have ended.
    pub(super) fn give_up_claims(&self) {
        self.outbox.clear();
        for mail in self.routes.clear() {
            self.reject(mail, &no_lease());
        }
    }

    pub(super) fn post(&self) {
        self.outbound.post();
        self.outbox.post();
    }
}

fn no_lease() -> Error {
    Error::new(Kind::Unreachable, "this node is not part of the cluster now: try again later")
}
