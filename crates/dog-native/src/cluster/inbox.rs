//! What a cluster has for a node: [`Inbox`]; and what the node's threads know of the cluster: [`Joined`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dog::{ReplicaId, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, NodeId, Object, ReplicaAddress, Targets};
use dog_engine::message::{GroupAnswer, ReplicaCall, ReplicaCast};
use dog_engine::wire::ToGroup;
use tracing::Span;

use super::letter::{Back, GroupName, Letter, Told, arrived, unbundle};
use super::{Ports, Standing, Versions};
use crate::clock::Clock;
use crate::repeats::seldom;
use crate::worker::{Answer, Mail, Post, ReturnAddress};

/// What all threads of a node know of the cluster.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) ports: Ports,
    pub(crate) state: Arc<State>,
}

/// Who this node is.
#[derive(Debug)]
pub(crate) struct State {
    /// Zero while it has no lease: nobody's id.
    node: AtomicU64,
    pub(crate) classes: Vec<&'static str>,
    /// The letters that it writes and reads.
    pub(crate) versions: Versions,
    pub(crate) clock: Clock,
}

impl State {
    pub(crate) fn new(classes: Vec<&'static str>, versions: Versions) -> Arc<Self> {
        Arc::new(Self { node: AtomicU64::new(0), classes, versions, clock: Clock::start() })
    }
}

impl Joined {
    pub(crate) fn new(ports: Ports, state: Arc<State>) -> Self {
        state.node.store(ports.node.as_u64(), Ordering::Release);
        Self { ports, state }
    }

    /// This node, in its present life; the default one while it has no lease.
    pub(crate) fn node(&self) -> NodeId {
        NodeId::from_raw(self.state.node.load(Ordering::Acquire))
    }

    pub(crate) fn figures(&self) -> ClusterFigures {
        ClusterFigures { standing: self.ports.directory.standing(), left: self.ports.directory.lease_left() }
    }

    /// Whether it may act for its objects.
    pub(crate) fn has_lease(&self) -> bool {
        !self.ports.directory.lease_left().is_zero()
    }
}

/// What is told of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterFigures {
    pub(crate) standing: Standing,
    /// What is left of the lease.
    pub(crate) left: std::time::Duration,
}

/// How lives of an object that this node has are numbered: by the claim, and within it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) claim: u64,
    lives: u64,
    /// Whether it was alive since it was looked at last.
    pub(crate) used: bool,
}

/// Bits of an epoch that number lives within a claim.
const LIVES: u32 = 20;

impl Held {
    pub(crate) fn new(claim: u64) -> Self {
        Self { claim, lives: 0, used: true }
    }

    /// The number of the next life; none when all of the claim are used up, and another has to be made.
    pub(crate) fn next_life(&mut self) -> Option<dog::Epoch> {
        self.used = true;
        self.lives += 1;
        (self.lives < 1 << LIVES).then(|| dog::Epoch::from_raw(self.claim << LIVES | self.lives))
    }
}

/// The claim that a life's number was made from: what [`Storage::write`](super::Storage::write) is to be fenced by.
pub fn claim_of(epoch: dog::Epoch) -> u64 {
    epoch.as_u64() >> LIVES
}

/// Takes what a cluster has for this node. It can be called on any thread, and never blocks.
#[derive(Clone)]
pub struct Inbox {
    post: Post,
    state: Arc<State>,
}

impl Inbox {
    pub(crate) fn new(post: Post, state: Arc<State>) -> Self {
        Self { post, state }
    }

    fn all(&self, mail: impl Fn() -> Mail) {
        (0..self.post.workers()).for_each(|worker| self.post.send(worker, vec![mail()]));
    }

    /// A bundle of letters has come, as another node gave it to [`Link::send`](super::Link::send).
    pub fn letters(&self, bundle: &[u8]) {
        let letters = match unbundle(bundle, self.state.versions) {
            Ok((_, letters)) => letters,
            Err(error) => {
                return seldom!(
                    warn,
                    "letters of another node refused",
                    "letters of another node were refused: {error}"
                );
            }
        };
        let mut mail: Vec<Vec<Mail>> = (0..self.post.workers()).map(|_| Vec::new()).collect();
        for letter in letters {
            self.sort(letter, &mut mail);
        }
        for (worker, mail) in mail.into_iter().enumerate().filter(|(_, mail)| !mail.is_empty()) {
            self.post.send(worker, mail);
        }
    }

    fn known(&self, group: &GroupName) -> Option<GroupAddress> {
        let address = group.address(&self.state.classes);
        if address.is_none() {
            seldom!(
                warn,
                "a letter for a Group that App::Groups does not name",
                class = group.class,
                "a letter is for a Group that App::Groups does not name"
            );
        }
        address
    }

    /// Puts a letter into the boxes of those whom it concerns.
    fn sort(&self, letter: Letter, mail: &mut [Vec<Mail>]) {
        let of = |id: &[u8; 32]| self.post.worker_of(id);
        match letter {
            Letter::Group { to, what, back } => {
                let Some(to) = self.known(&to) else { return };
                let mail = &mut mail[of(to.group.as_bytes())];
                match (what, back) {
                    (ToGroup::Call(call), Some(back)) => mail.push(Mail::GroupCall { to, call, back: back.into() }),
                    (ToGroup::Cast(cast), _) => mail.push(Mail::GroupCast { to, cast }),
                    (ToGroup::Call(_), None) => {
                        let kind = "a question without an address for its answer";
                        seldom!(warn, kind, "a question came without an address for its answer");
                    }
                }
            }
            Letter::Replica { to, replica, call, back } => self.sort_calls(&to, &[(replica, back)], &call, mail),
            Letter::Calls { to, asked, call } => self.sort_calls(&to, &asked, &call, mail),
            Letter::Cast { to, replicas, cast } => self.sort_casts(&to, replicas, &[cast], mail),
            Letter::Casts { to, replicas, casts } => self.sort_casts(&to, replicas, &casts, mail),
            Letter::Answer { back: Back { worker, question, .. }, answer } => {
                let answer = answer.map(|told| match told {
                    Told::Group(GroupAnswer::Identified(ticket)) => {
                        Answer::Group(GroupAnswer::Identified(arrived(ticket, self.state.clock.now())))
                    }
                    Told::Group(answer) => Answer::Group(answer),
                    Told::Replica(answer) => Answer::Replica(answer),
                });
                if let Some(mail) = mail.get_mut(worker as usize) {
                    mail.push(Mail::Answer { question, answer });
                }
            }
            Letter::Lives { group, replica, node } => {
                let Some(group) = self.known(&group) else { return };
                let object = match replica {
                    Some(replica) => Object::Replica(ReplicaAddress { group, replica: ReplicaId::from_bytes(replica) }),
                    None => Object::Group(group),
                };
                for mail in mail {
                    mail.push(Mail::Corrected { object, node });
                }
            }
        }
    }

    fn sort_calls(&self, to: &GroupName, asked: &[([u8; 32], Back)], call: &ReplicaCall, mail: &mut [Vec<Mail>]) {
        let Some(group) = self.known(to) else { return };
        for (replica, back) in asked {
            let to = ReplicaAddress { group, replica: ReplicaId::from_bytes(*replica) };
            let call = Mail::ReplicaCall { to, call: call.clone(), back: (*back).into() };
            mail[self.post.worker_of(replica)].push(call);
        }
    }

    fn sort_casts(&self, to: &GroupName, replicas: Vec<[u8; 32]>, casts: &[ReplicaCast], mail: &mut [Vec<Mail>]) {
        let Some(group) = self.known(to) else { return };
        let mut concerned = vec![false; mail.len()];
        replicas.iter().for_each(|replica| concerned[self.post.worker_of(replica)] = true);
        let replicas = replicas.into_iter().map(ReplicaId::from_bytes).collect();
        let to = Targets { group, replicas, except: None };
        for (mail, _) in mail.iter_mut().zip(concerned).filter(|(_, concerned)| *concerned) {
            mail.extend(casts.iter().map(|cast| Mail::ReplicaCast { to: to.clone(), cast: cast.clone() }));
        }
    }

    /// A node has ended: what is known of objects there is no more true.
    pub fn gone(&self, node: NodeId) {
        self.all(|| Mail::Gone { node });
    }

    /// This node's lease is over. From now on it is nobody, until it has [joined](Self::joined) again.
    pub fn lost(&self) {
        self.state.node.store(0, Ordering::Release);
        self.all(|| Mail::Fenced);
    }

    /// This node has another lease, by another name.
    pub fn joined(&self, node: NodeId) {
        self.state.node.store(node.as_u64(), Ordering::Release);
    }

    /// An object's alarm is set, or set no more, as it stands in the storage: which [`Storage`](super::Storage) of a
    /// cluster tells to all nodes, for one of them has to ring it when nobody has the object.
    pub fn alarm(&self, object: Object, class: &str, at: Option<Timestamp>) {
        let known = self.state.classes.iter().position(|known| *known == class).map(u16::try_from);
        let object = match (known, at) {
            (Some(Ok(class)), _) => object.of_class(ClassIndex(class)),
            // Set no more: the record does not say of which class it was.
            (_, None) => {
                for class in 0..u16::try_from(self.state.classes.len()).unwrap_or(u16::MAX) {
                    self.tell_alarm(object.of_class(ClassIndex(class)), None);
                }
                return;
            }
            _ => {
                let kind = "an alarm set for a Group that App::Groups does not name";
                return seldom!(warn, kind, class, "an alarm is set for a Group that App::Groups does not name");
            }
        };
        self.tell_alarm(object, at);
    }

    fn tell_alarm(&self, object: Object, at: Option<Timestamp>) {
        self.post.send(self.post.worker_of(object.id()), vec![Mail::AlarmSeen { object, at }]);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Inbox({} workers)", self.post.workers())
    }
}

impl From<Back> for ReturnAddress {
    fn from(Back { node, worker, question }: Back) -> Self {
        Self { node, worker: worker as usize, question, span: Span::none() }
    }
}
