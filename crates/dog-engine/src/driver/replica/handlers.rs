//! Brings the user's value into memory, answers requests, which take and give seats, and calls the handlers of sockets, in the order
//! that [`Turns`](super::turns::Turns) keeps.

use std::error::Error as StdError;
use std::rc::Rc;

use bytes::Bytes;
use dog::internal::{Identity, Kind, Session, SocketErrorKind};
use dog::{
    ClientId, Close, CloseCode, Error, Failure, Group, Message, OverRate, Replica, Request, Response, Socket,
    SocketError, SocketId,
};

use super::ReplicaDriver;
use super::followers::{followed_by, unfollow_unused};
use super::pacing::{admits, keep_to_rate};
use super::presence;
use super::replaying::{opened, opens as publications_wait};
use super::reporting::{report, report_newcomer, reported};
use super::topics::report_soon;
use super::turns::{EndedBy, Event, Next};
use crate::address::{SeatId, Ticket, View};
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, first_poll, unexpected_answer, user_function_by_deadline};
use crate::driver::extensions::{
    FirstAttachment, FirstFormat, OnOpenFirst, OpensStream, SeatMark, Upgrade, keep_engine_extensions,
};
use crate::driver::failures::{UserFunction, public_error, report_failure};
use crate::driver::object::{Living, spawn, start};
use crate::fault_injection::{Fault, is_planted};
use crate::host::{End, Fetched, Host, Readiness};
use crate::message::{Enrolment, GroupAnswer, GroupCall, ReplicaAnswer};
use crate::repeats::log_limited;

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    /// The user's value. It is activated first if it is not in memory.
    pub(super) async fn awake(&self) -> Result<Rc<R>, Error> {
        if self.core.life().begin_waking() {
            self.wake();
        }
        self.core.life().awake().await
    }

    fn wake(&self) {
        let Some(this) = self.this.upgrade() else { return };
        start(&Rc::clone(&this), async move {
            if let Err(failure) = this.activate().await {
                report_failure(&**this.host(), UserFunction::Activate, Some(this.core.object()), None, &failure);
                this.end();
            }
        });
    }

    async fn activate(&self) -> dog::Result {
        if !self.siblings.borrow().is_enrolled() {
            let call = GroupCall::Enroll(self.seats.borrow().census());
            let answer = self.host().call_group(self.address.group, call);
            match by_deadline(self.host(), ANSWER_DEADLINE, answer).await? {
                GroupAnswer::Enrolled(enrolment) => self.enrol(enrolment),
                _ => return Err(unexpected_answer().into()),
            }
        }
        let context = self.context();
        let name = UserFunction::Activate.name();
        self.rates.set(R::message_rate(&context));
        let activated = R::activate(&context);
        let value = user_function_by_deadline(self.host(), R::Group::ACTIVATE_DEADLINE, name, activated).await?;
        self.core.life().begin(value);
        presence::value_is_here(self);
        Ok(())
    }

    pub(super) fn enrol(&self, enrolment: Enrolment) {
        self.siblings.borrow_mut().enrol();
        self.seats.borrow_mut().set_limit(enrolment.limit);
        self.publishing.set_deadline(enrolment.publish_within);
        self.followers.set_most(enrolment.recovery);
        let restored = self.assigning.set_rule(enrolment.assign);
        restored.into_iter().for_each(|socket| self.watch_unassigned(socket));
        let life = enrolment.view.version.epoch;
        self.update_view(enrolment.view);
        presence::enrolled(self, enrolment.presence, life);
    }

    pub(super) fn update_view(&self, view: View) {
        self.reporting.note_heard(self.host().now());
        self.siblings.borrow_mut().update(view);
    }

    pub(super) async fn joined(&self) -> Result<ReplicaAnswer, Error> {
        self.awake().await?;
        Ok(ReplicaAnswer::Counted(self.seats.borrow().census()))
    }

    pub(super) async fn receive(&self, ticket: Ticket, mut request: Request) -> Result<Fetched, Error> {
        // The ticket has to be valid when the request arrives, however long the activation takes.
        let arrived = self.host().now();
        let replica = self.awake().await?;
        let taken = self.seats.borrow_mut().take(&ticket, arrived);
        let seat = match taken {
            Ok(seat) => seat,
            Err(refusal) => return Ok(Fetched::Refused { request, refusal }),
        };
        request.extensions_mut().insert(SeatMark(seat));
        let identity = request.extensions().get::<Identity>().map(|identity| identity.0.clone());
        let context = self.context();
        let mut received = std::pin::pin!(replica.receive(&context, request));
        // Most handlers never wait: then one report has the used ticket and what became of the seat.
        let answer = match first_poll(received.as_mut()).await {
            Some(answer) => answer,
            None => {
                report_newcomer(self);
                received.await
            }
        };
        let mut response = answer.map_err(|failure| {
            report_failure(&**self.host(), UserFunction::Receive, Some(self.core.object()), None, &failure);
            self.release(seat);
            public_error(&failure)
        })?;
        keep_engine_extensions(response.extensions_mut());
        if response.extensions().get::<SeatMark>().is_some()
            && self.siblings.borrow().are_of_later_life(ticket.id.epoch)
        {
            self.seat_is_known().await;
        }
        Ok(Fetched::Response(self.hand_over_seat(response, seat, identity)))
    }

    /// Gives the seat of an answered request to its socket, or to the body while it is streamed, or frees it.
    fn hand_over_seat(&self, mut response: Response, seat: SeatId, identity: Option<Bytes>) -> Response {
        if response.extensions_mut().remove::<SeatMark>().is_some_and(|mark| mark.0 == seat) {
            if let Some(OpensStream(format, _)) = response.extensions_mut().remove() {
                return self.open_stream(response, seat, format, identity);
            }
            // The socket opens before the client has the response, so the client misses no message after the response.
            let Some(client) = self.seats.borrow().client_of(seat).cloned() else { return response };
            let (socket, guard) = self.host().new_socket(self.address, &client, identity.as_ref());
            identity.into_iter().for_each(|identity| self.identities.borrow_mut().set(socket, identity));
            if let Some(FirstAttachment(attachment)) = response.extensions_mut().remove() {
                self.host().set_attachment(socket, attachment);
            }
            if let Some(FirstFormat(format)) = response.extensions_mut().remove() {
                self.rendering.set_format(socket, format);
                self.host().set_format(socket, format);
            }
            if response.extensions_mut().remove::<OnOpenFirst>().is_some() {
                self.outlets.begin_opening(socket);
            }
            self.open_socket(seat, socket);
            response.extensions_mut().insert(Upgrade::new(self.address, socket, guard));
            return response;
        }
        if response.body().is_stream() {
            report_newcomer(self);
            let guard = self.host().seat_guard(self.address, self.core.epoch(), seat);
            return self.core.streams().count(response, Some(guard));
        }
        self.release(seat);
        response
    }

    /// The Group has begun another life since it gave a ticket, and does not know the seat: what it sends would miss the
    /// socket. So the socket opens when the Group knows the seat. If it cannot be heard, the socket opens all the same.
    pub(super) async fn seat_is_known(&self) {
        let change = self.seats.borrow().last_change();
        if let Err(error) = reported(self, change, || Ok(())).await {
            log_limited!(self.host(), warn, "a socket opens that its Group does not know", replica = %self.address, "the Group may miss a socket of Replica {} until it is heard again: {error}", self.address);
        }
    }

    pub(super) fn open_socket(&self, seat: SeatId, socket: SocketId) {
        let client = self.seats.borrow_mut().open(seat, socket);
        if let Some(client) = client {
            if client.awaits_assignment() {
                self.watch_unassigned(socket);
            }
            presence::opened(self, socket, &client);
            report_newcomer(self);
            self.run(socket, client, Event::Open);
        }
    }

    /// Closes a socket when its client was not assigned in time.
    pub(super) fn watch_unassigned(&self, socket: SocketId) {
        if !self.assigning.watch(socket, self.host().now()) {
            return;
        }
        let (host, weak) = (Rc::clone(self.host()), self.this.clone());
        self.host().spawn(Box::pin(async move {
            loop {
                let Some(next) = weak.upgrade().and_then(|this| this.assigning.next(host.now())) else { return };
                host.sleep(next).await;
                match weak.upgrade().filter(|this| !this.core.life().has_ended()) {
                    Some(this) => this.close_unassigned(),
                    None => return,
                }
            }
        }));
    }

    pub(super) fn message_came(&self, socket: SocketId, message: Message) -> Readiness {
        if let Some(over) = self.rates.over()
            && !admits(self, socket, message.len(), over)
        {
            return self.readiness(socket);
        }
        if let Some(auto) = R::AUTO_RESPONSE
            && message.as_text() == Some(auto.request())
        {
            self.outlets.deliver(&Message::text(auto.response()), &[socket], &[]);
            return self.readiness(socket);
        }
        let Some(message) = self.turns.borrow_mut().queue(socket, message) else { return Readiness::Busy };
        let client = self.seats.borrow().client(socket).cloned();
        // The socket may have ended while the message was on its way.
        let Some(client) = client else { return Readiness::Ready };
        self.run(socket, client, Event::Message(message));
        self.readiness(socket)
    }

    /// A message of the client of an event stream, which came in a request of its own.
    pub(super) fn hand(&self, session: &Session, message: Message) -> Result<(), Error> {
        let socket = self.outlets.named(session).ok_or_else(Session::not_found)?;
        if self.turns.borrow().is_full(socket) {
            let text = "too many messages wait for a handler of this event stream: try again later";
            return Err(Error::new(Kind::TooMany, text));
        }
        if is_planted(Fault::HandedTwice) {
            self.message_came(socket, message.clone());
        }
        self.message_came(socket, message);
        Ok(())
    }

    fn readiness(&self, socket: SocketId) -> Readiness {
        if self.turns.borrow().is_busy(socket) { Readiness::Busy } else { Readiness::Ready }
    }

    /// Takes the socket out of fan-out and frees its seat at once. Its last handler runs after those before it. Only the
    /// first end of a socket counts.
    pub(super) fn end_socket(&self, socket: SocketId, end: End, by: EndedBy) {
        if self.core.life().has_ended() {
            return;
        }
        let attachment = self.outlets.attachment(socket);
        self.outlets.forget(socket);
        self.rates.forget(socket);
        self.rendering.forget(socket);
        let followed = followed_by(self, socket);
        let Some(client) = self.seats.borrow_mut().close(socket) else { return };
        unfollow_unused(self, &followed);
        presence::closed(self, socket, &end);
        report(self);
        report_soon(self);
        let Some((end, attachment)) = self.turns.borrow_mut().end(socket, end, attachment, by) else { return };
        if is_planted(Fault::SocketEndsTwice) {
            self.run_with(socket, client.clone(), Event::End(end.clone()), attachment.clone(), EndedBy::Host);
        }
        self.run_with(socket, client, Event::End(end), attachment, by);
    }

    fn run(&self, socket: SocketId, client: ClientId, event: Event) {
        self.run_with(socket, client, event, None, EndedBy::Host);
    }

    fn run_with(&self, id: SocketId, client: ClientId, event: Event, attachment: Option<Bytes>, by: EndedBy) {
        let Some(this) = self.this.upgrade() else { return };
        self.turns.borrow_mut().begin(id, attachment, by);
        let opens = matches!(event, Event::Open);
        let socket = Socket::new(self.port(), id, client);
        let socket = if opens && self.outlets.is_opening(id) { socket.first() } else { socket };
        let task = Rc::clone(&this);
        let handlers = async move {
            let mut next = Some(event);
            while let Some(event) = next {
                let is_last = matches!(event, Event::End(_));
                if let Event::Message(message) = &event
                    && task.rates.over() == Some(OverRate::Delay)
                {
                    keep_to_rate(&*task, id, message.len()).await;
                }
                let opens = matches!(event, Event::Open);
                task.handle(&socket, event).await;
                if opens {
                    task.outlets.end_opening(id);
                    opened(&*task, id);
                }
                if is_last {
                    task.identities.borrow_mut().forget(id);
                    task.assigning.forget(id);
                }
                next = task.next_event(id);
            }
        };
        if by == EndedBy::Verb {
            return spawn(&this, handlers);
        }
        start(&this, handlers);
        let waits = self.turns.borrow_mut().note_wait(id);
        if opens && waits && self.seats.borrow().client(id).is_some() {
            publications_wait(self, id);
        }
    }

    fn next_event(&self, socket: SocketId) -> Option<Event> {
        let next = self.turns.borrow_mut().next(socket);
        match next {
            Next::Run(event) => Some(event),
            Next::Done { resume } => {
                if resume {
                    self.outlets.resume(socket);
                }
                None
            }
        }
    }

    async fn handle(&self, socket: &Socket, event: Event) {
        let Ok(replica) = self.awake().await else { return };
        let context = self.context();
        let (outcome, function) = match event {
            Event::Open => (replica.on_open(&context, socket).await, UserFunction::OnOpen),
            Event::Message(message) => (replica.on_message(&context, socket, message).await, UserFunction::OnMessage),
            Event::End(End::Close(close)) => (replica.on_close(&context, socket, &close).await, UserFunction::OnClose),
            Event::End(End::Error(error)) => (replica.on_error(&context, socket, &error).await, UserFunction::OnError),
        };
        if let Err(failure) = outcome {
            self.handler_failed(socket.id(), function, &failure);
        }
        if function.ends_socket() {
            self.states.remove(socket.id());
        }
    }

    /// A handler has returned an error: this socket ends, and no other.
    fn handler_failed(&self, socket: SocketId, function: UserFunction, failure: &Failure) {
        if !is_about_ended_socket(failure, socket) {
            report_failure(&**self.host(), function, Some(self.core.object()), Some(socket), failure);
        }
        if !function.ends_socket() {
            self.outlets.close(socket, CloseCode::HANDLER_FAILED, "");
            let close = Close::new(CloseCode::HANDLER_FAILED, "");
            let end = End::Error(SocketError::new(SocketErrorKind::Handler, close));
            self.end_socket(socket, end, EndedBy::Handler);
        }
    }
}

/// Whether a handler of `socket` has failed only because the client had left meanwhile. This is not logged. An error about
/// another socket is the handler's own fault.
fn is_about_ended_socket(failure: &Failure, socket: SocketId) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(failure.cause());
    while let Some(error) = cause {
        if error.downcast_ref::<Error>().is_some_and(|error| error.socket() == Some(socket)) {
            return true;
        }
        cause = error.source();
    }
    false
}
