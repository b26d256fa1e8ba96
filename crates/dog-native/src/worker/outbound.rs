//! [`Outbound`]: mail that objects of this worker send to each other and to other workers. It also knows which other
//! workers are overloaded.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use dog::internal::Kind;
use dog::{Error, ReplicaId};
use dog_engine::address::{GroupAddress, NodeId, Object, ReplicaAddress};
use dog_engine::message::ReplicaCall;
use tracing::Span;

use super::turn_state::TurnState;
use crate::mail::{Answer, Mail, ReplicaCalls};
use crate::metrics::counters::Counters;
use crate::post::{FULL, OVERFULL, Post};

/// After this many checks in a row (1 s) in which an overloaded worker took no mail, its senders are no longer held
/// back: probably a handler blocks its thread.
const STUCK: u8 = 20;

/// The most Replicas that one piece of mail calls. A worker handles a piece of mail without a pause, so this limits how long
/// its turn lasts.
const CALLS_AT_ONCE: usize = 64;

/// The mail queues of one worker.
pub(super) struct Outbound {
    index: usize,
    post: Post,
    counters: Rc<Counters>,
    turn: Rc<TurnState>,
    /// Mail of this turn for this worker.
    local: RefCell<VecDeque<Mail>>,
    local_weight: Cell<usize>,
    /// Mail for each other worker. It is posted at the end of the turn at the latest.
    remote: RefCell<Vec<Vec<Mail>>>,
    remote_weight: Cell<usize>,
    full: RefCell<Vec<Option<Full>>>,
    any_full: Cell<bool>,
    /// Whether mail was sent to an overloaded worker since this was last taken.
    met_full: Cell<bool>,
}

/// The state of an overloaded worker.
struct Full {
    /// See [`Post::taken`].
    taken: usize,
    /// Checks in a row in which it took no mail.
    idle_checks: u8,
}

impl Outbound {
    pub(super) fn new(index: usize, post: Post, counters: Rc<Counters>, turn: Rc<TurnState>) -> Self {
        let workers = post.workers();
        Self {
            index,
            post,
            counters,
            turn,
            local: RefCell::default(),
            local_weight: Cell::new(0),
            remote: RefCell::new((0..workers).map(|_| Vec::new()).collect()),
            remote_weight: Cell::new(0),
            full: RefCell::new((0..workers).map(|_| None).collect()),
            any_full: Cell::new(false),
            met_full: Cell::new(false),
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.post.workers()
    }

    /// Returns the index of this worker.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Returns the home worker of an object in this process.
    pub(super) fn home(&self, object: Object) -> usize {
        self.post.worker_of(object.id())
    }

    /// Notes that something was queued: the loop must take another turn.
    pub(super) fn queued(&self) {
        self.turn.queued();
    }

    /// Sends mail to any worker, including this one. It arrives after all mail that was sent to that worker before. If
    /// far too much is queued there, the mail is refused.
    pub(super) fn send(&self, worker: usize, mail: Mail) {
        let weight = mail.weight();
        if worker == self.index {
            let queued = self.local_weight.get() + weight;
            if queued > OVERFULL && mail.may_be_refused() {
                return self.refuse(mail);
            }
            self.local_weight.set(queued);
            self.local.borrow_mut().push_back(mail);
        } else {
            if self.any_full.get() && self.is_refused_by(worker, &mail) {
                return self.refuse(mail);
            }
            self.remote_weight.set(self.remote_weight.get() + weight);
            self.remote.borrow_mut()[worker].push(mail);
        }
        self.turn.queued();
    }

    fn is_refused_by(&self, worker: usize, mail: &Mail) -> bool {
        let full = self.full.borrow();
        let Some(full) = &full[worker] else { return false };
        self.met_full.set(self.met_full.get() || full.idle_checks < STUCK);
        self.post.backlog(worker) > OVERFULL && mail.may_be_refused()
    }

    /// Refuses mail because too much is queued. If it is a call, its caller gets an error. A caller on another node
    /// gets none, but its call has a deadline.
    pub(super) fn refuse(&self, mail: Mail) {
        if let Mail::ReplicaCalls(calls) = mail {
            return calls.into_each().for_each(|mail| self.refuse(mail));
        }
        self.counters.mail_refused.one();
        if let Some(back) = mail.into_return_address().filter(|back| back.node == NodeId::default()) {
            let error = Error::new(Kind::Unreachable, "too much is queued for the object: try again later");
            self.answer(back.worker, back.call, Err(error));
        }
    }

    /// Makes the same call to Replicas of this process, each with the number of its call. Each worker gets one piece of mail
    /// for up to [`CALLS_AT_ONCE`] of its Replicas.
    pub(super) fn call_all(&self, group: GroupAddress, call: &ReplicaCall, to: Vec<(ReplicaId, u64)>) {
        let mut by_worker = vec![Vec::new(); self.workers()];
        for (replica, number) in to {
            by_worker[self.home(Object::Replica(ReplicaAddress { group, replica }))].push((replica, number));
        }
        for (worker, to) in by_worker.iter().enumerate() {
            for to in to.chunks(CALLS_AT_ONCE).map(<[_]>::to_vec) {
                let calls = ReplicaCalls { group, call: call.clone(), to, worker: self.index, span: Span::current() };
                self.send(worker, Mail::ReplicaCalls(Box::new(calls)));
            }
        }
    }

    /// Answers a call of a worker of this process.
    pub(super) fn answer(&self, worker: usize, call: u64, answer: Result<Answer, Error>) {
        self.send(worker, Mail::Answer { call, answer });
    }

    /// Sends mail to every other worker at once.
    pub(super) fn tell_others(&self, mail: impl Fn() -> Mail) {
        for worker in (0..self.workers()).filter(|worker| *worker != self.index) {
            self.post.send(worker, vec![mail()]);
        }
    }

    /// Returns the next piece of mail for this worker.
    pub(super) fn take_local(&self) -> Option<Mail> {
        let mail = self.local.borrow_mut().pop_front()?;
        self.local_weight.set(self.local_weight.get() - mail.weight());
        Some(mail)
    }

    pub(super) fn has_local(&self) -> bool {
        !self.local.borrow().is_empty()
    }

    /// Returns whether so much mail is queued for this worker that it should not read sockets, which would cause more.
    pub(super) fn is_behind(&self) -> bool {
        self.local_weight.get() > FULL
    }

    /// Returns whether so much mail is queued for other workers that it should be posted before the end of the turn.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.remote_weight.get() > FULL / 4
    }

    /// Posts the mail that is queued for other workers. It is called before every few writes, so it must cost almost
    /// nothing if there is no mail.
    #[inline]
    pub(super) fn post(&self) {
        if self.remote_weight.get() > 0 {
            self.post_all();
        }
    }

    #[inline(never)]
    fn post_all(&self) {
        self.remote_weight.set(0);
        let mut remote = self.remote.borrow_mut();
        for (worker, mail) in remote.iter_mut().enumerate().filter(|(_, mail)| !mail.is_empty()) {
            let waits = self.post.send_counted(worker, std::mem::take(mail));
            if waits > FULL && self.full.borrow()[worker].is_none() && self.post.await_room(worker) {
                self.set_full(worker, Some(Full { taken: self.post.taken(worker), idle_checks: 0 }));
            }
        }
    }

    fn set_full(&self, worker: usize, full: Option<Full>) {
        let mut all = self.full.borrow_mut();
        all[worker] = full;
        self.any_full.set(all.iter().any(Option::is_some));
    }

    /// Notes that another worker has room again.
    pub(super) fn has_room(&self, worker: usize) {
        self.set_full(worker, None);
    }

    /// Returns whether any worker is overloaded.
    #[inline]
    pub(super) fn any_full(&self) -> bool {
        self.any_full.get()
    }

    /// Checks whether the overloaded workers take any mail.
    pub(super) fn check_full(&self) {
        for (worker, full) in self.full.borrow_mut().iter_mut().enumerate() {
            let Some(full) = full else { continue };
            let taken = self.post.taken(worker);
            full.idle_checks = if taken == full.taken { full.idle_checks.saturating_add(1) } else { 0 };
            full.taken = taken;
        }
    }

    /// Returns whether mail was sent to an overloaded worker since this was last taken.
    #[inline]
    pub(super) fn met_full(&self) -> bool {
        self.met_full.get()
    }

    #[inline]
    pub(super) fn take_met_full(&self) -> bool {
        self.met_full.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dog::{Message, ReplicaId};
    use dog_engine::address::{ClassIndex, GroupAddress, Targets};
    use dog_engine::message::{Delivery, ReplicaCast};

    use super::*;
    use crate::mail::ReturnAddress;
    use crate::post::Mailbox;

    fn outbound() -> (Outbound, Vec<Mailbox>) {
        let (post, mailboxes) = Post::new(2);
        (Outbound::new(0, post, Rc::default(), Rc::new(TurnState::new())), mailboxes)
    }

    fn group() -> GroupAddress {
        GroupAddress { class: ClassIndex(0), group: dog::GroupId::from_name("class", "a") }
    }

    fn message(length: usize) -> Mail {
        let to = Targets { group: group(), replicas: Arc::new([ReplicaId::from_name("room", "1")]), except: None };
        let cast = ReplicaCast::Deliver(Delivery { message: Message::binary(vec![7; length]), except: None });
        Mail::ReplicaCast { to, cast }
    }

    #[test]
    fn mail_for_this_worker_comes_in_order_and_counts_until_it_is_taken() {
        let (outbound, _mailboxes) = outbound();
        outbound.send(0, message(FULL));
        outbound.send(0, Mail::CheckDrain);
        assert!(outbound.is_behind() && outbound.has_local());
        assert!(matches!(outbound.take_local(), Some(Mail::ReplicaCast { .. })));
        assert!(!outbound.is_behind());
        assert!(matches!(outbound.take_local(), Some(Mail::CheckDrain)));
        assert!(outbound.take_local().is_none() && !outbound.has_local());
    }

    #[test]
    fn mail_for_another_worker_waits_until_it_is_posted() {
        let (outbound, mut mailboxes) = outbound();
        outbound.send(1, message(FULL / 2));
        assert!(outbound.is_full() && mailboxes[1].next().is_none());
        outbound.post();
        assert!(!outbound.is_full() && mailboxes[1].next().is_some());
    }

    #[test]
    fn a_worker_is_full_until_it_has_taken_what_waits_for_it() {
        let (outbound, mut mailboxes) = outbound();
        outbound.send(1, message(2 * FULL));
        outbound.post();
        assert!(outbound.any_full() && !outbound.met_full());
        outbound.send(1, message(1));
        assert!(outbound.take_met_full() && !outbound.met_full(), "its sender must wait");
        while mailboxes[1].next().is_some() {}
        assert!(matches!(mailboxes[0].next(), Some(Mail::HasRoom { worker: 1 })));
        outbound.has_room(1);
        outbound.send(1, message(1));
        assert!(!outbound.any_full() && !outbound.met_full());
    }

    #[test]
    fn nobody_waits_for_a_worker_that_does_nothing_for_long() {
        let (outbound, _mailboxes) = outbound();
        outbound.send(1, message(2 * FULL));
        outbound.post();
        (0..STUCK).for_each(|_| outbound.check_full());
        outbound.send(1, message(1));
        assert!(outbound.any_full() && !outbound.met_full());
    }

    #[test]
    fn a_call_that_is_refused_is_answered_with_an_error() {
        let (outbound, _mailboxes) = outbound();
        let call = dog_engine::message::GroupCall::Parked;
        outbound.refuse(Mail::GroupCall { to: group(), call, back: ReturnAddress::here(0, 7) });
        let Some(Mail::Answer { call: 7, answer: Err(error) }) = outbound.take_local() else { panic!("no answer") };
        assert!(error.is_unreachable(), "{error}");
    }

    /// Takes the mail that waits for the other worker, after it was posted.
    fn posted(outbound: &Outbound, mailbox: &mut Mailbox) -> Vec<Mail> {
        outbound.post();
        std::iter::from_fn(|| mailbox.next()).collect()
    }

    #[test]
    fn the_same_call_to_many_replicas_is_one_piece_of_mail_per_worker() {
        let (outbound, mut mailboxes) = outbound();
        let replicas: Vec<_> = (0..50).map(|number| (address(number).replica, number)).collect();
        outbound.call_all(group(), &ReplicaCall::Gossip("who".into()), replicas.clone());
        let here = outbound.take_local();
        assert!(outbound.take_local().is_none());
        let mail = here.into_iter().chain(posted(&outbound, &mut mailboxes[1]));
        let calls: Vec<ReplicaCalls> = mail
            .map(|mail| match mail {
                Mail::ReplicaCalls(calls) => *calls,
                _ => panic!("other mail"),
            })
            .collect();
        assert_eq!(calls.len(), 2);
        let mut called: Vec<_> = calls.iter().flat_map(|calls| calls.to.clone()).collect();
        called.sort_by_key(|(_, number)| *number);
        assert_eq!(called, replicas);
    }

    #[test]
    fn a_piece_of_mail_calls_no_more_replicas_than_a_turn_has_time_for() {
        let (outbound, _mailboxes) = outbound();
        let here = |number: &u64| outbound.home(Object::Replica(address(*number))) == 0;
        let to = (0..).filter(here).take(CALLS_AT_ONCE + 1).map(|number| (address(number).replica, number)).collect();
        outbound.call_all(group(), &ReplicaCall::Gossip("who".into()), to);
        let lengths: Vec<_> = std::iter::from_fn(|| outbound.take_local())
            .map(|mail| if let Mail::ReplicaCalls(calls) = mail { calls.to.len() } else { 0 })
            .collect();
        assert_eq!(lengths, [CALLS_AT_ONCE, 1]);
    }

    #[test]
    fn calls_that_are_refused_together_are_answered_one_by_one() {
        let (outbound, _mailboxes) = outbound();
        let to = (0..3).map(|number| (address(number).replica, number)).collect();
        let calls =
            ReplicaCalls { group: group(), call: ReplicaCall::Gossip("who".into()), to, worker: 0, span: Span::none() };
        outbound.refuse(Mail::ReplicaCalls(Box::new(calls)));
        let answered: Vec<_> = std::iter::from_fn(|| outbound.take_local())
            .map(|mail| if let Mail::Answer { call, answer: Err(_) } = mail { call } else { u64::MAX })
            .collect();
        assert_eq!(answered, [0, 1, 2]);
    }

    fn address(number: u64) -> ReplicaAddress {
        ReplicaAddress { group: group(), replica: ReplicaId::from_name("room", &number.to_string()) }
    }
}
