//! What a Replica's code can do through its context and its sockets.

use std::any::{Any, TypeId};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use dog::http::StatusCode;
use dog::internal::{
    Door, Except, GossipAnswers, Kind, LogEpoch, LogTopic, Opening, Presences, StreamFormat, Streams, Unrecovered,
};
use dog::{
    BroadcastReport, ClientId, Close, CloseCode, Error, Group, Message, Replica, ReplicaId, Request, Response, SocketId,
};

use super::ReplicaDriver;
use super::followed_logs::Followers;
use super::followers::{self, Delivered, Follows};
use super::losing::lost;
use super::opening::seated;
use super::outlets::Outlets;
use super::presence::{self, Attends, PresenceHere};
use super::publication_delivery::{deliver_publication, rendered};
use super::rendering::renders;
use super::replaying::{all_go_on, go_on_when_drained, limit_on_open};
use super::reporting::{report, reported};
use super::resuming::settle;
use super::topics::{InterestReporting, Subscribable};
use super::turns::EndedBy;
use crate::address::{SeatId, Targets};
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, call_all_for_handler, unexpected_answer};
use crate::driver::extensions::{FirstAttachment, FirstFormat, OnOpenFirst, OpensStream};
use crate::driver::failures::{UserFunction, report_failure};
use crate::driver::object::{Activation, start};
use crate::event_stream;
use crate::fault_injection::{Fault, is_planted};
use crate::host::{End, Host};
use crate::log::Recorded;
use crate::message::{Delivery, GroupAnswer, GroupCall, ReplicaAnswer, ReplicaCall, ReplicaCast};
use crate::repeats::log_limited;

impl<R: Replica, H: Host> Subscribable for ReplicaDriver<R, H> {
    fn interests(&self) -> &InterestReporting {
        &self.interests
    }

    fn outlets(&self) -> &Outlets<H> {
        &self.outlets
    }

    fn targets(&self) -> Targets {
        self.siblings()
    }

    fn has_presence(topic: &str) -> bool {
        Presences::ON && R::Group::has_presence(topic)
    }

    fn subscription_is_known(&self, topic: &str, sockets: &[SocketId]) {
        presence::subscriptions_changed(self, topic, sockets);
    }

    fn subscription_ended(&self, topic: &str, sockets: &[SocketId]) {
        followers::subscription_ended(self, topic, sockets);
        presence::subscriptions_changed(self, topic, sockets);
    }

    fn is_reported_and_empty(&self) -> bool {
        let seats = self.seats.borrow();
        let is_reported = seats.report().is_none() && seats.topics().is_reported() && self.presence.is_reported();
        seats.occupied() == 0 && is_reported
    }
}

impl<R: Replica, H: Host> Follows for ReplicaDriver<R, H> {
    fn followers(&self) -> &Followers {
        &self.followers
    }

    const RENDERS: bool = renders::<R>();

    fn deliver_publication(&self, topic: &LogTopic, epoch: &LogEpoch, publication: &Recorded) -> Delivered {
        deliver_publication(self, topic, epoch, publication)
    }

    fn rendered(&self, topic: &LogTopic, publication: &Recorded, socket: SocketId) -> Option<Message> {
        let epoch = self.followers.with_window(topic, |window| window.epoch().clone())?;
        rendered(self, topic, &epoch, publication, self.rendering.format(socket))
    }

    fn has_subscribers(&self, topic: &LogTopic) -> bool {
        !self.seats.borrow().subscribers(topic.topic()).is_empty()
    }

    fn subscribed_since(&self, topic: &LogTopic) -> Option<dog::Timestamp> {
        self.seats.borrow().subscribed_since(topic.topic())
    }

    fn subscribers(&self, topic: &LogTopic) -> Vec<SocketId> {
        self.seats.borrow().subscribers(topic.topic()).to_vec()
    }

    fn publications_lost(&self, topic: &LogTopic, reason: Unrecovered, sockets: &[SocketId]) {
        lost(self, topic, reason, sockets);
    }

    fn fell_behind(&self, topic: &LogTopic, sockets: Vec<SocketId>) {
        sockets.into_iter().for_each(|socket| go_on_when_drained(self, topic, socket));
    }

    fn on_open_holds(&self, sockets: Vec<SocketId>) {
        limit_on_open(self, sockets);
    }

    fn log_moved(&self, topic: &LogTopic) {
        settle(self, topic);
        all_go_on(self, topic);
    }
}

impl<R: Replica, H: Host> Attends for ReplicaDriver<R, H> {
    const FOLLOWS: bool = R::FOLLOWS_PRESENCE;

    fn presence(&self) -> &PresenceHere {
        &self.presence
    }

    fn tell_news(&self) {
        let Some(this) = self.this.upgrade() else { return };
        let task = Rc::clone(&this);
        start(&this, async move {
            let Ok(replica) = task.awake().await else { return };
            while let Some(news) = task.presence.next_news() {
                if let Err(failure) = replica.on_presence(&task.context(), news).await {
                    report_failure(&**task.host(), UserFunction::OnPresence, Some(task.core.object()), None, &failure);
                }
            }
        });
    }
}

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    /// To all sockets of this Replica that are not left out. Returns how many accepted the message.
    pub(super) fn deliver(&self, message: &Message, except: Except<&ClientId>) -> usize {
        let seats = self.seats.borrow();
        self.outlets.deliver_to_all(message, &seats.audience(), seats.left_out(&except))
    }

    /// To all sockets of one client on this Replica. Returns how many accepted the message.
    pub(super) fn deliver_to(&self, client: &ClientId, message: &Message) -> usize {
        self.outlets.deliver(message, self.seats.borrow().sockets_of(client), &[])
    }

    pub(super) fn broadcast(&self, message: &Message, except: Except<&ClientId>) {
        self.deliver(message, except);
        let siblings = self.siblings();
        if siblings.iter().next().is_some() {
            let delivery = Delivery { message: message.clone(), except: except.client().cloned() };
            self.host().cast_replicas(&siblings, ReplicaCast::Deliver(delivery));
        }
    }

    pub(super) async fn broadcast_confirmed(&self, message: Message, except: Except<ClientId>) -> BroadcastReport {
        let sockets = self.deliver(&message, except.as_ref());
        let mut report = BroadcastReport { sockets, missing: Vec::new() };
        let call = ReplicaCall::Deliver(Delivery { message, except: except.client() });
        self.deliver_remotely(&self.siblings(), &call, &mut report).await;
        report
    }

    pub(super) async fn whisper(
        &self,
        activation: &Activation,
        client: ClientId,
        message: Message,
    ) -> Result<usize, Error> {
        let call = GroupCall::Locate { client: client.clone() };
        let answer = self.host().call_group(self.address.group, call);
        let GroupAnswer::Located(replicas) = by_deadline(self.host(), ANSWER_DEADLINE, answer).await? else {
            return Err(unexpected_answer());
        };
        // The activation may have ended during the call.
        activation.check()?;
        let is_here = replicas.contains(&self.address.replica);
        let sockets = if is_here { self.deliver_to(&client, &message) } else { 0 };
        let mut report = BroadcastReport { sockets, missing: Vec::new() };
        let elsewhere =
            Targets { group: self.address.group, replicas: replicas.into(), except: Some(self.address.replica) };
        self.deliver_remotely(&elsewhere, &ReplicaCall::Whisper { client, message }, &mut report).await;
        for (replica, error) in report.missing {
            log_limited!(self.host(), warn, "a whisper may not have reached a Replica", replica = %self.address, "a whisper may not have reached Replica {replica:?}: {error}");
        }
        Ok(report.sockets)
    }

    /// Calls all `targets` to deliver, and adds their answers to the report.
    async fn deliver_remotely(&self, targets: &Targets, call: &ReplicaCall, report: &mut BroadcastReport) {
        for (replica, answer) in call_all_for_handler(self.host(), targets, call).await {
            match answer {
                Ok(ReplicaAnswer::Delivered(sockets)) => report.sockets += sockets,
                Ok(_) => report.missing.push((replica, unexpected_answer())),
                Err(error) => report.missing.push((replica, error)),
            }
        }
    }

    /// Calls all siblings, and meanwhile asks the Group which of them are parked.
    pub(super) async fn gossip(&self, gossip: Bytes) -> GossipAnswers {
        let siblings = self.siblings();
        let call = ReplicaCall::Gossip(gossip);
        let calls = call_all_for_handler(self.host(), &siblings, &call);
        let (answers, parked) = futures_util::future::join(calls, self.parked_siblings()).await;
        let bytes = |answer| match answer {
            ReplicaAnswer::Gossip(bytes) => Ok(bytes),
            _ => Err(unexpected_answer()),
        };
        // A Replica that was parked only after the calls has answered itself.
        let left_out = |replica: &ReplicaId| *replica != self.address.replica && !siblings.replicas.contains(replica);
        let parked = parked.map(|parked| parked.iter().copied().filter(left_out).collect());
        let answers = answers.into_iter().map(|(replica, answer)| (replica, answer.and_then(bytes))).collect();
        GossipAnswers { answers, parked }
    }

    async fn parked_siblings(&self) -> Result<Arc<[ReplicaId]>, Error> {
        let (version, known) = {
            let siblings = self.siblings.borrow();
            (siblings.version(), siblings.parked())
        };
        if let Some(parked) = known {
            return Ok(parked);
        }
        let answer = self.host().call_group(self.address.group, GroupCall::Parked);
        let GroupAnswer::Parked(parked) = by_deadline(self.host(), ANSWER_DEADLINE, answer).await? else {
            return Err(unexpected_answer());
        };
        self.siblings.borrow_mut().set_parked(version, Arc::clone(&parked));
        Ok(parked)
    }

    pub(super) fn shake_hands(&self, request: &Request, opening: Opening) -> Response {
        seated(request, opening, || self.host().shake_hands(request))
    }

    pub(super) fn open_event_stream(&self, request: &Request, format: StreamFormat, opening: Opening) -> Response {
        let Some(streams) = Streams::get() else {
            return dog::text_response(StatusCode::NOT_IMPLEMENTED, "the feature `streams` is off");
        };
        seated(request, opening, || {
            let mut response = event_stream::accept(request, format)?;
            response.extensions_mut().insert(OpensStream(format, streams));
            Ok(response)
        })
    }

    /// Makes the response an event stream. Its body releases the seat when it has ended.
    pub(super) fn open_stream(
        &self,
        mut response: Response,
        seat: SeatId,
        format: StreamFormat,
        identity: Option<Bytes>,
    ) -> Response {
        let attachment = response.extensions_mut().remove().map(|FirstAttachment(attachment)| attachment);
        let guard = self.host().seat_guard(self.address, self.core.epoch(), seat);
        let publications = response.extensions_mut().remove().map(|FirstFormat(format)| format);
        let (socket, body, stream) = self.outlets.open(format, (seat, guard), attachment);
        if response.extensions_mut().remove::<OnOpenFirst>().is_some() {
            self.outlets.begin_opening(socket);
        }
        self.rendering.set_format(socket, publications.unwrap_or_default());
        identity.into_iter().for_each(|identity| self.identities.borrow_mut().set(socket, identity));
        self.open_socket(seat, socket);
        response.extensions_mut().insert(stream);
        response.map(|_| body)
    }

    /// It is used for the first time, or was parked and is used again as if it were new.
    pub(super) fn open_if_empty(&self) {
        let is_empty = self.seats.borrow().occupied() == 0;
        if is_empty {
            self.set_door(Door::Open);
        }
    }

    pub(super) fn set_door(&self, door: Door) {
        let changes = self.seats.borrow_mut().set_door(door);
        if changes {
            report(self);
        }
    }

    fn is_open(&self, socket: SocketId) -> bool {
        self.seats.borrow().client(socket).is_some()
    }

    pub(super) fn check_open(&self, socket: SocketId) -> Result<(), Error> {
        if self.is_open(socket) { Ok(()) } else { Err(Error::of_socket(socket)) }
    }

    pub(super) fn open_sockets(&self) -> Vec<(SocketId, ClientId)> {
        let seats = self.seats.borrow();
        let client = |socket: &SocketId| seats.client(*socket).map(|client| (*socket, client.clone()));
        seats.sockets().iter().filter_map(client).collect()
    }

    pub(super) fn send(&self, socket: SocketId, message: &Message) -> Result<(), Error> {
        self.check_open(socket)?;
        self.outlets.deliver(message, &[socket], &[]);
        Ok(())
    }

    pub(super) fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        if self.is_open(socket) {
            self.outlets.close(socket, code, reason);
            self.end_socket(socket, End::Close(Close::new(code, reason)), EndedBy::Verb);
        }
    }

    /// Names the client of a socket. Ends when the Group has acknowledged it.
    pub(super) async fn assign(
        &self,
        activation: &Activation,
        socket: SocketId,
        client: ClientId,
    ) -> Result<(), Error> {
        let is_known = self.seats.borrow().client(socket).map(|client| !client.is_anonymous());
        if is_known == Some(true) {
            return Err(Error::new(Kind::Assigned, "the client of the socket is known already"));
        }
        let assigned = self.seats.borrow_mut().assign(socket, &client);
        let change = assigned.ok_or_else(|| Error::of_socket(socket))?;
        self.assigning.assigned(socket, &client);
        self.host().set_client(socket, &client);
        presence::assigned(self, socket, &client);
        if is_planted(Fault::AssignmentIsNotAwaited) {
            report(self);
            return Ok(());
        }
        reported(self, change, || activation.check()).await
    }

    /// The client of a socket, also while its last handler runs.
    pub(super) fn client(&self, socket: SocketId) -> Option<ClientId> {
        let open = self.seats.borrow().client(socket).cloned();
        open.or_else(|| self.assigning.client(socket))
    }

    /// Closes the sockets that were not assigned in time.
    pub(super) fn close_unassigned(&self) {
        for socket in self.assigning.take_due(self.host().now()) {
            let client = self.seats.borrow().client(socket).cloned();
            if client.is_some_and(|client| client.awaits_assignment()) {
                self.close(socket, self.assigning.code(), "the client was not assigned in time");
            }
        }
    }

    pub(super) fn identity(&self, socket: SocketId) -> Result<Option<Bytes>, Error> {
        // While the last handler runs, the socket is not open any more.
        if self.is_open(socket) || self.turns.borrow().is_busy(socket) {
            return Ok(self.identities.borrow().get(socket));
        }
        Err(Error::of_socket(socket))
    }

    /// Closes all sockets of one client here. Returns how many they were.
    pub(super) fn disconnect(&self, client: &ClientId, code: CloseCode, reason: &str) -> usize {
        let mut sockets = self.seats.borrow().sockets_of(client).to_vec();
        if is_planted(Fault::DisconnectSparesOne) {
            sockets.pop();
        }
        for socket in &sockets {
            presence::disconnected(self, *socket);
            self.close(*socket, code, reason);
        }
        sockets.len()
    }

    pub(super) fn attachment(&self, socket: SocketId) -> Result<Option<Bytes>, Error> {
        if self.is_open(socket) {
            return Ok(self.outlets.attachment(socket));
        }
        self.turns.borrow().last_attachment(socket)
    }

    /// What the user's code keeps in memory for a socket, until the end of its last handler.
    pub(super) fn socket_state(
        &self,
        socket: SocketId,
        kind: TypeId,
        make: fn() -> Rc<dyn Any>,
    ) -> Result<Rc<dyn Any>, Error> {
        if !self.is_open(socket) {
            self.turns.borrow().last_attachment(socket)?;
        }
        Ok(self.states.get_or_make(socket, kind, make))
    }

    pub(super) fn set_attachment(&self, socket: SocketId, attachment: Bytes) -> Result<(), Error> {
        self.check_open(socket)?;
        self.outlets.set_attachment(socket, attachment);
        Ok(())
    }
}
