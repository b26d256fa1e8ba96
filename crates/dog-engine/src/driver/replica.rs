//! A Replica's life: waking, requests, calls, the end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use dog::http::StatusCode;
use dog::internal::Kind;
use dog::{CloseCode, Context, Epoch, Error, Group, Limit, Message, Replica, Request, Response, SocketId};

use super::alarms::Alarm;
use super::calls::{ANSWER_DEADLINE, by_deadline, in_time, unexpected};
use super::front::{Streams, Upgrade, keep_ours};
use super::gossip::Parked;
use super::idle::{Hibernating, Idle};
use super::life::{Life, Living, answer, start};
use super::replica_port::Port;
use super::sockets::{Attached, By, Turn};
use super::storing::Store;
use super::telling::Telling;
use crate::address::{Object, ReplicaAddress, SeatId, Targets, Ticket, View};
use crate::host::{End, Fetched, Host, ObjectStanding, Occurrence, Readiness, ReplicaObject};
use crate::message::{Enrolment, GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use crate::repeats::seldom;
use crate::reply::Reply;
use crate::seats::Seats;

/// Marks a request that has a seat. Of a private type, so that nothing from outside can carry one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seated(pub(super) SeatId);

/// One life of a user's Replica.
pub(super) struct ReplicaDriver<R: Replica, H: Host> {
    pub(super) this: Weak<Self>,
    pub(super) host: Rc<H>,
    pub(super) address: ReplicaAddress,
    pub(super) epoch: Epoch,
    life: Life<R>,
    /// Whether the Group has said who the siblings are and what the limit is.
    enrolled: Cell<bool>,
    pub(super) seats: RefCell<Seats>,
    pub(super) view: RefCell<View>,
    pub(super) parked: Parked,
    /// Sockets whose handler runs now; all others are at rest and cost nothing here.
    pub(super) turns: RefCell<HashMap<SocketId, Turn>>,
    pub(super) telling: Telling,
    pub(super) idle: Idle,
    /// What the present value's code stands on, once it has been given to it.
    port: RefCell<Option<Rc<Port<R, H>>>>,
    streams: Streams,
    pub(super) store: Rc<Store<H>>,
    /// Whether the end of what is being written is waited for, to rest then.
    settling: Cell<bool>,
    pub(super) alarm: Alarm<H>,
}

impl<R: Replica, H: Host> Living for ReplicaDriver<R, H> {
    type Value = R;
    type Host = H;

    fn life(&self) -> &Life<R> {
        &self.life
    }

    fn host(&self) -> &Rc<H> {
        &self.host
    }

    fn panicked(&self, what: &str) {
        seldom!(self.host, error, "a handler panicked", replica = %self.address, "a handler panicked, so this life of the Replica ends: {what}");
        self.end();
    }

    fn task_ended(&self) {
        let Some(this) = self.this.upgrade() else { return };
        self.idle.note(&this, Self::hibernate);
    }
}

impl<R: Replica, H: Host> Hibernating for ReplicaDriver<R, H> {
    fn idle(&self) -> &Idle {
        &self.idle
    }
}

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    pub(super) fn begin(host: Rc<H>, address: ReplicaAddress, epoch: Epoch) -> Rc<dyn ReplicaObject> {
        // Until the Group has said the limit no request is let in, so this one is never gone by.
        let mut seats = Seats::new(address.replica, epoch, Limit::new(1)).at(host.node());
        for (socket, client) in host.sockets(address) {
            seats.reopen(socket, &client);
        }
        let object = Object::Replica(address);
        let store = Store::new(Rc::clone(&host), object, epoch);
        let alarm = Alarm::new(Rc::clone(&host), object, epoch);
        Rc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            host,
            address,
            epoch,
            life: Life::new(epoch),
            enrolled: Cell::new(false),
            seats: RefCell::new(seats),
            view: RefCell::default(),
            parked: Parked::default(),
            turns: RefCell::default(),
            telling: Telling::default(),
            idle: Idle::default(),
            port: RefCell::default(),
            streams: Streams::default(),
            store,
            settling: Cell::new(false),
            alarm,
        })
    }

    pub(super) fn context(&self) -> Context<R> {
        Context::new(self.port())
    }

    pub(super) fn port(&self) -> Rc<dyn dog::internal::ReplicaPort> {
        let mut port = self.port.borrow_mut();
        let present = port.take_if(|port| !port.is_over());
        let present = present.unwrap_or_else(|| Rc::new(Port::new(self, self.life.activation())));
        Rc::<Port<R, H>>::clone(port.insert(present))
    }

    /// All siblings, this Replica left out.
    pub(super) fn siblings(&self) -> Targets {
        Targets {
            group: self.address.group,
            replicas: Arc::clone(&self.view.borrow().members),
            except: Some(self.address.replica),
        }
    }

    /// The user's value, woken if it rests.
    pub(super) async fn awake(&self) -> Result<Rc<R>, Error> {
        if self.life.begin_waking() {
            self.wake();
        }
        self.life.awake().await
    }

    fn wake(&self) {
        let Some(this) = self.this.upgrade() else { return };
        start(&Rc::clone(&this), async move {
            if let Err(error) = this.activate().await {
                this.host.occurred(Occurrence::Failed { handler: "activate", cause: &error });
                seldom!(this.host, error, "a Replica could not be woken", replica = %this.address, "the Replica could not be woken: {error}");
                this.end();
            }
        });
    }

    async fn activate(&self) -> dog::Result {
        if !self.enrolled.get() {
            let call = GroupCall::Enroll(self.seats.borrow().census());
            let answer = self.host.call_group(self.address.group, call);
            match by_deadline(&self.host, ANSWER_DEADLINE, answer).await? {
                GroupAnswer::Enrolled(enrolment) => self.enrol(enrolment),
                _ => return Err(unexpected().into()),
            }
        }
        let context = self.context();
        let activated = in_time(&self.host, R::Group::ACTIVATE_DEADLINE, "activate", R::activate(&context)).await?;
        self.life.begin(activated);
        Ok(())
    }

    pub(super) fn enrol(&self, enrolment: Enrolment) {
        self.enrolled.set(true);
        self.seats.borrow_mut().set_limit(enrolment.limit);
        self.meet(enrolment.view);
    }

    /// Views may come late or twice: only a later one counts.
    pub(super) fn meet(&self, view: View) {
        self.telling.heard(self.host.now());
        let mut known = self.view.borrow_mut();
        if view.version > known.version {
            *known = view;
        }
    }

    /// Lets the user's value go; its sockets, attachments and storage stay, and the next event wakes it. Without anyone
    /// seated, and with nothing that the Group has not heard, all of it leaves memory. Whether it rests.
    pub(super) fn hibernate(&self) -> bool {
        if !self.turns.borrow().is_empty() || self.streams.any() || !self.life.hibernate() {
            return false;
        }
        let forgettable = {
            let seats = self.seats.borrow();
            seats.occupied() == 0 && seats.report().is_none() && !self.alarm.is_ringing()
        };
        // What the value did when it was dropped may still be to be handled.
        if forgettable && self.life.is_idle() && self.is_settled() && self.life.end() {
            self.store.end();
            self.host.replica_ended(self.address, self.epoch);
        }
        true
    }

    /// The Group has heard of something. If that was the end of the last seat, only the news of it may have kept this in
    /// memory.
    fn note_told(&self) {
        let is_told = self.seats.borrow().occupied() == 0 && self.seats.borrow().report().is_none();
        if let Some(this) = self.this.upgrade().filter(|_| is_told) {
            self.idle.watch(&this, Self::hibernate);
        }
    }

    /// Whether a later life would read all that this one has written. If not, rest is tried again when it would.
    fn is_settled(&self) -> bool {
        let settled = self.store.is_settled();
        if !settled && !self.settling.replace(true) {
            let (store, this) = (Rc::clone(&self.store), Weak::clone(&self.this));
            self.host.spawn(Box::pin(async move {
                store.settled().await;
                if let Some(this) = this.upgrade().filter(|this| !this.life.has_ended()) {
                    this.settling.set(false);
                    this.idle.note(&this, Self::hibernate);
                }
            }));
        }
        settled
    }

    /// Ends this life: all sockets are closed, the Group hears of it, whoever waits for an answer gets none.
    fn end(&self) {
        if self.end_with(CloseCode::HANDLER_FAILED) {
            // Which tickets were used, lest the Group wait for those who came with them.
            let unheard = self.seats.borrow().report();
            unheard.into_iter().for_each(|report| self.host.cast_group(self.address.group, GroupCast::Report(report)));
            let farewell = GroupCast::Farewell { replica: self.address.replica, epoch: self.epoch };
            self.host.cast_group(self.address.group, farewell);
            self.host.replica_ended(self.address, self.epoch);
        }
    }

    fn end_with(&self, code: CloseCode) -> bool {
        if !self.life.end() {
            return false;
        }
        self.store.end();
        self.alarm.failed();
        let sockets = self.seats.borrow().sockets().to_vec();
        for socket in sockets {
            self.host.close(socket, code, "");
        }
        self.turns.borrow_mut().clear();
        true
    }

    async fn receive(&self, ticket: Ticket, mut request: Request) -> Result<Fetched, Error> {
        // A ticket is good for who comes in time, however long it takes to wake.
        let came = self.host.now();
        let replica = self.awake().await?;
        let taken = self.seats.borrow_mut().take(&ticket, came);
        let seat = match taken {
            Ok(seat) => seat,
            Err(refusal) => return Ok(Fetched::Refused { request, refusal }),
        };
        self.report_in_time();
        request.extensions_mut().insert(Seated(seat));
        let answer = replica.receive(&self.context(), request).await;
        let mut response = answer.map_err(|failure| {
            self.host.occurred(Occurrence::Failed { handler: "receive", cause: &failure });
            seldom!(self.host, error, "a Replica's receive failed", replica = %self.address, "receive failed: {failure}");
            self.release(seat);
            failed(&failure)
        })?;
        keep_ours(response.extensions_mut());
        Ok(Fetched::Response(self.seat_of(response, seat)))
    }

    /// Decides what becomes of the seat of a request that has been answered: a socket's, the body's as long as it
    /// streams, or free.
    fn seat_of(&self, mut response: Response, seat: SeatId) -> Response {
        if response.extensions_mut().remove::<Seated>().is_some_and(|seated| seated.0 == seat) {
            // Open before the client hears of it: a client that has the response misses nothing from then on.
            let Some(client) = self.seats.borrow().client_of(seat).cloned() else { return response };
            let (socket, guard) = self.host.new_socket(self.address, &client);
            if let Some(Attached(attachment)) = response.extensions_mut().remove() {
                self.host.set_attachment(socket, attachment);
            }
            self.open_socket(seat, socket);
            response.extensions_mut().insert(Upgrade::new(self.address, socket, guard));
            return response;
        }
        if response.body().is_stream() {
            let guard = self.host.seat_guard(self.address, self.epoch, seat);
            return self.streams.count(response, Some(guard));
        }
        self.release(seat);
        response
    }

    fn release(&self, seat: SeatId) {
        if self.seats.borrow_mut().release(seat) {
            self.report();
        }
    }
}

/// What the other side hears of a user's failure: nothing of the inside, but of this library's own errors their kind,
/// from which the client's status follows.
pub(super) fn failed(failure: &dog::Failure) -> Error {
    match failure.downcast_ref::<Error>() {
        Some(error) if error.status() != StatusCode::INTERNAL_SERVER_ERROR => {
            Error::new(error.kind(), error.public_text())
        }
        _ => Error::new(Kind::Handler, "the handler failed"),
    }
}

impl<R: Replica, H: Host> ReplicaObject for ReplicaDriver<R, H> {
    fn fetch(self: Rc<Self>, ticket: Ticket, request: Request, reply: Reply<Fetched>) {
        let this = Rc::clone(&self);
        start(&self, async move { answer(reply, this.receive(ticket, request)).await });
    }

    fn call(self: Rc<Self>, call: ReplicaCall, reply: Reply<ReplicaAnswer>) {
        self.asked(call, reply);
    }

    fn cast(self: Rc<Self>, cast: ReplicaCast) {
        match cast {
            ReplicaCast::Deliver(delivery) => {
                self.deliver(&delivery.message, delivery.except.as_ref());
            }
            ReplicaCast::Acknowledge { epoch, sequence } => {
                self.telling.heard(self.host.now());
                self.seats.borrow_mut().acknowledge(epoch, sequence);
                self.acknowledged();
                self.note_told();
            }
        }
    }

    fn cease(self: Rc<Self>) {
        if self.end_with(CloseCode::RESTARTING) {
            self.host.replica_ended(self.address, self.epoch);
        }
    }

    fn released(self: Rc<Self>, seat: SeatId) {
        self.release(seat);
        // The stream that has ended may have been all that kept the value in memory.
        self.idle.note(&self, Self::hibernate);
    }

    fn message(self: Rc<Self>, socket: SocketId, message: Message) -> Readiness {
        self.message_came(socket, message)
    }

    fn closed(self: Rc<Self>, socket: SocketId, end: End) {
        self.end_socket(socket, end, By::Host);
    }

    fn alarm(self: Rc<Self>, attempt: u32) {
        let this = Rc::clone(&self);
        start(&self, async move {
            let rung = this.alarm.ring(attempt, async || {
                let replica = this.awake().await?;
                replica.on_alarm(&this.context()).await
            });
            if let Err(failure) = rung.await {
                this.host.occurred(Occurrence::Failed { handler: "on_alarm", cause: &failure });
                seldom!(this.host, error, "a Replica's on_alarm failed", replica = %this.address, "on_alarm failed, and will be called again: {failure}");
            }
        });
    }

    fn stopping(self: Rc<Self>) {
        self.life.stop();
    }

    fn hibernate_now(&self) -> bool {
        self.hibernate()
    }

    fn address(&self) -> ReplicaAddress {
        self.address
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn standing(&self) -> ObjectStanding {
        let seats = self.seats.borrow().occupied();
        ObjectStanding { awake: self.life.get().is_some(), seats, ..ObjectStanding::default() }
    }
}
