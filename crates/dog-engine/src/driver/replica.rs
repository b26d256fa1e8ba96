//! A Replica's life: waking, requests, calls, the end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use dog::internal::Kind;
use dog::{CloseCode, Context, Epoch, Error, Limit, Message, Replica, Request, Response, SocketId};

use super::calls::{ANSWER_DEADLINE, by_deadline, unexpected};
use super::front::{Upgrade, keep_seat_for_body};
use super::life::{Life, Living, answer, start};
use super::sockets::Turn;
use crate::address::{ReplicaAddress, SeatId, Targets, Ticket, View};
use crate::host::{End, Fetched, Host, Readiness, ReplicaObject};
use crate::message::{Enrolment, GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use crate::reply::Reply;
use crate::seats::Seats;

/// How long a report waits for its acknowledgement before it is said again.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

/// Marks a request that has a seat. Of a private type, so that nothing from outside can carry one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seated(pub(super) SeatId);

/// One life of a user's Replica.
pub(super) struct ReplicaDriver<R: Replica, H: Host> {
    pub(super) this: Weak<Self>,
    pub(super) host: Rc<H>,
    pub(super) address: ReplicaAddress,
    epoch: Epoch,
    life: Life<R>,
    started: Cell<bool>,
    pub(super) seats: RefCell<Seats>,
    view: RefCell<View>,
    /// Sockets whose handler runs now; all others are at rest and cost nothing here.
    pub(super) turns: RefCell<HashMap<SocketId, Turn>>,
    reporting: Cell<bool>,
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
        tracing::error!(replica = %self.address, "a handler panicked, so this life of the Replica ends: {what}");
        self.end();
    }
}

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    pub(super) fn begin(host: Rc<H>, address: ReplicaAddress, epoch: Epoch) -> Rc<dyn ReplicaObject> {
        // Until the Group has said the limit no request is let in, so this one is never gone by.
        let seats = Seats::new(address.replica, epoch, Limit::new(1));
        Rc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            host,
            address,
            epoch,
            life: Life::default(),
            started: Cell::new(false),
            seats: RefCell::new(seats),
            view: RefCell::default(),
            turns: RefCell::default(),
            reporting: Cell::new(false),
        })
    }

    pub(super) fn context(&self) -> Context<R> {
        Context::new(self.port())
    }

    pub(super) fn port(&self) -> Rc<dyn dog::port::ReplicaPort> {
        // A method of a driver runs only while somebody holds it.
        self.this.upgrade().unwrap_or_else(|| unreachable!("a driver that runs is held"))
    }

    /// All siblings, this Replica left out.
    pub(super) fn siblings(&self) -> Targets {
        Targets {
            group: self.address.group,
            replicas: Arc::clone(&self.view.borrow().members),
            except: Some(self.address.replica),
        }
    }

    /// Wakes the user's value, unless that has been begun. Without an `enrolment` the Group is asked for it first.
    fn wake(self: &Rc<Self>, enrolment: Option<Enrolment>) {
        let enrolled = enrolment.is_some();
        if let Some(enrolment) = enrolment {
            self.enrol(enrolment);
        }
        if self.started.replace(true) {
            return;
        }
        let this = Rc::clone(self);
        start(self, async move {
            if let Err(error) = this.activate(enrolled).await {
                tracing::error!(replica = %this.address, "the Replica could not be woken: {error}");
                this.end();
            }
        });
    }

    async fn activate(&self, enrolled: bool) -> dog::Result {
        if !enrolled {
            let call = GroupCall::Enroll { replica: self.address.replica, epoch: self.epoch };
            let answer = self.host.call_group(self.address.group, call);
            match by_deadline(&self.host, ANSWER_DEADLINE, answer).await? {
                GroupAnswer::Enrolled(enrolment) => self.enrol(enrolment),
                GroupAnswer::Identified(_) | GroupAnswer::Located(_) => return Err(unexpected().into()),
            }
        }
        self.life.begin(R::activate(&self.context()).await?);
        Ok(())
    }

    fn enrol(&self, enrolment: Enrolment) {
        self.seats.borrow_mut().set_limit(enrolment.limit);
        self.meet(enrolment.view);
    }

    /// Views may come late or twice: only a later one counts.
    fn meet(&self, view: View) {
        let mut known = self.view.borrow_mut();
        if view.version > known.version {
            *known = view;
        }
    }

    /// Ends this life: all sockets are closed, the Group hears of it, whoever waits for an answer gets none.
    fn end(&self) {
        if !self.life.end() {
            return;
        }
        let sockets = self.seats.borrow().sockets().to_vec();
        for socket in sockets {
            self.host.close(socket, CloseCode::HANDLER_FAILED, "");
        }
        self.turns.borrow_mut().clear();
        let farewell = GroupCast::Farewell { replica: self.address.replica, epoch: self.epoch };
        self.host.cast_group(self.address.group, farewell);
        self.host.replica_ended(self.address, self.epoch);
    }

    /// Tells the Group what it has not acknowledged, now and until it has.
    pub(super) fn report(&self) {
        let Some(report) = self.seats.borrow().report() else { return };
        self.host.cast_group(self.address.group, GroupCast::Report(report));
        if self.reporting.replace(true) {
            return;
        }
        let (host, this) = (Rc::clone(&self.host), Weak::clone(&self.this));
        self.host.spawn(Box::pin(async move {
            loop {
                host.sleep(REPORT_AGAIN).await;
                let Some(this) = this.upgrade().filter(|this| !this.life.has_ended()) else { return };
                let Some(report) = this.seats.borrow().report() else {
                    this.reporting.set(false);
                    return;
                };
                host.cast_group(this.address.group, GroupCast::Report(report));
            }
        }));
    }

    async fn receive(&self, ticket: Ticket, mut request: Request) -> Result<Fetched, Error> {
        let replica = self.life.awake().await?;
        let taken = self.seats.borrow_mut().take(&ticket, self.host.now());
        let seat = match taken {
            Ok(seat) => seat,
            Err(refusal) => return Ok(Fetched::Refused { request, refusal }),
        };
        self.report();
        request.extensions_mut().insert(Seated(seat));
        let answer = replica.receive(&self.context(), request).await;
        let response = answer.map_err(|failure| {
            tracing::error!(replica = %self.address, "receive failed: {failure}");
            self.release(seat);
            failed(&failure)
        })?;
        Ok(Fetched::Response(self.seat_of(response, seat)))
    }

    /// Decides what becomes of the seat of a request that has been answered: a socket's, the body's as long as it
    /// streams, or free.
    fn seat_of(&self, mut response: Response, seat: SeatId) -> Response {
        if response.extensions_mut().remove::<Seated>().is_some_and(|seated| seated.0 == seat) {
            // Open before the client hears of it: a client that has the response misses nothing from then on.
            let (socket, guard) = self.host.new_socket(self.address);
            self.open_socket(seat, socket);
            response.extensions_mut().insert(Upgrade::new(self.address, socket, guard));
            return response;
        }
        if response.body().is_stream() {
            let guard = self.host.seat_guard(self.address, self.epoch, seat);
            return keep_seat_for_body(response, guard);
        }
        self.release(seat);
        response
    }

    fn release(&self, seat: SeatId) {
        if self.seats.borrow_mut().release(seat) {
            self.report();
        }
    }

    async fn answer(&self, call: ReplicaCall) -> Result<ReplicaAnswer, Error> {
        match call {
            // The view was taken when the call came: only the waking is waited for.
            ReplicaCall::Join(_) => {
                self.life.awake().await?;
                Ok(ReplicaAnswer::Counted(self.seats.borrow().census()))
            }
            ReplicaCall::Meet(_) => Ok(ReplicaAnswer::Known(self.epoch)),
            ReplicaCall::Census(_) => Ok(ReplicaAnswer::Counted(self.seats.borrow().census())),
            ReplicaCall::Deliver(delivery) => {
                let reached = self.deliver(&delivery.message, delivery.except.as_ref());
                Ok(ReplicaAnswer::Delivered(reached))
            }
            ReplicaCall::Whisper { client, message } => {
                Ok(ReplicaAnswer::Delivered(self.deliver_to(&client, &message)))
            }
            ReplicaCall::Gossip(gossip) => {
                let replica = self.life.awake().await?;
                let gossip = dog::wire::typed::decode(&gossip)?;
                let answer = replica.on_gossip(&self.context(), gossip).await.map_err(|failure| {
                    tracing::error!(replica = %self.address, "on_gossip failed: {failure}");
                    Error::new(Kind::Handler, "the sibling's on_gossip failed")
                })?;
                Ok(ReplicaAnswer::Gossip(dog::wire::typed::encode(&answer)?))
            }
        }
    }
}

/// What the other side hears of a user's failure: nothing of the inside, but this library's own errors as they are.
pub(super) fn failed(failure: &dog::Failure) -> Error {
    match failure.downcast_ref::<Error>() {
        Some(error) if error.status().is_client_error() => Error::new(error.kind(), error.to_string()),
        _ => Error::new(Kind::Handler, "the handler failed"),
    }
}

impl<R: Replica, H: Host> ReplicaObject for ReplicaDriver<R, H> {
    fn fetch(self: Rc<Self>, ticket: Ticket, request: Request, reply: Reply<Fetched>) {
        self.wake(None);
        let this = Rc::clone(&self);
        start(&self, async move { answer(reply, this.receive(ticket, request)).await });
    }

    fn call(self: Rc<Self>, call: ReplicaCall, reply: Reply<ReplicaAnswer>) {
        match &call {
            ReplicaCall::Join(enrolment) | ReplicaCall::Census(enrolment) => self.wake(Some(enrolment.clone())),
            ReplicaCall::Meet(view) => {
                self.meet(view.clone());
                self.wake(None);
            }
            // Without a life there are no sockets, and no need to begin one.
            ReplicaCall::Deliver(_) | ReplicaCall::Whisper { .. } => {}
            ReplicaCall::Gossip(_) => self.wake(None),
        }
        let this = Rc::clone(&self);
        start(&self, async move { answer(reply, this.answer(call)).await });
    }

    fn cast(self: Rc<Self>, cast: ReplicaCast) {
        match cast {
            ReplicaCast::Deliver(delivery) => {
                self.deliver(&delivery.message, delivery.except.as_ref());
            }
            ReplicaCast::Acknowledge { epoch, sequence } => self.seats.borrow_mut().acknowledge(epoch, sequence),
        }
    }

    fn released(self: Rc<Self>, seat: SeatId) {
        self.release(seat);
    }

    fn message(self: Rc<Self>, socket: SocketId, message: Message) -> Readiness {
        self.message_came(socket, message)
    }

    fn closed(self: Rc<Self>, socket: SocketId, end: End) {
        self.end_socket(socket, end, false);
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}
