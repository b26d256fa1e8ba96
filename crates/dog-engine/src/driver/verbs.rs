//! What a Replica's handlers can do: the four verbs, and what else needs the Replica's driver. What they hold it by stands in
//! `replica_port`.

use bytes::Bytes;
use dog::{BroadcastReport, ClientId, Close, CloseCode, Error, Message, Replica, Request, Response, SocketId};

use super::calls::{ANSWER_DEADLINE, ask_in_turn, by_deadline, unexpected};
use super::life::Activation;
use super::replica::{ReplicaDriver, Seated};
use super::sockets::{Attached, By};
use crate::address::Targets;
use crate::host::{End, Host};
use crate::message::{Delivery, GroupAnswer, GroupCall, ReplicaAnswer, ReplicaCall, ReplicaCast};
use crate::repeats::seldom;

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    /// To this Replica's own sockets. How many took it.
    pub(super) fn deliver(&self, message: &Message, except: Option<&ClientId>) -> usize {
        let seats = self.seats.borrow();
        let left_out = except.map_or(&[][..], |client| seats.sockets_of(client));
        self.host.deliver_to_all(message, &seats.audience(), left_out)
    }

    /// To one client's sockets here. How many took it.
    pub(super) fn deliver_to(&self, client: &ClientId, message: &Message) -> usize {
        self.host.deliver(message, self.seats.borrow().sockets_of(client), &[])
    }

    pub(super) async fn confirm(&self, message: Message, except: Option<ClientId>) -> BroadcastReport {
        let mut reach = BroadcastReport { sockets: self.deliver(&message, except.as_ref()), missing: Vec::new() };
        let call = ReplicaCall::Deliver(Delivery { message, except });
        self.count(&self.siblings(), &call, &mut reach).await;
        reach
    }

    pub(super) async fn whisper_to(
        &self,
        activation: &Activation,
        client: ClientId,
        message: Message,
    ) -> Result<usize, Error> {
        let call = GroupCall::Locate { client: client.clone() };
        let answer = self.host.call_group(self.address.group, call);
        let GroupAnswer::Located(places) = by_deadline(&self.host, ANSWER_DEADLINE, answer).await? else {
            return Err(unexpected());
        };
        // It may have ended while the Group was asked.
        activation.check()?;
        let here = places.contains(&self.address.replica);
        let mut reach =
            BroadcastReport { sockets: if here { self.deliver_to(&client, &message) } else { 0 }, missing: Vec::new() };
        let elsewhere =
            Targets { group: self.address.group, replicas: places.into(), except: Some(self.address.replica) };
        self.count(&elsewhere, &ReplicaCall::Whisper { client, message }, &mut reach).await;
        for (replica, error) in reach.missing {
            seldom!(self.host, warn, "a whisper may not have reached a Replica", replica = %self.address, "a whisper may not have reached Replica {replica:?}: {error}");
        }
        Ok(reach.sockets)
    }

    /// Asks all `targets` to deliver, and adds up what they say.
    async fn count(&self, targets: &Targets, call: &ReplicaCall, reach: &mut BroadcastReport) {
        for (replica, answer) in ask_in_turn(&self.host, targets, call).await {
            match answer {
                Ok(ReplicaAnswer::Delivered(sockets)) => reach.sockets += sockets,
                Ok(_) => reach.missing.push((replica, unexpected())),
                Err(error) => reach.missing.push((replica, error)),
            }
        }
    }

    fn is_open(&self, socket: SocketId) -> bool {
        self.seats.borrow().client(socket).is_some()
    }

    fn open(&self, socket: SocketId) -> Result<(), Error> {
        if self.is_open(socket) { Ok(()) } else { Err(Error::of_socket(socket)) }
    }

    pub(super) fn open_sockets(&self) -> Vec<(SocketId, ClientId)> {
        let seats = self.seats.borrow();
        let client = |socket: &SocketId| seats.client(*socket).map(|client| (*socket, client.clone()));
        seats.sockets().iter().filter_map(client).collect()
    }

    pub(super) fn shake_hands(&self, request: &Request, attachment: Option<Bytes>) -> Response {
        let Some(seated) = request.extensions().get::<Seated>().copied() else {
            // A request of the user's own making, or one that was connected before.
            return dog::text_response(dog::http::StatusCode::SERVICE_UNAVAILABLE, "this request has no seat");
        };
        match self.host.shake_hands(request) {
            Ok(mut response) => {
                response.extensions_mut().insert(seated);
                if let Some(attachment) = attachment {
                    response.extensions_mut().insert(Attached(attachment));
                }
                response
            }
            Err(refusal) => *refusal,
        }
    }

    pub(super) fn send(&self, socket: SocketId, message: &Message) -> Result<(), Error> {
        self.open(socket)?;
        self.host.deliver(message, &[socket], &[]);
        Ok(())
    }

    pub(super) fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        if self.is_open(socket) {
            self.host.close(socket, code, reason);
            self.end_socket(socket, End::Close(Close::new(code, reason)), By::Verb);
        }
    }

    pub(super) fn broadcast(&self, message: &Message, except: Option<&ClientId>) {
        self.deliver(message, except);
        let siblings = self.siblings();
        if siblings.iter().next().is_some() {
            let delivery = Delivery { message: message.clone(), except: except.cloned() };
            self.host.cast_replicas(&siblings, ReplicaCast::Deliver(delivery));
        }
    }

    pub(super) fn attachment(&self, socket: SocketId) -> Result<Option<Bytes>, Error> {
        if self.is_open(socket) {
            return Ok(self.host.attachment(socket));
        }
        let turns = self.turns.borrow();
        let ending = turns.get(&socket).ok_or_else(|| Error::of_socket(socket))?;
        Ok(ending.attachment.clone())
    }

    pub(super) fn set_attachment(&self, socket: SocketId, attachment: Bytes) -> Result<(), Error> {
        self.open(socket)?;
        self.host.set_attachment(socket, attachment);
        Ok(())
    }
}
