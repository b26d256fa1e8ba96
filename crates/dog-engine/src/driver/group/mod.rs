//! One life of a user's Group.
//!
//! - this file: waking, calls and casts, the timer, hibernation, the end
//! - `placement`: which client gets a seat where; `waiting`: clients that wait for one
//! - `membership`: new Replicas, their introduction, the view, the census; `newcomers`: rounds of introductions
//! - `calls`: typed calls of Replicas and Apps, which the user's `on_call` answers
//! - `open_books`: the books from the moment that the members are read; `verbs`: what the Group does from its books alone;
//!   `verb_queue`: verbs that wait
//! - `publications`: what is published to topics, and the logs that keep it; `confirmations`: whom it has reached
//! - `presence`: who is in the Group; `presence_topics`: how many topics have one; `presence_hooks`: the functions of the user that are
//!   told
//! - `timer`: when the books have to be advanced next
//! - `member_records`: members in the storage; `client_records`: clients in the storage, between two lives of the host
//!
//! What all of this decides is in the [books](crate::books).

mod calls;
mod client_records;
mod confirmations;
mod member_records;
mod membership;
mod newcomers;
mod open_books;
mod placement;
mod presence;
mod presence_hooks;
mod presence_topics;
mod publications;
mod timer;
mod verb_queue;
mod verbs;
mod waiting;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use dog::internal::LocalFuture;
use dog::{Alarm, Epoch, Error, Group, GroupContext, ReplicaId, Request, Response};

use super::calls::user_function_by_deadline;
use super::extensions::keep_engine_extensions;
use super::failures::{UserFunction, public_error, report_failure};
use super::object::{Living, ObjectCore, alarms_due, answer, note_event, start, writes_are_done};
use crate::address::{GroupAddress, NodeId, Object, Targets};
use crate::books::{MemberSeats, Totals};
use crate::host::{GroupObject, Host, ObjectStatus};
use crate::message::{GroupAnswer, GroupCall, GroupCast, ReplicaCast};
use crate::reply::Reply;
use calls::Calls;
use newcomers::Newcomers;
use open_books::{BooksOfLife, OpenBooks};
use presence::PresenceOfLife;
use publications::{Asked, Publications};
use timer::Timer;
use verb_queue::Verbs;
use verbs::Speaks as _;
use waiting::Waiting;

#[cfg(fuzzing)]
pub use client_records::rewrite_clients;
#[cfg(fuzzing)]
pub use member_records::rewrite_record;

/// One life of a user's Group.
pub(super) struct GroupDriver<G: Group, H: Host> {
    this: Weak<Self>,
    core: ObjectCore<Awake<G>, H>,
    address: GroupAddress,
    books: BooksOfLife,
    verbs: Verbs,
    waiting: RefCell<Waiting>,
    newcomers: RefCell<Newcomers>,
    calls: Rc<Calls>,
    publications: Publications,
    presence: PresenceOfLife,
    /// Whether the members of earlier lives were asked for their seats.
    census_taken: Cell<bool>,
    timer: Timer,
}

/// The user's value, and the books with its limit and policy.
pub(super) struct Awake<G> {
    group: G,
    books: OpenBooks,
}

impl<G: Group, H: Host> Living for GroupDriver<G, H> {
    type Value = Awake<G>;
    type Host = H;

    const ON_ALARM: UserFunction = UserFunction::GroupOnAlarm;

    fn core(&self) -> &ObjectCore<Awake<G>, H> {
        &self.core
    }

    fn awaken(self: &Rc<Self>) -> LocalFuture<Result<(), Error>> {
        let woken = self.woken();
        Box::pin(async move { woken.await.map(drop) })
    }

    fn on_alarm(self: &Rc<Self>, alarm: Alarm) -> LocalFuture<dog::Result> {
        let this = Rc::clone(self);
        Box::pin(async move {
            let awake = this.core.life().awake().await?;
            awake.group.on_alarm(&this.context(), alarm).await
        })
    }

    /// The next life restores its books from the stored members and a census.
    fn end(&self) {
        if self.core.end() {
            self.leave();
        }
    }

    /// Leaves memory if the books hold no seat, ticket or client, and nothing waits: everything else is stored. The user's
    /// value does not leave memory before the books, because it holds no more than the limit and the names.
    fn hibernate(self: &Rc<Self>) -> bool {
        let Some(awake) = self.core.life().get() else { return verbs::leave_memory(self) };
        let totals = awake.books.borrow().totals();
        let waits =
            !self.waiting.borrow().is_empty() || self.newcomers.borrow().any_named() || !self.core.life().is_idle();
        let waits = waits || !self.verbs.are_done() || self.publications.are_kept(self.host().now());
        let waits = waits || self.presence.is_needed();
        let busy = waits || self.core.store().alarms_are_busy() || self.core.streams().any();
        // A member that is not parked would have to be counted by the next life. The timer will park it.
        if busy || totals.occupied > 0 || totals.tickets > 0 || totals.clients > 0 || totals.members > 0 {
            return false;
        }
        if self.host().profile().reads_other_objects {
            let unknown = awake.books.borrow_mut().all_unexamined();
            self.forget_unused(unknown);
        }
        drop(awake);
        if writes_are_done(self) && self.core.life().hibernate() && self.core.leave_memory() {
            self.host().group_ended(self.address, self.core.epoch());
        }
        true
    }
}

impl<G: Group, H: Host> GroupDriver<G, H> {
    pub(super) fn begin(host: Rc<H>, address: GroupAddress, epoch: Epoch) -> Rc<dyn GroupObject> {
        Rc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            core: ObjectCore::new(host, Object::Group(address), epoch),
            address,
            books: BooksOfLife::default(),
            verbs: Verbs::default(),
            waiting: RefCell::default(),
            newcomers: RefCell::default(),
            calls: Rc::default(),
            publications: Publications::default(),
            presence: PresenceOfLife::default(),
            census_taken: Cell::new(false),
            timer: Timer::default(),
        })
    }

    fn host(&self) -> &Rc<H> {
        self.core.host()
    }

    fn context(&self) -> GroupContext {
        // A method of a driver runs only while somebody holds the driver.
        GroupContext::new(self.this.upgrade().unwrap_or_else(|| unreachable!("a driver that runs is held")))
    }

    fn one(&self, replica: ReplicaId) -> Targets {
        Targets { group: self.address, replicas: Arc::new([replica]), except: None }
    }

    /// Wakes the Group. Completes when it is awake, or could not be woken.
    fn woken(self: &Rc<Self>) -> impl Future<Output = Result<Rc<Awake<G>>, Error>> + use<G, H> {
        let attempt = self.core.life().attempt();
        self.wake();
        let this = Rc::clone(self);
        async move { this.core.life().awake_in(attempt).await }
    }

    fn wake(self: &Rc<Self>) {
        if !self.core.life().begin_waking() {
            return;
        }
        let this = Rc::clone(self);
        start(self, async move {
            let (deadline, name) = (G::ACTIVATE_DEADLINE, UserFunction::GroupActivate.name());
            match user_function_by_deadline(this.host(), deadline, name, this.activate()).await {
                Ok(awake) => {
                    let books = Rc::clone(&awake.books);
                    this.core.life().begin(awake);
                    presence::begin(&this, books.borrow().policy());
                    // Otherwise the census waits until it matters: to wake a Group must not mean to wake all its members.
                    let matters = !this.verbs.are_done() || this.presence.is_on();
                    if this.host().profile().liveness.are_timed() || matters {
                        this.take_census();
                    }
                    presence::members_were_counted(&this);
                    verbs::run_waiting(&this, &books);
                }
                Err(failure) => {
                    this.report_failure(UserFunction::GroupActivate, &failure);
                    // The verbs need only the books.
                    if this.verbs.are_done() { this.end() } else { this.core.life().give_up_waking() }
                }
            }
        });
    }

    async fn activate(self: &Rc<Self>) -> dog::Result<Awake<G>> {
        let books = self.open_books().await?;
        let group = G::activate(&self.context()).await?;
        let clients = client_records::load(Rc::clone(self.host()), self.address, self.core.epoch()).await?;
        let mut open = books.borrow_mut();
        open.configure(group.limit(), group.policy());
        open.restore_clients(clients, self.host().now());
        if self.host().profile().liveness.are_timed() {
            open.check_by_timer();
        }
        drop(open);
        Ok(Awake { group, books })
    }

    fn report_failure(&self, function: UserFunction, failure: &dog::Failure) {
        report_failure(&**self.host(), function, Some(self.core.object()), None, failure);
    }

    fn note_event(&self) {
        if let Some(this) = self.this.upgrade() {
            note_event(&this);
        }
    }

    fn cast_while_awake(&self, awake: &Awake<G>, cast: GroupCast) {
        let now = self.host().now();
        match cast {
            GroupCast::Report(report) => {
                if self.take_report(&awake.books, &report) {
                    let to = self.one(report.replica);
                    let (epoch, sequence) = (report.epoch, report.sequence);
                    self.host().cast_replicas(&to, ReplicaCast::Acknowledge { epoch, sequence });
                }
            }
            GroupCast::Release(ticket) => awake.books.borrow_mut().release(ticket.id, now),
            GroupCast::Farewell { replica, epoch } => {
                awake.books.borrow_mut().lost(replica, epoch, now);
                self.publications.forget(replica);
                self.this.upgrade().iter().for_each(|this| presence::lost(this, replica, epoch));
            }
            GroupCast::AcknowledgeLog(acknowledgement) => self.publications.acknowledged(&acknowledgement, now),
            GroupCast::AcknowledgePresence(_, acknowledgement) => {
                self.this.upgrade().iter().for_each(|this| presence::acknowledged(this, acknowledgement));
            }
            // They need no value, so they have not come here.
            GroupCast::Broadcast(_) | GroupCast::BroadcastTo { .. } => {}
        }
        self.schedule_timer(&awake.books);
        self.note_event();
    }
}

impl<G: Group, H: Host> GroupObject for GroupDriver<G, H> {
    fn fetch(self: Rc<Self>, request: Request, reply: Reply<Response>) {
        let (this, woken) = (Rc::clone(&self), self.woken());
        start(&self, async move {
            let awake = match woken.await {
                Ok(awake) => awake,
                Err(error) => return reply.send(Err(error)),
            };
            let context = this.context();
            let received = awake.group.receive(&context, request);
            answer(reply, async {
                let mut response = received.await.map_err(|failure| {
                    this.report_failure(UserFunction::GroupReceive, &failure);
                    public_error(&failure)
                })?;
                keep_engine_extensions(response.extensions_mut());
                Ok(this.core.streams().count(response, None))
            })
            .await;
        });
    }

    fn call(self: Rc<Self>, call: GroupCall, reply: Reply<GroupAnswer>) {
        let call = match call {
            GroupCall::Verb(verb) if presence::is_about_presence(&verb) => {
                return presence::verb(&self, |this| Box::pin(this.woken()), verb, reply);
            }
            GroupCall::Verb(verb) => return verbs::call(&self, verb, reply),
            call => call,
        };
        let (this, woken) = (Rc::clone(&self), self.woken());
        let call = match call {
            GroupCall::Log { verb, within } => {
                let asked = Asked::Verb(verb, (self.host().now(), within));
                return publications::call(&self, woken, asked, reply);
            }
            GroupCall::Missed(call) => return publications::call(&self, woken, Asked::Missed(call), reply),
            GroupCall::Tail(call) => return publications::call(&self, woken, Asked::Tail(call), reply),
            call => call,
        };
        if let GroupCall::Call { call, within } = call {
            let context = self.context();
            let on_call = async move |awake: Rc<Awake<G>>, call| awake.group.on_call(&context, call).await;
            let deadline = |awake: &Awake<G>| awake.books.borrow().policy().call_deadline;
            return self.calls.begin(&self, woken, (call, within), reply, deadline, on_call);
        }
        if let Some(awake) = self.core.life().get() {
            let admitted = self.waiting.borrow().check(&call);
            return match admitted {
                Ok(()) => self.call_while_awake(&awake, call, reply),
                Err(error) => reply.send(Err(error)),
            };
        }
        let admitted = self.waiting.borrow_mut().wait_for_value(&call);
        if let Err(error) = admitted {
            return reply.send(Err(error));
        }
        start(&self, async move {
            let woken = woken.await;
            this.waiting.borrow_mut().has_value(&call);
            match woken {
                Ok(awake) => this.call_while_awake(&awake, call, reply),
                Err(error) => reply.send(Err(error)),
            }
        });
    }

    fn cast(self: Rc<Self>, cast: GroupCast) {
        let cast = match cast {
            GroupCast::Broadcast(message) => return verbs::cast(&self, None, message),
            GroupCast::BroadcastTo { topic, message } => return verbs::cast(&self, Some(topic), message),
            cast => cast,
        };
        let (this, woken) = (Rc::clone(&self), self.woken());
        if let Some(awake) = self.core.life().get() {
            return self.cast_while_awake(&awake, cast);
        }
        start(&self, async move {
            if let Ok(awake) = woken.await {
                this.cast_while_awake(&awake, cast);
            }
        });
    }

    fn alarms_due(self: Rc<Self>) {
        alarms_due(&self);
    }

    fn cease(self: Rc<Self>) {
        if self.core.cease() {
            self.leave();
        }
    }

    fn stopping(self: Rc<Self>) {
        self.core.life().stop();
    }

    fn node_gone(self: Rc<Self>, node: NodeId) {
        let Some(books) = self.books.get() else { return };
        let there = books.borrow().seated_at(node);
        there.into_iter().for_each(|replica| self.count_member(&books, replica));
    }

    fn goodbye(self: Rc<Self>) {
        let Some(awake) = self.core.life().get() else { return };
        let clients = awake.books.borrow().client_records(self.host().now());
        if let Some(stored) = client_records::store(self.host(), self.address, self.core.epoch(), &clients) {
            start(&self, stored);
        }
    }

    fn hibernate_now(&self) -> bool {
        self.this.upgrade().is_some_and(|this| this.hibernate())
    }

    fn epoch(&self) -> Epoch {
        self.core.epoch()
    }

    fn status(&self) -> ObjectStatus {
        let Some(awake) = self.core.life().get() else { return ObjectStatus::default() };
        let Totals { tickets, members, parked, .. } = awake.books.borrow().totals();
        ObjectStatus { awake: true, seats: 0, tickets, members, parked }
    }

    fn members(&self) -> Option<Vec<MemberSeats>> {
        Some(self.core.life().get()?.books.borrow().members())
    }
}
