//! The model world: one Group, its Replicas, the clients' tickets, and the messages between them, driven as a host's
//! drivers would.

use std::collections::{BTreeMap, BTreeSet};

use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};
use dog_engine::address::{Ticket, View, ViewVersion};
use dog_engine::books::{Books, MemberState};
use dog_engine::message::Report;

use crate::ledger::Ledger;
use crate::objects::{Envelope, Life, Object, Truth};
use crate::run::Op;

/// What has gone wrong, in words: an error rather than a panic, so that shrinking is quiet.
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
    pub(crate) ledger: Ledger,
    pub(crate) objects: BTreeMap<ReplicaId, Object>,
    pub(crate) bag: Vec<Envelope>,
    /// Tickets that were answered. One stays here when it is used: its holder may come again.
    pub(crate) hands: Vec<Ticket>,
    /// Tickets whose Replica has not joined yet.
    pub(crate) waiting: Vec<Ticket>,
    /// The last view that siblings were told, or are being told.
    told: View,
    /// The last view that was checked.
    pub(crate) seen: (ViewVersion, BTreeSet<ReplicaId>),
    pub(crate) replicas: u8,
    pub(crate) sockets: u64,
}

pub(crate) fn client(number: u8) -> ClientId {
    ClientId::new(format!("client-{number}")).expect("short enough")
}

/// One of `all`, by a number that may be greater.
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
            ledger: Ledger::default(),
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
                    self.say(replica);
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
                        self.ledger.remove(gone);
                    }
                    self.ledger.remember(self.now);
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

    // ---- lives ----

    fn begin_life(&mut self, replica: ReplicaId) -> Epoch {
        let limit = self.limit;
        let object = self.object(replica);
        object.lives += 1;
        let epoch = Epoch::from_raw(object.lives);
        object.life = Some(Life::begin(replica, epoch, limit));
        epoch
    }

    /// Gives a Replica the Group's latest view.
    fn show_view(&mut self, replica: ReplicaId) {
        let view = self.books.view().clone();
        self.has_view(replica, &view);
    }

    /// A Replica is given a view. One that is parked is not told the next ones.
    fn has_view(&mut self, replica: ReplicaId, view: &View) {
        let is_latest = view.version >= self.books.view().version;
        let parked = self.books.state(replica) == Some(MemberState::Parked);
        let object = self.object(replica);
        object.behind = parked || (object.behind && !is_latest);
        if let Some(life) = &mut object.life {
            life.meet(view);
        }
    }

    /// Begins a life unless there is one. It enrols before anything else.
    pub(crate) fn wake(&mut self, replica: ReplicaId) {
        if self.object(replica).life.is_none() {
            let epoch = self.begin_life(replica);
            let census = self.object(replica).life.as_ref().map(|life| life.seats.census());
            self.books.enrolled(&census.expect("a life that was just begun"), self.now);
            self.ledger.enrolled(replica, epoch);
            self.ledger.remember(self.now);
            self.show_view(replica);
        }
    }

    fn crash(&mut self, replica: ReplicaId, farewell: bool) {
        if let Some(life) = self.object(replica).life.take()
            && farewell
        {
            self.bag.push(Envelope::Farewell(replica, life.epoch));
        }
    }

    pub(crate) fn restart(&mut self) {
        let mut records: Vec<_> = self.books.records().collect();
        records.sort_unstable_by_key(|record| record.replica);
        self.epoch = Epoch::from_raw(self.epoch.as_u64() + 1);
        self.ledger.restart(records.iter().map(|record| record.replica));
        self.books = Books::restore(self.epoch, self.limit, self.policy, records);
        // Whoever waited for an answer gets none.
        self.waiting.clear();
        // A census comes with the view: nobody else need be told it.
        self.told = self.books.view().clone();
        self.ask_uncounted();
    }

    // ---- membership ----

    /// Tells a new view to all that are in it.
    pub(crate) fn tell_siblings(&mut self) {
        let view = self.books.view().clone();
        if view.version == self.told.version {
            return;
        }
        let told = std::mem::replace(&mut self.told, view.clone());
        for member in view.members.iter() {
            if !told.members.contains(member) {
                self.object(*member).announced = view.version;
            }
            self.bag.push(Envelope::Meet(*member, view.clone()));
        }
    }

    /// Ends the joining of a Replica; siblings that have not answered by now are suspected.
    pub(crate) fn join(&mut self, replica: ReplicaId) -> Checked {
        for sibling in self.unaware_of(replica) {
            if self.books.state(sibling) == Some(MemberState::Joining) && !self.object(sibling).behind {
                // It is joining too and has not been told yet: it first.
                return Ok(());
            }
        }
        self.join_at_deadline(replica)
    }

    /// Siblings that live and do not know it.
    fn unaware_of(&mut self, replica: ReplicaId) -> Vec<ReplicaId> {
        let announced = self.object(replica).announced;
        let unaware = |sibling: &ReplicaId| {
            let life = self.objects[sibling].life.as_ref();
            *sibling != replica && life.is_none_or(|life| life.view.version < announced)
        };
        self.alive().into_iter().filter(unaware).collect()
    }

    /// The same when no more is waited for: those that are joining too may not have been told either.
    pub(crate) fn join_at_deadline(&mut self, replica: ReplicaId) -> Checked {
        for sibling in self.unaware_of(replica) {
            self.books.suspect(sibling);
            self.object(sibling).behind = true;
        }
        // The call to join may be what begins the Replica's life.
        if self.object(replica).life.is_none() {
            self.begin_life(replica);
        }
        self.show_view(replica);
        if let Some(life) = &self.objects[&replica].life {
            let census = life.seats.census();
            self.books.joined(&census, self.now);
            self.ledger.report(&census, &life.truth(), false);
        }
        self.ledger.remember(self.now);
        let state = self.books.state(replica);
        ensure!(state == Some(MemberState::Active), "{replica:?} has joined, and its state is {state:?}");
        Ok(())
    }

    fn fail_join(&mut self, replica: ReplicaId) {
        self.object(replica).life = None;
        self.books.remove(replica, self.now);
        self.ledger.remove(replica);
        self.ledger.remember(self.now);
        self.waiting.retain(|ticket| ticket.replica != replica);
    }

    // ---- messages ----

    fn say(&mut self, replica: ReplicaId) {
        if let Some(life) = &self.object(replica).life
            && let Some(report) = life.seats.report()
        {
            let said = Envelope::Report(report, life.truth());
            self.bag.push(said);
        }
    }

    pub(crate) fn ask_census(&mut self, replica: ReplicaId) {
        self.bag.push(Envelope::Census(replica, self.epoch, self.books.view().clone()));
    }

    pub(crate) fn ask_uncounted(&mut self) {
        let mut uncounted = self.books.uncounted();
        // In one order whatever the books' own, so that a run can be repeated.
        uncounted.sort_unstable();
        for replica in uncounted {
            self.ask_census(replica);
        }
    }

    pub(crate) fn deliver(&mut self, message: Envelope) -> Checked {
        match message {
            Envelope::Report(report, truth) => self.hear(&report, &truth)?,
            Envelope::Counted(epoch, report, truth) if epoch == self.epoch => self.hear(&report, &truth)?,
            Envelope::Counted(..) => {}
            Envelope::Release(ticket) => {
                self.books.release(ticket.id, self.now);
                self.ledger.release(ticket.id);
            }
            Envelope::Farewell(replica, epoch) => {
                self.books.lost(replica, epoch, self.now);
                self.ledger.lost(replica, epoch);
            }
            Envelope::Acknowledge(replica, epoch, sequence) => {
                if let Some(life) = &mut self.object(replica).life {
                    life.seats.acknowledge(epoch, sequence);
                }
            }
            Envelope::Meet(replica, view) => {
                self.wake(replica);
                self.has_view(replica, &view);
            }
            Envelope::Census(replica, asked_by, view) => {
                if self.object(replica).life.is_none() {
                    // A life that is begun by a late question knows no more than that says.
                    self.begin_life(replica);
                    self.object(replica).behind = true;
                }
                self.has_view(replica, &view);
                if let Some(life) = &self.object(replica).life {
                    let counted = Envelope::Counted(asked_by, life.seats.census(), life.truth());
                    self.bag.push(counted);
                }
            }
        }
        self.ledger.remember(self.now);
        Ok(())
    }

    fn hear(&mut self, report: &Report, truth: &Truth) -> Checked {
        let replica = report.replica;
        let before = self.books.state(replica);
        let expected = self.ledger.report(report, truth, matches!(before, None | Some(MemberState::Parked)));
        let heard = self.books.report(report, self.now);
        ensure!(heard == expected, "acknowledged: {heard}, not {expected}: {report:?}");
        if heard {
            self.bag.push(Envelope::Acknowledge(replica, report.epoch, report.sequence));
        }
        if before != self.books.state(replica) {
            // Back from suspicion, it may lack what was told meanwhile.
            self.bag.push(Envelope::Meet(replica, self.books.view().clone()));
        }
        Ok(())
    }

    // ---- time ----

    pub(crate) fn pass(&mut self, until: Timestamp) -> Checked {
        self.now = self.now.max(until);
        for parked in self.books.advance(self.now) {
            self.object(parked).behind = true;
        }
        self.ledger.advance(self.now, self.policy.sticky_for);
        // What a driver would ask is asked where a run says so; that it is asked at all, the simulation sees to.
        let _ = self.books.to_ask(self.now);
        let next = self.books.next_deadline();
        ensure!(next.is_none_or(|next| next > self.now), "at {:?} the next deadline is {next:?}", self.now);
        Ok(())
    }
}
