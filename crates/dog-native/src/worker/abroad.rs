//! Where objects live, as far as a worker of a cluster's node knows, and how mail gets there.
//!
//! Each object belongs to one worker of every process, by its id: its home. There it lives if it lives in this process,
//! and there alone it is looked for, so that a process claims it once. Others ask that worker, and remember.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dog::internal::Kind;
use dog::{Epoch, Error, ReplicaId, Timestamp};
use dog_engine::address::{NodeId, Object, ReplicaAddress, Targets};
use dog_engine::message::ReplicaCast;

use super::Worker;
use super::mail::Mail;
use crate::cluster::letter::Letter;
use crate::cluster::{Destinations, Held, Joined, Owner};

/// How long an alarm waits that is another node's to ring, before it is looked at again: that node may end.
const ALARM_AGAIN: Duration = Duration::from_secs(30);

/// How much waits for an object while it is looked for where it lives, in bytes as [`Mail::weight`] counts them.
const MOST_SOUGHT: usize = 1024 * 1024;

/// What a worker knows of the cluster.
pub(crate) struct Abroad {
    pub(crate) joined: Arc<Joined>,
    pub(super) routes: RefCell<HashMap<Object, Route>>,
    /// Objects of this worker that this node has, by claims that it made in that life of it.
    pub(super) held: RefCell<HashMap<Object, Held>>,
    pub(super) holder: Cell<NodeId>,
    /// Seconds until what was not used is forgotten.
    pub(super) forgets_in: Cell<u64>,
    /// Where new Replicas are to begin.
    preferred: RefCell<HashMap<ReplicaAddress, NodeId>>,
    /// What leaves at the end of the turn.
    pub(super) letters: RefCell<BTreeMap<NodeId, Vec<Letter>>>,
    /// Which version of the letters this node writes to others.
    pub(super) versions: RefCell<HashMap<NodeId, u8>>,
    /// Questions of this worker that went to other nodes, and where to.
    pub(super) asked: RefCell<HashMap<u64, NodeId>>,
    /// Where requests and sockets are passed on to.
    pub(crate) destinations: Destinations,
}

/// The way to an object.
pub(super) enum Route {
    Known {
        /// None if it is here.
        node: Option<NodeId>,
        used: Cell<bool>,
    },
    /// It is being looked for: what has come for it meanwhile, and the workers that ask.
    Sought { waiting: Vec<Mail>, askers: Vec<usize> },
}

impl Route {
    fn here() -> Self {
        Self::Known { node: None, used: Cell::new(true) }
    }

    fn there(node: NodeId) -> Self {
        Self::Known { node: Some(node), used: Cell::new(true) }
    }

    fn leads_to(&self, wanted: NodeId) -> bool {
        matches!(self, Self::Known { node: Some(node), .. } if *node == wanted)
    }
}

/// What a look at a route tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Here,
    There(NodeId),
    Sought,
    No,
}

impl Abroad {
    pub(crate) fn new(joined: Arc<Joined>) -> Self {
        Self {
            joined,
            routes: RefCell::default(),
            held: RefCell::default(),
            holder: Cell::default(),
            forgets_in: Cell::default(),
            preferred: RefCell::default(),
            letters: RefCell::default(),
            versions: RefCell::default(),
            asked: RefCell::default(),
            destinations: Destinations::default(),
        }
    }

    fn look(&self, object: Object) -> Known {
        match self.routes.borrow().get(&object) {
            Some(Route::Known { node, used }) => {
                used.set(true);
                node.map_or(Known::Here, Known::There)
            }
            Some(Route::Sought { .. }) => Known::Sought,
            None if self.holds(object) => Known::Here,
            None => Known::No,
        }
    }

    /// Whether a node lives. That it has ended is heard of by all workers after this says so: what is remembered of one
    /// that lives is forgotten then.
    fn lives(&self, node: NodeId) -> bool {
        self.joined.ports.directory.address(node).is_some()
    }

    /// A new Replica is to begin there, unless somebody has it already.
    pub(super) fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        let is_elsewhere = node != self.joined.node() && self.lives(node);
        if is_elsewhere && self.look(Object::Replica(replica)) == Known::No {
            self.preferred.borrow_mut().insert(replica, node);
        }
    }

    fn preference(&self, object: Object) -> Option<NodeId> {
        match object {
            Object::Replica(replica) => self.preferred.borrow_mut().remove(&replica).filter(|node| self.lives(*node)),
            Object::Group(_) => None,
        }
    }

    fn holds(&self, object: Object) -> bool {
        self.held.borrow().contains_key(&object)
    }

    /// The number of the next life of an object that this node has.
    pub(super) fn next_life(&self, object: Object) -> Option<Epoch> {
        let mut held = self.held.borrow_mut();
        let next = held.get_mut(&object)?.next_life();
        if next.is_none() {
            held.remove(&object);
        }
        next
    }
}

impl Worker {
    /// Sends to an object, wherever it lives, after all that this worker has sent there before.
    pub(super) fn reach(&self, object: Object, mail: Mail) {
        let home = self.shared.post.worker_of(object.id());
        let Some(abroad) = &self.abroad else { return self.send(home, mail) };
        match abroad.look(object) {
            Known::Here => self.send(home, mail),
            Known::There(node) => self.send_abroad(abroad, node, object, mail),
            Known::Sought => self.wait_for_route(abroad, object, mail),
            Known::No => match abroad.preference(object) {
                Some(node) => {
                    abroad.routes.borrow_mut().insert(object, Route::there(node));
                    self.send_abroad(abroad, node, object, mail);
                }
                None => {
                    let claim = mail.claims();
                    self.seek(abroad, object, claim, vec![mail], Vec::new());
                }
            },
        }
    }

    /// Keeps what is for an object until it is known where that lives. Where too much waits already, it is turned down.
    fn wait_for_route(&self, abroad: &Abroad, object: Object, mail: Mail) {
        if let Some(Route::Sought { waiting, .. }) = abroad.routes.borrow_mut().get_mut(&object) {
            let weight: usize = waiting.iter().map(Mail::weight).sum();
            if weight <= MOST_SOUGHT || !mail.may_be_turned_down() {
                return waiting.push(mail);
            }
        }
        self.refuse_mail(mail);
    }

    /// Sends to those of the Replicas that live, with one letter a node.
    pub(super) fn cast_all(&self, abroad: &Abroad, to: &Targets, cast: &ReplicaCast) {
        let workers = self.shared.post.workers();
        let mut concerned = vec![false; workers];
        let mut here: Vec<ReplicaId> = Vec::new();
        let mut there: BTreeMap<NodeId, Vec<ReplicaId>> = BTreeMap::new();
        for replica in to.iter() {
            let object = Object::Replica(to.address(replica));
            match abroad.look(object) {
                Known::Here => {
                    concerned[self.shared.post.worker_of(replica.as_bytes())] = true;
                    here.push(replica);
                }
                Known::There(node) => there.entry(node).or_default().push(replica),
                Known::Sought | Known::No => self.reach(object, one(to, replica, cast)),
            }
        }
        for (node, replicas) in there {
            self.cast_abroad(abroad, node, to.group, &replicas, cast);
        }
        let to = Targets { group: to.group, replicas: here.into(), except: None };
        for (worker, _) in concerned.iter().enumerate().filter(|(_, concerned)| **concerned) {
            self.send(worker, Mail::ReplicaCast { to: to.clone(), cast: cast.clone() });
        }
    }

    fn seek(&self, abroad: &Abroad, object: Object, claim: bool, waiting: Vec<Mail>, askers: Vec<usize>) {
        abroad.routes.borrow_mut().insert(object, Route::Sought { waiting, askers });
        let home = self.shared.post.worker_of(object.id());
        if home == self.index {
            self.find(abroad, object, claim);
        } else {
            self.send(home, Mail::Where { object, claim, worker: self.index });
        }
    }

    /// Asks the directory. What was handed over for the object by then is done when this node gets it.
    fn find(&self, abroad: &Abroad, object: Object, claim: bool) {
        let Some(this) = self.this.upgrade() else { return };
        let joined = Arc::clone(&abroad.joined);
        let node = joined.node();
        tokio::task::spawn_local(async move {
            let mut owner = joined.ports.directory.find(object, claim).await;
            if let Ok(Owner::Here(_)) = owner {
                match joined.ports.storage.alarm(object).await {
                    Ok(at) => this.alarms.borrow_mut().set(object, at),
                    Err(error) => owner = Err(error),
                }
            }
            this.found(object, node, owner);
        });
    }

    /// What the directory has said, asked in that life of the node.
    fn found(&self, object: Object, node: NodeId, owner: Result<Owner, Error>) {
        self.mind_lease();
        let Some(abroad) = &self.abroad else { return };
        let owner = match owner {
            Ok(Owner::Here(claim)) if abroad.joined.has_lease() && abroad.joined.node() == node => {
                abroad.holder.set(node);
                abroad.held.borrow_mut().insert(object, Held::new(claim));
                Ok(Owner::Here(claim))
            }
            Ok(Owner::Here(_)) => Err(no_lease()),
            other => other,
        };
        self.placed(object, owner);
        self.queued();
    }

    /// It is known where an object lives: what has waited goes there.
    pub(super) fn placed(&self, object: Object, owner: Result<Owner, Error>) {
        let Some(abroad) = &self.abroad else { return };
        let sought = abroad.routes.borrow_mut().remove(&object);
        let Some(Route::Sought { waiting, askers }) = sought else {
            abroad.routes.borrow_mut().extend(sought.map(|route| (object, route)));
            return;
        };
        for worker in askers {
            let owner = owner.as_ref().copied().map_err(|error| Error::new(error.kind(), error.to_string()));
            self.send(worker, Mail::Placed { object, owner });
        }
        let route = match owner {
            Ok(Owner::Here(_)) => Some(Route::here()),
            Ok(Owner::There(node)) if abroad.lives(node) => Some(Route::there(node)),
            // It has ended since: looked for once more.
            Ok(Owner::There(_)) => None,
            // Whoever tells a Replica that nobody has tells nobody. Whoever asks it wakes it: it was looked for on behalf of
            // somebody else, and is looked for once more.
            Ok(Owner::Nobody) => None,
            Err(error) => {
                for mail in waiting {
                    self.turn_down(mail, &error);
                }
                return;
            }
        };
        let lost = owner.is_ok_and(|owner| owner == Owner::Nobody);
        abroad.routes.borrow_mut().extend(route.map(|route| (object, route)));
        for mail in waiting.into_iter().filter(|mail| !lost || mail.claims()) {
            self.reach(object, mail);
        }
    }

    /// Another worker asks where an object of this one is.
    pub(super) fn tell_where(&self, object: Object, claim: bool, worker: usize) {
        let Some(abroad) = &self.abroad else { return };
        if let Some(Route::Sought { askers, .. }) = abroad.routes.borrow_mut().get_mut(&object) {
            return askers.push(worker);
        }
        let owner = match abroad.look(object) {
            Known::There(node) => Owner::There(node),
            _ if self.is_here(object) => Owner::Here(0),
            _ => return self.seek(abroad, object, claim, Vec::new(), vec![worker]),
        };
        self.send(worker, Mail::Placed { object, owner: Ok(owner) });
    }

    /// Whether an object of this worker lives here, or may begin to.
    pub(super) fn is_here(&self, object: Object) -> bool {
        self.abroad.as_ref().is_none_or(|abroad| abroad.holds(object))
    }

    /// Mail for an object that is not here after all: it is looked for.
    pub(super) fn pass_on(&self, object: Object, mail: Mail) {
        if let Some(abroad) = &self.abroad
            && abroad.look(object) == Known::Here
        {
            abroad.routes.borrow_mut().remove(&object);
        }
        self.reach(object, mail);
    }

    pub(super) fn corrected(&self, object: Object, node: NodeId) {
        let Some(abroad) = &self.abroad else { return };
        if let Known::There(_) = abroad.look(object) {
            let mut routes = abroad.routes.borrow_mut();
            // Here after all, or nowhere: its home is asked.
            if node != abroad.joined.node() && abroad.lives(node) {
                routes.insert(object, Route::there(node))
            } else {
                routes.remove(&object)
            };
        }
    }

    pub(super) fn gone(&self, gone: NodeId) {
        let Some(abroad) = &self.abroad else { return };
        abroad.routes.borrow_mut().retain(|_, route| !route.leads_to(gone));
        abroad.letters.borrow_mut().remove(&gone);
        abroad.versions.borrow_mut().remove(&gone);
        abroad.destinations.gone(gone);
        let asked: Vec<u64> = abroad.asked.borrow_mut().extract_if(|_, node| *node == gone).map(|(id, _)| id).collect();
        for question in asked {
            // Nobody is left to answer it.
            self.answered(question, Err(Error::new(Kind::Unreachable, "the node of the object has ended")));
        }
        let groups: Vec<_> = self.groups.borrow().values().cloned().collect();
        groups.into_iter().for_each(|group| group.node_gone(gone));
    }

    /// An alarm is due for an object that is not here. One node wakes it, if nobody has it: then the alarm is read with
    /// the claim, and rings.
    pub(super) fn ring_elsewhere(&self, object: Object) {
        let Some(abroad) = &self.abroad else { return };
        if abroad.joined.has_lease() && abroad.joined.ports.directory.caretaker(object) == abroad.joined.node() {
            self.reach(object, Mail::Wake { object });
        }
        self.alarms.borrow_mut().ring_again(object, self.shared.now() + ALARM_AGAIN, 0);
    }

    /// What the storage says of an alarm; of an object here this worker knows better.
    pub(super) fn alarm_seen(&self, object: Object, at: Option<Timestamp>) {
        if self.abroad.as_ref().is_some_and(|abroad| !abroad.holds(object)) {
            self.alarms.borrow_mut().set(object, at);
            self.queued();
        }
    }
}

pub(super) fn no_lease() -> Error {
    Error::new(Kind::Unreachable, "this node is not part of the cluster now: try again later")
}

/// The statement for one Replica.
fn one(to: &Targets, replica: ReplicaId, cast: &ReplicaCast) -> Mail {
    let to = Targets { group: to.group, replicas: Arc::new([replica]), except: None };
    Mail::ReplicaCast { to, cast: cast.clone() }
}
