//! The model world: one Group, its Replicas, the clients' tickets and the messages. It uses the books and seats as the
//! engine's drivers do.

use std::collections::{BTreeMap, BTreeSet};

use dog::internal::Door;
use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};
use dog_engine::address::{Ticket, View, ViewVersion};
use dog_engine::books::{Books, MemberState};

use crate::expected::ExpectedBooks;
use crate::objects::{Envelope, Object};
use crate::run::Op;

/// The result of a check. The error describes the broken promise. It is not a panic, so that shrinking prints nothing.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// Fails with the formatted text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use ensure;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) limit: Limit,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    pub(crate) epoch: Epoch,
    pub(crate) books: Books,
    pub(crate) expected: ExpectedBooks,
    pub(crate) objects: BTreeMap<ReplicaId, Object>,
    pub(crate) bag: Vec<Envelope>,
    /// The tickets that were given to clients. A used ticket stays here, because it may be used again.
    pub(crate) hands: Vec<Ticket>,
    /// The tickets whose Replica has not joined yet.
    pub(crate) waiting: Vec<Ticket>,
    /// The last view that was sent to siblings.
    pub(crate) told: View,
    /// The last view that was checked.
    pub(crate) seen: (ViewVersion, BTreeSet<ReplicaId>),
    pub(crate) replicas: u8,
    pub(crate) sockets: u64,
}

pub(crate) fn client(number: u8) -> ClientId {
    ClientId::new(format!("client-{number}")).expect("short enough")
}

/// Returns the item of `all` that a number selects, modulo their count.
fn choose<T: Clone>(all: impl IntoIterator<Item = T>, number: u8) -> Option<T> {
    let all: Vec<T> = all.into_iter().collect();
    (!all.is_empty()).then(|| all[usize::from(number) % all.len()].clone())
}

impl World {
    pub(crate) fn new(limit: Limit, policy: Policy) -> Self {
        let epoch = Epoch::from_raw(1);
        let books = Books::new(epoch, limit, policy);
        Self {
            limit,
            now: Timestamp::from_millis(1_000_000),
            epoch,
            told: books.view().clone(),
            seen: (books.view().version, BTreeSet::new()),
            books,
            policy,
            expected: ExpectedBooks::default(),
            objects: BTreeMap::new(),
            bag: Vec::new(),
            hands: Vec::new(),
            waiting: Vec::new(),
            replicas: 0,
            sockets: 0,
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Identify { client: number, refused } => self.identify(&client(number), refused)?,
            Op::Come { ticket } => {
                if let Some(ticket) = choose(self.hands.clone(), ticket) {
                    self.come(&ticket)?;
                }
            }
            Op::Abandon { ticket } => {
                if !self.hands.is_empty() {
                    let ticket = self.hands.swap_remove(usize::from(ticket) % self.hands.len());
                    self.bag.push(Envelope::Release(ticket));
                }
            }
            Op::Open { request } => self.open(request)?,
            Op::End { request } => self.end(request)?,
            Op::Close { socket } => self.close(socket)?,
            Op::Report { replica } => {
                if let Some(replica) = choose(self.alive(), replica) {
                    self.report(replica);
                }
            }
            Op::Deliver { message } => {
                if !self.bag.is_empty() {
                    let message = self.bag.remove(usize::from(message) % self.bag.len());
                    self.deliver(message)?;
                }
            }
            Op::Double { message } => {
                if let Some(message) = choose(self.bag.clone(), message) {
                    self.deliver(message)?;
                }
            }
            Op::Lose { message } => {
                if !self.bag.is_empty() {
                    self.bag.remove(usize::from(message) % self.bag.len());
                }
            }
            Op::Settle => self.settle()?,
            Op::Join { replica } => {
                if let Some(replica) = choose(self.in_state(&[MemberState::Joining]), replica) {
                    self.join(replica)?;
                }
            }
            Op::FailJoin { replica } => {
                if let Some(replica) = choose(self.in_state(&[MemberState::Joining]), replica) {
                    self.fail_join(replica);
                }
            }
            Op::Forget { replica } => {
                if let Some(replica) = choose(self.in_state(&[MemberState::Parked]), replica) {
                    for gone in self.books.forget(&[replica]) {
                        self.expected.remove(gone);
                    }
                    self.expected.remember(self.now);
                }
            }
            Op::Wake { replica } => {
                let asleep = self.objects.iter().filter(|(_, object)| object.life.is_none());
                if let Some(replica) = choose(asleep.map(|(replica, _)| *replica), replica) {
                    self.wake(replica);
                }
            }
            Op::Crash { replica, farewell } => {
                if let Some(replica) = choose(self.alive(), replica) {
                    self.crash(replica, farewell);
                }
            }
            Op::Suspect { replica } => {
                if let Some(replica) = choose(self.objects.keys().copied(), replica) {
                    self.books.suspect(replica);
                }
            }
            Op::Recount { replica } => {
                if let Some(replica) = choose(self.in_state(&[MemberState::Suspected, MemberState::Uncounted]), replica)
                {
                    self.ask_census(replica);
                }
            }
            Op::SetDoor { replica, closes } => {
                if let Some(replica) = choose(self.alive(), replica)
                    && let Some(life) = &mut self.object(replica).life
                {
                    life.set_door(if closes { Door::Closed } else { Door::Open });
                }
            }
            Op::Restart => self.restart(),
            Op::Pass { seconds } => self.pass(self.now + std::time::Duration::from_secs(seconds.into()))?,
            Op::PassToDeadline => {
                if let Some(deadline) = self.books.next_deadline() {
                    self.pass(deadline)?;
                }
            }
        }
        self.tell_siblings();
        self.answer_waiting()
    }

    pub(crate) fn alive(&self) -> Vec<ReplicaId> {
        let alive = self.objects.iter().filter(|(_, object)| object.life.is_some());
        alive.map(|(replica, _)| *replica).collect()
    }

    pub(crate) fn in_state(&self, states: &[MemberState]) -> Vec<ReplicaId> {
        let is_in = |replica: &ReplicaId| self.books.state(*replica).is_some_and(|is| states.contains(&is));
        self.objects.keys().copied().filter(is_in).collect()
    }

    pub(crate) fn object(&mut self, replica: ReplicaId) -> &mut Object {
        self.objects.entry(replica).or_default()
    }

    pub(crate) fn pass(&mut self, until: Timestamp) -> Checked {
        self.now = self.now.max(until);
        for parked in self.books.advance(self.now) {
            self.object(parked).behind = true;
            self.expected.opens(parked);
        }
        self.expected.advance(self.now, self.policy.sticky_for);
        // The result is ignored: the run has its own steps for these questions. The simulation checks that drivers ask
        // them.
        let _ = self.books.to_ask(self.now);
        let next = self.books.next_deadline();
        ensure!(next.is_none_or(|next| next > self.now), "at {:?} the next deadline is {next:?}", self.now);
        Ok(())
    }
}
