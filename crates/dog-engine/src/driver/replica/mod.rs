//! One life of a user's Replica.
//!
//! - this file: calls and casts, hibernation, the end
//! - `handlers`: waking, requests and their seats, the handlers of sockets; `turns`: their order; `verbs`: what the user's code can do; `port`: its handle
//! - `rates`: how fast each socket may send; `pacing`: what happens to messages over that; `assigning`: clients that become known later; `identities`: what the App has said about the client of each socket
//! - `opening`: the response that opens a socket; `outlets`: WebSockets and event streams as one; `open_streams`: the latter; `openings`: what waits for an `on_open`; `siblings`: the view of the Group
//! - `followers`: publications in their order, `followed_logs`: what is kept of them; `confirming`: who waits until they are delivered
//! - `publication_delivery`: to whom publications go; `rendering`: in which form; `resuming`, `askings`: clients that come back; `replaying`, `catch_ups`: sockets that are behind; `losing`: those that are told of a loss
//! - `publishing`: publications that wait for a position; `histories`: pages that several want
//! - `presence`: who is in the Group; `presence_news`: what the user's code is told of it
//! - `socket_states`: what the user's code keeps per socket; `reporting`: how seats are reported; `topics`: messages for topics

mod askings;
mod assigning;
mod catch_ups;
mod confirming;
mod followed_logs;
mod followers;
mod handlers;
mod histories;
mod identities;
mod losing;
mod open_streams;
mod opening;
mod openings;
mod outlets;
mod pacing;
mod port;
mod presence;
mod presence_news;
mod publication_delivery;
mod publishing;
mod rates;
mod rendering;
mod replaying;
mod reporting;
mod resuming;
mod siblings;
mod socket_states;
mod topics;
mod turns;
mod verbs;

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use dog::internal::{Kind, LocalFuture, ReplicaPort};
use dog::{Alarm, CloseCode, Context, Epoch, Error, Limit, Message, Replica, Request, SocketId};

use super::failures::{UserFunction, report_failure};
use super::object::{Living, ObjectCore, alarms_due, answer, note_event, start, watch, writes_are_done};
use crate::address::{GroupAddress, Object, ReplicaAddress, SeatId, Targets, Ticket};
use crate::fault_injection::{Fault, is_planted};
use crate::host::{End, Fetched, Host, KeptSocket, ObjectStatus, Readiness, ReplicaObject};
use crate::message::{GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use crate::reply::Reply;
use crate::seats::{Seats, Topics};
use assigning::Assigning;
use followed_logs::Followers;
use followers::{acknowledge_all, head_came, publication_called, publication_came};
use identities::Identities;
use outlets::Outlets;
use port::Port;
use presence::PresenceHere;
use publishing::Publishing;
use rates::Rates;
use rendering::Rendering;
use reporting::{Reporting, Reports, acknowledged, report};
use siblings::Siblings;
use socket_states::SocketStates;
use topics::{InterestReporting, Subscribable, topic_delivery_came};
use turns::{EndedBy, Turns};

/// One life of a user's Replica.
pub(super) struct ReplicaDriver<R: Replica, H: Host> {
    this: Weak<Self>,
    core: ObjectCore<R, H>,
    address: ReplicaAddress,
    siblings: RefCell<Siblings>,
    seats: RefCell<Seats>,
    turns: RefCell<Turns>,
    states: SocketStates,
    outlets: Outlets<H>,
    identities: RefCell<Identities>,
    assigning: Assigning,
    rates: Rates,
    reporting: Reporting,
    interests: InterestReporting,
    followers: Followers,
    rendering: Rendering,
    publishing: Rc<Publishing>,
    presence: PresenceHere,
    /// The handle that the user's code has in the current activation, once it was given one.
    port: RefCell<Option<Rc<Port<R, H>>>>,
}

impl<R: Replica, H: Host> Living for ReplicaDriver<R, H> {
    type Value = R;
    type Host = H;

    const ON_ALARM: UserFunction = UserFunction::OnAlarm;

    fn core(&self) -> &ObjectCore<R, H> {
        &self.core
    }

    fn awaken(self: &Rc<Self>) -> LocalFuture<Result<(), Error>> {
        let this = Rc::clone(self);
        Box::pin(async move { this.awake().await.map(drop) })
    }

    fn on_alarm(self: &Rc<Self>, alarm: Alarm) -> LocalFuture<dog::Result> {
        let this = Rc::clone(self);
        Box::pin(async move {
            let replica = this.awake().await?;
            replica.on_alarm(&this.context(), alarm).await
        })
    }

    /// Closes all sockets and tells the Group. Callers that wait for an answer get an error.
    fn end(&self) {
        if self.core.end() {
            self.close_all(CloseCode::HANDLER_FAILED);
            // With the tickets that were used: otherwise the Group would wait for the clients that came with them.
            let unreported = self.seats.borrow().report();
            let group = self.address.group;
            unreported.into_iter().for_each(|report| self.host().cast_group(group, GroupCast::Report(report)));
            let farewell = GroupCast::Farewell { replica: self.address.replica, epoch: self.core.epoch() };
            self.host().cast_group(group, farewell);
            self.host().replica_ended(self.address, self.core.epoch());
        }
    }

    /// Drops the user's value. Sockets, attachments and storage stay, and the next event activates it again. If nobody is
    /// seated and everything is reported, the whole object leaves memory.
    fn hibernate(self: &Rc<Self>) -> bool {
        if !self.turns.borrow().is_empty() || self.core.streams().any() || !self.core.life().hibernate() {
            return false;
        }
        self.states.clear();
        self.presence.value_is_gone();
        self.followers.shrink();
        self.rendering.shrink();
        if is_planted(Fault::TopicsAreForgotten) {
            *self.seats.borrow_mut().topics_mut() = Topics::default();
        }
        let may_leave = self.is_reported_and_empty() && !self.core.store().alarms_are_busy();
        // What was dropped may have started a task or a write.
        if may_leave && self.core.life().is_idle() && writes_are_done(self) && self.core.leave_memory() {
            acknowledge_all(&**self);
            self.host().replica_ended(self.address, self.core.epoch());
        }
        true
    }
}

impl<R: Replica, H: Host> Reports for ReplicaDriver<R, H> {
    fn reporting(&self) -> &Reporting {
        &self.reporting
    }

    fn seats(&self) -> &RefCell<Seats> {
        &self.seats
    }

    fn group(&self) -> GroupAddress {
        self.address.group
    }

    fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.this)
    }
}

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    pub(super) fn begin(host: Rc<H>, address: ReplicaAddress, epoch: Epoch) -> Rc<dyn ReplicaObject> {
        // The Group tells the limit before any request is accepted, so this one is never used.
        let mut seats = Seats::new(address.replica, epoch, Limit::new(1)).at(host.node());
        let (mut identities, assigning) = (Identities::default(), Assigning::default());
        let kept = host.sockets(address);
        let rendering = Rendering::default();
        for KeptSocket { socket, client, identity, topics, format, .. } in &kept {
            seats.reopen(*socket, client);
            assigning.restore(*socket, client);
            identity.iter().for_each(|identity| identities.set(*socket, identity.clone()));
            rendering.set_format(*socket, *format);
            topics.iter().for_each(|topic| seats.topics_mut().restore(*socket, topic));
        }
        let driver = Rc::new_cyclic(|this: &Weak<Self>| Self {
            this: Weak::clone(this),
            outlets: Outlets::new(Rc::clone(&host), address, epoch, Weak::<Self>::clone(this)),
            core: ObjectCore::new(host, Object::Replica(address), epoch),
            address,
            siblings: RefCell::default(),
            seats: RefCell::new(seats),
            turns: RefCell::default(),
            states: SocketStates::default(),
            identities: RefCell::new(identities),
            assigning,
            rates: Rates::default(),
            reporting: Reporting::default(),
            interests: InterestReporting::default(),
            followers: Followers::default(),
            rendering,
            publishing: Rc::default(),
            presence: PresenceHere::default(),
            port: RefCell::default(),
        });
        presence::restore(&*driver, &kept);
        driver
    }

    fn host(&self) -> &Rc<H> {
        self.core.host()
    }

    fn siblings(&self) -> Targets {
        self.siblings.borrow().of(self.address)
    }

    fn context(&self) -> Context<R> {
        Context::new(self.port())
    }

    fn port(&self) -> Rc<dyn ReplicaPort> {
        let mut port = self.port.borrow_mut();
        let current = port.take_if(|port| !port.is_over());
        let current = current.unwrap_or_else(|| Rc::new(Port::new(self, self.core.life().activation())));
        Rc::<Port<R, H>>::clone(port.insert(current))
    }

    /// The life has ended, and with it its sockets.
    fn close_all(&self, code: CloseCode) {
        let sockets = self.seats.borrow().sockets().to_vec();
        for socket in sockets {
            self.outlets.close(socket, code, "");
            self.outlets.forget(socket);
        }
        self.turns.borrow_mut().clear();
        self.followers.clear();
        self.rendering.shrink();
        self.presence.clear();
        self.reporting.wake();
        self.states.clear();
    }

    fn release(&self, seat: SeatId) {
        if self.seats.borrow_mut().release(seat) {
            report(self);
        }
    }

    async fn gossip_came(&self, gossip: &[u8]) -> Result<ReplicaAnswer, Error> {
        let replica = self.awake().await?;
        let gossip = dog::internal::decode(gossip)?;
        let answer = replica.on_gossip(&self.context(), gossip).await.map_err(|failure| {
            report_failure(&**self.host(), UserFunction::OnGossip, Some(self.core.object()), None, &failure);
            Error::new(Kind::Handler, "the sibling's on_gossip failed")
        })?;
        Ok(ReplicaAnswer::Gossip(dog::internal::encode(&answer)?))
    }
}

impl<R: Replica, H: Host> ReplicaObject for ReplicaDriver<R, H> {
    fn fetch(self: Rc<Self>, ticket: Ticket, request: Request, reply: Reply<Fetched>) {
        let this = Rc::clone(&self);
        start(&self, async move { answer(reply, this.receive(ticket, request)).await });
    }

    /// Calls that do not need the user's value are answered at once, and do not wake a Replica that hibernates.
    fn call(self: Rc<Self>, call: ReplicaCall, reply: Reply<ReplicaAnswer>) {
        if self.core.life().has_ended() {
            return;
        }
        let this = Rc::clone(&self);
        let now = match call {
            ReplicaCall::Join(enrolment) => {
                self.enrol(enrolment);
                self.open_if_empty();
                return start(&self, async move { answer(reply, this.joined()).await });
            }
            ReplicaCall::Gossip(gossip) => {
                return start(&self, async move { answer(reply, this.gossip_came(&gossip)).await });
            }
            ReplicaCall::Publication(delivery) => return publication_called(&self, delivery, reply),
            ReplicaCall::UpdateView(view) => {
                self.update_view(view);
                ReplicaAnswer::ViewAck(self.core.epoch())
            }
            ReplicaCall::Census(enrolment) => {
                self.enrol(enrolment);
                ReplicaAnswer::Counted(self.seats.borrow().census())
            }
            ReplicaCall::CountSeats => {
                self.siblings.borrow_mut().note_later_life();
                ReplicaAnswer::Counted(self.seats.borrow().census())
            }
            ReplicaCall::Deliver(delivery) => {
                ReplicaAnswer::Delivered(self.deliver(&delivery.message, delivery.except.as_ref().into()))
            }
            ReplicaCall::Whisper { client, message } => ReplicaAnswer::Delivered(self.deliver_to(&client, &message)),
            ReplicaCall::Hand { session, message } => {
                reply.send(self.hand(&session, message).map(|()| ReplicaAnswer::Delivered(1)));
                // Also if it was refused: this life may have begun for it.
                return watch(&self);
            }
            ReplicaCall::Roster(feature, question) => ReplicaAnswer::Roster(feature, self.presence.roster(&question)),
            ReplicaCall::Disconnect { client, code, reason } => {
                ReplicaAnswer::Delivered(self.disconnect(&client, CloseCode::from_raw(code), &reason))
            }
        };
        reply.send(Ok(now));
        watch(&self);
    }

    fn cast(self: Rc<Self>, cast: ReplicaCast) {
        match cast {
            ReplicaCast::Deliver(delivery) => drop(self.deliver(&delivery.message, delivery.except.as_ref().into())),
            ReplicaCast::DeliverTopic(delivery) => topic_delivery_came(&*self, &delivery),
            ReplicaCast::Publication(delivery) => publication_came(&*self, delivery, None),
            ReplicaCast::LogHead(head) => head_came(&*self, head),
            ReplicaCast::Presence(_, list) => presence::changes_came(&*self, &list),
            ReplicaCast::PresenceHead(_, version) => presence::head_came(&*self, version),
            ReplicaCast::Acknowledge { epoch, sequence } => {
                self.reporting.note_heard(self.host().now());
                self.seats.borrow_mut().acknowledge(epoch, sequence);
                acknowledged(&*self);
                if self.is_reported_and_empty() {
                    // The report may have been the only thing that kept this in memory.
                    watch(&self);
                }
            }
        }
    }

    fn take_acknowledgement(&self) -> Option<GroupCast> {
        followers::take_acknowledgement(self)
    }

    fn cease(self: Rc<Self>) {
        if self.core.cease() {
            self.close_all(CloseCode::RESTARTING);
            self.host().replica_ended(self.address, self.core.epoch());
        }
    }

    fn released(self: Rc<Self>, seat: SeatId) {
        if let Some((socket, end)) = self.outlets.left(seat) {
            return self.end_socket(socket, end, EndedBy::Host);
        }
        self.release(seat);
        // The stream that has ended may have been the only thing that kept the value in memory.
        note_event(&self);
    }

    fn message(self: Rc<Self>, socket: SocketId, message: Message) -> Readiness {
        self.message_came(socket, message)
    }

    fn closed(self: Rc<Self>, socket: SocketId, end: End) {
        self.end_socket(socket, end, EndedBy::Host);
    }

    fn alarms_due(self: Rc<Self>) {
        alarms_due(&self);
    }

    fn stopping(self: Rc<Self>) {
        self.core.life().stop();
    }

    fn hibernate_now(&self) -> bool {
        self.this.upgrade().is_some_and(|this| this.hibernate())
    }

    fn address(&self) -> ReplicaAddress {
        self.address
    }

    fn epoch(&self) -> Epoch {
        self.core.epoch()
    }

    fn status(&self) -> ObjectStatus {
        let seats = self.seats.borrow().occupied();
        ObjectStatus { awake: self.core.life().get().is_some(), seats, ..ObjectStatus::default() }
    }
}
