//! The App, and the way from outside to a Replica.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use dog::http::{Extensions, HeaderValue, StatusCode, header};
use dog::internal::{AppPort, Kind, LocalFuture, SeatPort};
use dog::{App, Body, ClientId, Dog, Env, Error, GroupId, ReplicaId, Request, Response, SocketId};
use futures_util::FutureExt;
use http_body::{Frame, SizeHint};

use super::calls::{ANSWER_DEADLINE, by_deadline, unexpected};
use super::life::panic_text;
use super::replica::Seated;
use super::sockets::Attached;
use crate::address::{GroupAddress, ReplicaAddress, Ticket};
use crate::handshake::Deflate;
use crate::host::{Fetched, Host, Occurrence, SeatGuard};
use crate::message::{GroupAnswer, GroupCall, GroupCast};
use crate::repeats::seldom;
use crate::seats::Refusal;

/// How often a request that a Replica refused is placed anew.
const PLACINGS: usize = 3;

/// Runs a user's App on one host.
pub struct Front<A, H> {
    app: Arc<A>,
    dog: Dog<A>,
    host: Rc<H>,
}

impl<A: App, H: Host> Front<A, H> {
    /// `app`, whose Groups are reached through `host`.
    pub fn new(app: Arc<A>, host: Rc<H>) -> Self {
        let dog = Dog::new(Rc::new(Port(Rc::clone(&host))));
        Self { app, dog, host }
    }

    /// The host.
    pub fn host(&self) -> &Rc<H> {
        &self.host
    }

    /// Answers a request from outside. Whatever fails becomes a response that shows nothing of the inside.
    pub async fn fetch(&self, request: Request) -> Response {
        match AssertUnwindSafe(self.app.fetch(request, &self.dog)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => match failure.downcast_ref::<Error>() {
                Some(error) => {
                    // That there is no room is counted by the host, and no fault.
                    if error.status().is_server_error() && !error.is_no_room() {
                        seldom!(self.host, error, "a request failed", "a request failed: {failure}");
                    }
                    with_delay(dog::text_response(error.status(), error.public_text()))
                }
                None => {
                    self.host.occurred(Occurrence::Failed { handler: "App::fetch", cause: &failure });
                    seldom!(self.host, error, "App::fetch failed", "App::fetch failed: {failure}");
                    internal_error()
                }
            },
            Err(panic) => {
                let what = panic_text(&*panic);
                self.host.occurred(Occurrence::Panicked(&what));
                seldom!(self.host, error, "App::fetch panicked", "App::fetch panicked: {what}");
                internal_error()
            }
        }
    }
}

/// When a client that is told "not now" may come back, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

fn with_delay(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// Leaves nothing in the extensions of an object's response but what the engine itself needs there. Between nodes no
/// extension travels, in either direction, so none passes on one server either: an App that relied on it would break as soon
/// as it had a second node.
pub(super) fn keep_ours(extensions: &mut Extensions) {
    if extensions.is_empty() {
        return;
    }
    let mut all = std::mem::take(extensions);
    keep::<Seated>(&mut all, extensions);
    keep::<Attached>(&mut all, extensions);
    keep::<Deflate>(&mut all, extensions);
}

fn keep<T: Clone + Send + Sync + 'static>(from: &mut Extensions, to: &mut Extensions) {
    if let Some(value) = from.remove::<T>() {
        to.insert(value);
    }
}

fn internal_error() -> Response {
    dog::text_response(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

/// What stands beneath a [`Dog`].
struct Port<H>(Rc<H>);

impl<H: Host> Port<H> {
    fn address(&self, class: &str, group: GroupId) -> Result<GroupAddress, Error> {
        match self.0.class(class) {
            Some(class) => Ok(GroupAddress { class, group }),
            None => Err(Error::new(Kind::UnknownGroup, format!("the Group \"{class}\" is missing in App::Groups"))),
        }
    }
}

impl<H: Host> AppPort for Port<H> {
    fn env(&self) -> &Env {
        self.0.env()
    }

    fn identify(
        &self,
        class: &'static str,
        group: GroupId,
        client: ClientId,
    ) -> LocalFuture<Result<Box<dyn SeatPort>, Error>> {
        let host = Rc::clone(&self.0);
        let address = self.address(class, group);
        Box::pin(async move {
            let group = address?;
            let ticket = place(&host, group, client, None).await?;
            Ok(Box::new(Place { host, group, ticket: Some(ticket) }) as Box<dyn SeatPort>)
        })
    }

    fn refusal(&self, request: &Request) -> Option<Response> {
        self.0.shake_hands(request).err().map(|refusal| *refusal)
    }

    fn fetch_group(
        &self,
        class: &'static str,
        group: GroupId,
        mut request: Request,
    ) -> LocalFuture<Result<Response, Error>> {
        request.extensions_mut().clear();
        match self.address(class, group) {
            Ok(address) => self.0.fetch_group(address, request),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

async fn place<H: Host>(
    host: &Rc<H>,
    group: GroupAddress,
    client: ClientId,
    refused: Option<ReplicaId>,
) -> Result<Ticket, Error> {
    let answer = host.call_group(group, GroupCall::Identify { client, refused, near: host.node() });
    let asked = Identifying { host: Rc::clone(host), group, answer: Some(answer) };
    match by_deadline(host, ANSWER_DEADLINE * 2, asked).await? {
        GroupAnswer::Identified(ticket) => Ok(ticket),
        GroupAnswer::Located(_) | GroupAnswer::Enrolled(_) | GroupAnswer::Parked(_) => Err(unexpected()),
    }
}

/// How long the answer to an abandoned question is waited for. A ticket that comes later still expires by itself.
const ABANDONED: Duration = Duration::from_secs(60);

/// The answer to [`GroupCall::Identify`] on its way. Dropped before it comes, because the deadline has passed or the client
/// has gone, it gives back the ticket that comes: else the seat would be taken until the ticket expires, and who connects
/// and leaves again and again would make the cluster grow.
struct Identifying<H: Host> {
    host: Rc<H>,
    group: GroupAddress,
    /// Until it has come.
    answer: Option<LocalFuture<Result<GroupAnswer, Error>>>,
}

impl<H: Host> Future for Identifying<H> {
    type Output = Result<GroupAnswer, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(unexpected())) };
        let answer = ready!(answer.as_mut().poll(context));
        self.answer = None;
        Poll::Ready(answer)
    }
}

impl<H: Host> Drop for Identifying<H> {
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

/// A seat that is kept, until it is used or dropped.
struct Place<H: Host> {
    host: Rc<H>,
    group: GroupAddress,
    ticket: Option<Ticket>,
}

impl<H: Host> Place<H> {
    fn use_ticket(&mut self) -> Result<Ticket, Error> {
        self.ticket.take().ok_or_else(|| Error::new(Kind::NoTicket, "the ticket was used before"))
    }

    async fn take_seat(&mut self, mut request: Request) -> Result<Response, Error> {
        request.extensions_mut().clear();
        for _ in 0..PLACINGS {
            let ticket = self.use_ticket()?;
            let (replica, client) = (ticket.replica, ticket.client.clone());
            let address = ReplicaAddress { group: self.group, replica };
            match self.host.fetch_replica(address, ticket.clone(), request).await {
                Err(error) => {
                    // It may never have arrived. One that was used is given back in vain, and nothing changes.
                    self.host.cast_group(self.group, GroupCast::Release(ticket));
                    return Err(error);
                }
                Ok(Fetched::Response(response)) => return Ok(response),
                Ok(Fetched::Refused { request: untouched, refusal }) => {
                    tracing::debug!(replica = %address, "placed anew: {refusal}");
                    request = untouched;
                    let refused = (refusal == Refusal::Full).then_some(replica);
                    self.ticket = Some(place(&self.host, self.group, client, refused).await?);
                }
            }
        }
        Err(Error::new(Kind::NoRoom, "no Replica took the request: try again later"))
    }
}

impl<H: Host> SeatPort for Place<H> {
    fn replica(&self) -> ReplicaId {
        // It is there until `fetch` has consumed this.
        self.ticket.as_ref().map_or(ReplicaId::from_bytes([0; 32]), |ticket| ticket.replica)
    }

    fn fetch(mut self: Box<Self>, request: Request) -> LocalFuture<Result<Response, Error>> {
        Box::pin(async move { self.take_seat(request).await })
    }
}

impl<H: Host> Drop for Place<H> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.host.cast_group(self.group, GroupCast::Release(ticket));
        }
    }
}

/// Stands in a response that opens a WebSocket: which socket the connection is to be handed to. Dropped with the
/// response unused, it ends the socket.
#[derive(Clone)]
pub struct Upgrade {
    replica: ReplicaAddress,
    socket: SocketId,
    guard: Arc<dyn SeatGuard>,
}

impl Upgrade {
    pub(super) fn new(replica: ReplicaAddress, socket: SocketId, guard: Arc<dyn SeatGuard>) -> Self {
        Self { replica, socket, guard }
    }

    /// The Replica and the socket. From now on whoever asked answers for the socket.
    pub fn accept(self) -> (ReplicaAddress, SocketId) {
        self.guard.disarm();
        (self.replica, self.socket)
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Upgrade({}, {:?})", self.replica, self.socket)
    }
}

/// The responses of one object that are being streamed: what streams them may need the object's value, so that it stays.
#[derive(Debug, Default)]
pub(super) struct Streams(Arc<AtomicUsize>);

impl Streams {
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// Counts the response until its body has been sent, or given up, wherever that is; a request keeps its seat as long.
    pub(super) fn count(&self, response: Response, seat: Option<Arc<dyn SeatGuard>>) -> Response {
        if !response.body().is_stream() {
            return response;
        }
        self.0.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(Arc::clone(&self.0));
        response.map(|body| Body::stream(CountedBody { body, counted, seat }))
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[allow(dead_code, reason = "some of it is there to be dropped, in this order")]
struct CountedBody {
    body: Body,
    counted: Counted,
    /// Gives the seat back: then the Replica looks whether it can rest.
    seat: Option<Arc<dyn SeatGuard>>,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
