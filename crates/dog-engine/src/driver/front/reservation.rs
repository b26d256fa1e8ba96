//! A seat that is reserved for a client of the App: from the Group's ticket to the request that uses it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{Identity, Kind, LocalFuture, SeatPort};
use dog::{ClientId, Error, ReplicaId, Request, Response};

use crate::address::{GroupAddress, ReplicaAddress, Ticket};
use crate::driver::calls::{ANSWER_DEADLINE, by_deadline, unexpected_answer};
use crate::driver::extensions::prepare_request;
use crate::fault_injection::{Fault, is_planted};
use crate::host::{Fetched, Host};
use crate::message::{GroupAnswer, GroupCall, GroupCast};
use crate::seats::Refusal;

/// How many tickets are tried for one request.
const ATTEMPTS: usize = 3;

/// How long the answer to an abandoned call is still waited for. A ticket that comes later expires by itself.
const ABANDONED: Duration = Duration::from_secs(60);

/// A reserved seat. Dropped unused, it gives the ticket back.
pub(super) struct Reservation<H: Host> {
    host: Rc<H>,
    group: GroupAddress,
    /// Until it is used.
    ticket: Option<Ticket>,
}

impl<H: Host> Reservation<H> {
    /// Asks the Group for a ticket.
    pub(super) async fn make(host: Rc<H>, group: GroupAddress, client: ClientId) -> Result<Self, Error> {
        let ticket = identify(&host, group, client, None).await?;
        Ok(Self { host, group, ticket: Some(ticket) })
    }

    fn use_ticket(&mut self) -> Result<Ticket, Error> {
        self.ticket.take().ok_or_else(|| Error::new(Kind::NoTicket, "the ticket was used before"))
    }

    async fn take_seat(&mut self, mut request: Request, identity: Option<Bytes>) -> Result<Response, Error> {
        prepare_request(&mut request, identity.map(Identity));
        for _ in 0..ATTEMPTS {
            let ticket = self.use_ticket()?;
            let (replica, client) = (ticket.replica, ticket.client.clone());
            let address = ReplicaAddress { group: self.group, replica };
            match self.host.fetch_replica(address, ticket.clone(), request).await {
                Err(error) => {
                    // The request may never have arrived. If it has, releasing the used ticket changes nothing.
                    self.host.cast_group(self.group, GroupCast::Release(ticket));
                    return Err(error);
                }
                Ok(Fetched::Response(response)) => return Ok(response),
                Ok(Fetched::Refused { request: untouched, refusal }) => {
                    tracing::debug!(replica = %address, "the ticket was refused, so another is requested: {refusal}");
                    request = untouched;
                    if refusal == Refusal::Closed && !is_planted(Fault::RefusedTicketIsKept) {
                        // The seat is free, for those who are known there. The ticket of a Replica that is full is kept until it
                        // expires: the Group believes in too many free seats there, and the ticket takes one of them.
                        self.host.cast_group(self.group, GroupCast::Release(ticket));
                    }
                    let refused = matches!(refusal, Refusal::Full | Refusal::Closed).then_some(replica);
                    self.ticket = Some(identify(&self.host, self.group, client, refused).await?);
                }
            }
        }
        Err(Error::new(Kind::NoRoom, "no Replica took the request: try again later"))
    }
}

impl<H: Host> SeatPort for Reservation<H> {
    fn replica(&self) -> ReplicaId {
        // The ticket is there until `fetch` has consumed this.
        self.ticket.as_ref().map_or(ReplicaId::from_bytes([0; 32]), |ticket| ticket.replica)
    }

    fn fetch(mut self: Box<Self>, request: Request, identity: Option<Bytes>) -> LocalFuture<Result<Response, Error>> {
        Box::pin(async move { self.take_seat(request, identity).await })
    }
}

impl<H: Host> Drop for Reservation<H> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.host.cast_group(self.group, GroupCast::Release(ticket));
        }
    }
}

async fn identify<H: Host>(
    host: &Rc<H>,
    group: GroupAddress,
    client: ClientId,
    refused: Option<ReplicaId>,
) -> Result<Ticket, Error> {
    let answer = host.call_group(group, GroupCall::Identify { client, refused, near: host.node() });
    let call = IdentifyCall { host: Rc::clone(host), group, answer: Some(answer) };
    match by_deadline(host, ANSWER_DEADLINE * 2, call).await? {
        GroupAnswer::Identified(ticket) => Ok(ticket),
        _ => Err(unexpected_answer()),
    }
}

/// The call [`GroupCall::Identify`]. Dropped before the answer, because the deadline has passed or the client has gone, it
/// gives back the ticket that comes later. Otherwise the seat would be taken until the ticket expires, and a client that
/// connects and leaves again and again would make the cluster grow.
struct IdentifyCall<H: Host> {
    host: Rc<H>,
    group: GroupAddress,
    /// Until it has come.
    answer: Option<LocalFuture<Result<GroupAnswer, Error>>>,
}

impl<H: Host> Future for IdentifyCall<H> {
    type Output = Result<GroupAnswer, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(unexpected_answer())) };
        let answer = ready!(answer.as_mut().poll(context));
        self.answer = None;
        Poll::Ready(answer)
    }
}

impl<H: Host> Drop for IdentifyCall<H> {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        let (host, group) = (Rc::clone(&self.host), self.group);
        self.host.spawn(Box::pin(async move {
            if let Ok(GroupAnswer::Identified(ticket)) = by_deadline(&host, ABANDONED, answer).await {
                host.cast_group(group, GroupCast::Release(ticket));
            }
        }));
    }
}
