//! A Group's life: waking with its books, keeping count.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use dog::{ClientId, Epoch, Group, GroupContext, ReplicaId, Request, Response};

use super::alarms::Alarm;
use super::calls::in_time;
use super::front::{Streams, keep_ours};
use super::idle::{Hibernating, Idle};
use super::life::{Life, Living, answer, start};
use super::looks::Looks;
use super::placing::Seated;
use super::replica::failed;
use super::storing::Store;
use super::waiting::{Queue, Waiting};
use crate::address::{GroupAddress, NodeId, Object, Targets};
use crate::books::{Books, MemberSeats, Totals};
use crate::host::{GroupObject, Host, ObjectStanding, Occurrence};
use crate::message::{Enrolment, GroupAnswer, GroupCall, GroupCast, ReplicaCast, Report};
use crate::repeats::seldom;
use crate::reply::Reply;

/// One life of a user's Group.
pub(super) struct GroupDriver<G: Group, H: Host> {
    pub(super) this: Weak<Self>,
    pub(super) host: Rc<H>,
    pub(super) address: GroupAddress,
    pub(super) epoch: Epoch,
    life: Life<Awake<G>>,
    /// Clients for whom a Replica is being made, or counted.
    pub(super) waiting: RefCell<Queue>,
    /// Questions where a client is, until that is known.
    pub(super) locating: RefCell<Vec<(ClientId, Reply<GroupAnswer>)>>,
    /// Clients that have a seat on a Replica which is joining.
    /// Ordered, so that nothing follows from a hash.
    pub(super) joining: RefCell<BTreeMap<ReplicaId, Vec<Seated>>>,
    /// Members that are to be introduced, and whether others are being introduced.
    pub(super) newcomers: RefCell<Vec<ReplicaId>>,
    pub(super) introducing: Cell<bool>,
    /// How many new Replicas are being named.
    pub(super) growing: Cell<u32>,
    /// Whether the members of earlier lives have been asked for their seats.
    pub(super) census: Cell<bool>,
    pub(super) looks: Looks,
    idle: Idle,
    streams: Streams,
    pub(super) store: Rc<Store<H>>,
    pub(super) alarm: Alarm<H>,
}

/// The user's value, and the books that were opened with its limit and policy.
pub(super) struct Awake<G> {
    pub(super) group: G,
    pub(super) books: RefCell<Books>,
}

impl<G: Group, H: Host> Living for GroupDriver<G, H> {
    type Value = Awake<G>;
    type Host = H;

    fn life(&self) -> &Life<Awake<G>> {
        &self.life
    }

    fn host(&self) -> &Rc<H> {
        &self.host
    }

    fn panicked(&self, what: &str) {
        seldom!(self.host, error, "a Group panicked", group = %self.address, "a panic, so this life of the Group ends: {what}");
        self.end();
    }

    fn task_ended(&self) {
        self.note_idle();
    }
}

impl<G: Group, H: Host> Hibernating for GroupDriver<G, H> {
    fn idle(&self) -> &Idle {
        &self.idle
    }
}

impl<G: Group, H: Host> GroupDriver<G, H> {
    pub(super) fn begin(host: Rc<H>, address: GroupAddress, epoch: Epoch) -> Rc<dyn GroupObject> {
        let object = Object::Group(address);
        let store = Store::new(Rc::clone(&host), object, epoch);
        let alarm = Alarm::new(Rc::clone(&host), object, epoch);
        Rc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            host,
            address,
            epoch,
            life: Life::new(epoch),
            waiting: RefCell::default(),
            locating: RefCell::default(),
            joining: RefCell::default(),
            newcomers: RefCell::default(),
            introducing: Cell::new(false),
            growing: Cell::new(0),
            census: Cell::new(false),
            looks: Looks::default(),
            idle: Idle::default(),
            streams: Streams::default(),
            store,
            alarm,
        })
    }

    pub(super) fn context(&self) -> GroupContext {
        // A method of a driver runs only while somebody holds it.
        GroupContext::new(self.this.upgrade().unwrap_or_else(|| unreachable!("a driver that runs is held")))
    }

    fn wake(self: &Rc<Self>) {
        if !self.life.begin_waking() {
            return;
        }
        let this = Rc::clone(self);
        start(self, async move {
            let activated = in_time(&this.host, G::ACTIVATE_DEADLINE, "Group::activate", this.activate()).await;
            match activated {
                Ok(awake) => {
                    this.life.begin(awake);
                    // Elsewhere when it matters: to wake a Group must not mean to wake all its members.
                    if this.host.profile().liveness.are_timed() {
                        this.take_census();
                    }
                }
                Err(failure) => {
                    this.host.occurred(Occurrence::Failed { handler: "Group::activate", cause: &failure });
                    seldom!(this.host, error, "a Group could not be woken", group = %this.address, "the Group could not be woken: {failure}");
                    this.end();
                }
            }
        });
    }

    async fn activate(self: &Rc<Self>) -> dog::Result<Awake<G>> {
        let records = self.records().await?;
        let group = G::activate(&self.context()).await?;
        let mut books = Books::restore(self.epoch, group.limit(), group.policy(), records);
        books.remember(self.remembered().await?, self.host.now());
        if !self.host.profile().liveness.are_timed() {
            books.watch_on_visits();
        }
        Ok(Awake { group, books: RefCell::new(books) })
    }

    pub(super) fn note_idle(&self) {
        if let Some(this) = self.this.upgrade() {
            self.idle.note(&this, Self::hibernate);
        }
    }

    /// Leaves memory if nobody is seated, promised a seat or remembered, and nobody waits: whatever else is known is
    /// kept on disk. The user's value alone is not let go: it is nothing but the limit and the names. Whether it rests.
    fn hibernate(&self) -> bool {
        let idle = self.life.get().is_some_and(|awake| {
            let totals = awake.books.borrow().totals();
            let waits =
                !self.waiting.borrow().is_empty() || !self.joining.borrow().is_empty() || self.growing.get() > 0;
            let busy = waits || self.alarm.is_ringing() || self.streams.any();
            totals.occupied == 0 && totals.tickets == 0 && totals.clients == 0 && !busy
        });
        // Those that are not parked yet would be counted anew, and the next look will park them.
        let parked = idle && self.life.get().is_some_and(|awake| awake.books.borrow().totals().members == 0);
        if let Some(awake) = self.life.get().filter(|_| parked && self.host.profile().reads_other_objects) {
            let unknown = awake.books.borrow_mut().all_parked();
            self.forget_unused(unknown);
        }
        let settled = self.store.is_settled();
        if parked && !settled {
            self.note_settled();
        }
        if parked && settled && self.life.hibernate() && self.life.end() {
            self.store.end();
            self.host.group_ended(self.address, self.epoch);
        }
        parked
    }

    /// A later life would not read yet all that this one has written: rest is tried again when it would.
    fn note_settled(&self) {
        let (store, this) = (Rc::clone(&self.store), Weak::clone(&self.this));
        self.host.spawn(Box::pin(async move {
            store.settled().await;
            if let Some(this) = this.upgrade().filter(|this| !this.life.has_ended()) {
                this.note_idle();
            }
        }));
    }

    /// Ends this life. The books begin anew from what was kept, and a census.
    fn end(&self) {
        if self.life.end() {
            self.store.end();
            self.alarm.failed();
            drop(self.waiting.borrow_mut().take());
            self.locating.borrow_mut().clear();
            self.joining.borrow_mut().clear();
            self.looks.end();
            self.host.group_ended(self.address, self.epoch);
        }
    }

    fn answer_now(&self, awake: &Awake<G>, call: GroupCall, reply: Reply<GroupAnswer>) {
        match call {
            GroupCall::Identify { client, refused, near } => {
                self.visited(awake);
                self.identify(awake, Waiting { client, refused, near, reply });
            }
            GroupCall::Locate { client } => {
                self.visited(awake);
                self.locate(awake, client, reply);
            }
            GroupCall::Enroll(census) => {
                let enrolment = self.enroll(awake, &census);
                reply.send(Ok(GroupAnswer::Enrolled(enrolment)));
            }
            GroupCall::Parked => {
                let parked = awake.books.borrow().parked().collect();
                reply.send(Ok(GroupAnswer::Parked(parked)));
            }
        }
    }

    /// The books have to be right now, as far as they can be: what was not asked for the sake of time alone is asked.
    fn visited(&self, awake: &Awake<G>) {
        if self.host.profile().liveness.are_timed() {
            return;
        }
        if !self.census.get() {
            self.take_census();
        }
        awake.books.borrow_mut().visited(self.host.now());
        self.plan_look(awake);
    }

    fn enroll(&self, awake: &Awake<G>, census: &Report) -> Enrolment {
        let (replica, known) = (census.replica, awake.books.borrow().view().version);
        awake.books.borrow_mut().enrolled(census, self.host.now());
        if awake.books.borrow().view().version != known {
            self.keep_later(awake, &[replica]);
            self.join(replica);
        }
        let books = awake.books.borrow();
        Enrolment { limit: books.limit(), view: books.view().clone() }
    }

    fn hear(&self, awake: &Awake<G>, cast: GroupCast) {
        let now = self.host.now();
        match cast {
            GroupCast::Report(report) => {
                if self.take_report(awake, &report) {
                    let to = self.one(report.replica);
                    let (epoch, sequence) = (report.epoch, report.sequence);
                    self.host.cast_replicas(&to, ReplicaCast::Acknowledge { epoch, sequence });
                }
            }
            GroupCast::Release(ticket) => awake.books.borrow_mut().release(ticket.id, now),
            GroupCast::Farewell { replica, epoch } => awake.books.borrow_mut().lost(replica, epoch, now),
        }
        self.plan_look(awake);
        self.note_idle();
    }

    pub(super) fn one(&self, replica: ReplicaId) -> Targets {
        Targets { group: self.address, replicas: Arc::new([replica]), except: None }
    }
}

impl<G: Group, H: Host> GroupObject for GroupDriver<G, H> {
    fn fetch(self: Rc<Self>, request: Request, reply: Reply<Response>) {
        self.wake();
        let this = Rc::clone(&self);
        start(&self, async move {
            let awake = match this.life.awake().await {
                Ok(awake) => awake,
                Err(error) => return reply.send(Err(error)),
            };
            let context = this.context();
            let received = awake.group.receive(&context, request);
            answer(reply, async {
                let mut response = received.await.map_err(|failure| {
                    this.host.occurred(Occurrence::Failed { handler: "Group::receive", cause: &failure });
                    seldom!(this.host, error, "a Group's receive failed", group = %this.address, "receive failed: {failure}");
                    failed(&failure)
                })?;
                keep_ours(response.extensions_mut());
                Ok(this.streams.count(response, None))
            })
            .await;
        });
    }

    fn call(self: Rc<Self>, call: GroupCall, reply: Reply<GroupAnswer>) {
        self.wake();
        if let Some(awake) = self.life.get() {
            return self.answer_now(&awake, call, reply);
        }
        let this = Rc::clone(&self);
        start(&self, async move {
            match this.life.awake().await {
                Ok(awake) => this.answer_now(&awake, call, reply),
                Err(error) => reply.send(Err(error)),
            }
        });
    }

    fn cast(self: Rc<Self>, cast: GroupCast) {
        self.wake();
        if let Some(awake) = self.life.get() {
            return self.hear(&awake, cast);
        }
        let this = Rc::clone(&self);
        start(&self, async move {
            if let Ok(awake) = this.life.awake().await {
                this.hear(&awake, cast);
            }
        });
    }

    fn alarm(self: Rc<Self>, attempt: u32) {
        self.wake();
        let this = Rc::clone(&self);
        start(&self, async move {
            let rung = this.alarm.ring(attempt, async || {
                let awake = this.life.awake().await?;
                awake.group.on_alarm(&this.context()).await
            });
            if let Err(failure) = rung.await {
                this.host.occurred(Occurrence::Failed { handler: "Group::on_alarm", cause: &failure });
                seldom!(this.host, error, "a Group's on_alarm failed", group = %this.address, "on_alarm failed, and will be called again: {failure}");
            }
        });
    }

    fn cease(self: Rc<Self>) {
        self.end();
    }

    fn stopping(self: Rc<Self>) {
        self.life.stop();
    }

    fn node_gone(self: Rc<Self>, node: NodeId) {
        let Some(awake) = self.life.get() else { return };
        let there = awake.books.borrow().seated_at(node);
        there.into_iter().for_each(|replica| self.count(&awake, replica));
    }

    fn goodbye(self: Rc<Self>) {
        self.write_clients();
    }

    fn hibernate_now(&self) -> bool {
        self.hibernate()
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn standing(&self) -> ObjectStanding {
        let Some(awake) = self.life.get() else { return ObjectStanding::default() };
        let Totals { tickets, members, parked, .. } = awake.books.borrow().totals();
        ObjectStanding { awake: true, seats: 0, tickets, members, parked }
    }

    fn members(&self) -> Option<Vec<MemberSeats>> {
        Some(self.life.get()?.books.borrow().members())
    }
}
