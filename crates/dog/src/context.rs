//! What the handlers of a Replica are given: [`Context`].

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::Serialize;

use crate::accept::Accept;
use crate::body::{Request, Response};
use crate::call::ask;
use crate::close::CloseCode;
use crate::codec;
use crate::error::Error;
use crate::except::Except;
use crate::group::Group;
use crate::id::{ClientId, GroupId, ReplicaId};
#[cfg(feature = "log")]
use crate::log::verbs::{LogVerb, LogVerbAnswer, log_verbs};
use crate::message::IntoMessage;
use crate::object_methods::object_methods;
use crate::placement::Door;
#[cfg(any(feature = "log", feature = "presence"))]
use crate::port::LocalFuture;
use crate::port::{Opening, ReplicaPort};
#[cfg(feature = "presence")]
use crate::presence::verbs::presence_verbs;
use crate::replica::Replica;
use crate::replies::{BroadcastReport, GossipReplies};
use crate::socket::{Socket, encode_attachment};
use crate::verbs::GroupVerb;
#[cfg(feature = "presence")]
use crate::verbs::VerbAnswer;

/// The way from the code of a Replica to its sockets, its siblings, its storage and its host. Cloning it is cheap.
///
/// The verbs of a `Context` reach every receiver. The verbs of a [`Socket`] can leave out that socket, or its client.
///
/// **Order.** What one object sends reaches each socket in the order in which it was sent, whichever verbs were used. An
/// awaited verb sends while it is awaited. Delivery is at most once.
///
/// **Reentrancy.** No verb runs a handler before it returns. So a handler may hold a borrow of its own state across a verb
/// that it does not await.
///
/// **Tasks.** [`spawn`](Self::spawn) runs a task for as long as this life of the Replica lasts. A task that something else runs,
/// such as Tokio, may keep a clone. The clone works until this activation of the Replica is over, because the Replica hibernates
/// or a handler has panicked. After that, every verb and every call of the storage and of alarms fails with
/// [`Error::is_closed`], `close` does nothing, and `sockets` is empty. Let such a task end then; the next activation starts its
/// own.
///
/// Dropping the future of a verb is safe at any point. Whether its effect has happened by then is said at each verb.
pub struct Context<R> {
    port: Rc<dyn ReplicaPort>,
    class: PhantomData<fn() -> R>,
}

impl<R> Clone for Context<R> {
    fn clone(&self) -> Self {
        Self { port: Rc::clone(&self.port), class: PhantomData }
    }
}

impl<R: Replica> Context<R> {
    #[doc(hidden)]
    pub fn new(port: Rc<dyn ReplicaPort>) -> Self {
        Self { port, class: PhantomData }
    }

    pub(crate) fn port(&self) -> &dyn ReplicaPort {
        &*self.port
    }

    /// The id of this Replica.
    pub fn id(&self) -> ReplicaId {
        self.port().replica()
    }

    /// The id of its Group.
    pub fn group(&self) -> GroupId {
        self.port().group()
    }

    object_methods!(R);

    /// The open sockets of this Replica, in no particular order. Empty once this activation is over.
    pub fn sockets(&self) -> impl Iterator<Item = Socket> {
        let port = Rc::clone(&self.port);
        port.sockets().into_iter().map(move |(id, client)| Socket::new(Rc::clone(&port), id, client))
    }

    /// Accepts the request as a WebSocket. Return the response as it is, or with further headers. The socket opens when the
    /// client has the response; then `on_open` is called.
    ///
    /// A request that is not a valid handshake is answered with 405, 400 or 426 and takes no seat.
    #[must_use = "the socket opens when this response is returned"]
    pub fn connect(&self, request: Request) -> Response {
        self.port().connect(request, Opening::default())
    }

    /// Accepts the request as a WebSocket, like [`connect`](Self::connect), and attaches `attachment` to the new socket. Use
    /// it to keep what only the request says about the client: a name, a role, a language.
    ///
    /// ```
    /// # use dog::{Context, Replica, Request, Response, Result, Socket};
    /// # async fn receive<R: Replica>(cx: &Context<R>, request: Request) -> Result<Response> {
    /// let role = dog::query_param(&request, "role").unwrap_or_default();
    /// Ok(cx.connect_with(request, &role)?)
    /// # }
    /// # async fn on_open(socket: &Socket) -> Result {
    /// let role: Option<String> = socket.attachment()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No seat is taken in these cases:
    /// - [`Error::is_too_large`]: the attachment has more than 16 KiB when serialised.
    /// - [`Error::is_encoding`]: the attachment cannot be serialised.
    pub fn connect_with<T: Serialize>(&self, request: Request, attachment: &T) -> Result<Response, Error> {
        let attachment = encode_attachment(attachment)?;
        Ok(self.port().connect(request, Opening::with(attachment)))
    }

    /// Begins to accept the request as a WebSocket. Choose a subprotocol or a [format](crate::Format), attach a value, then
    /// [`connect`](Accept::connect).
    ///
    /// ```
    /// # use dog::{Context, Replica, Request, Response, Result};
    /// # async fn receive<R: Replica>(cx: &Context<R>, request: Request) -> Result<Response> {
    /// let speaks_v2 = dog::offered_subprotocols(&request).any(|name| name == "chat.v2");
    /// let accept = cx.accept(request).attachment(&speaks_v2);
    /// let accept = if speaks_v2 { accept.subprotocol("chat.v2") } else { accept };
    /// Ok(accept.connect()?)
    /// # }
    /// ```
    pub fn accept(&self, request: Request) -> Accept {
        Accept::new(Rc::clone(&self.port), request)
    }

    /// Takes no more newcomers: for a match that has begun, or a call that is locked. It holds when this returns. A client whose
    /// seat here was reserved before and has not come yet gets a seat on another Replica.
    ///
    /// - Clients that the Group remembers here may still come, while there is a free seat: those that have a seat, such as
    ///   with a second tab, and those that had or reserved one within [`Policy::sticky_for`](crate::Policy::sticky_for).
    /// - It lasts until [`open_to_newcomers`](Self::open_to_newcomers), also when the Group restarts. It ends with this life of
    ///   the Replica: when it restarts, and on Workers also when it hibernates. If what you have stored says that the match
    ///   has begun, close in [`activate`](Replica::activate) too: newcomers come after it.
    /// - A Replica that was parked, because it was empty for [`Policy::park_after`](crate::Policy::park_after), is open when
    ///   it is used again.
    /// - If all Replicas are full or closed, a newcomer gets a new one. If [`clusterize`](crate::Group::clusterize) names one
    ///   that is closed, the newcomer is refused with [`Error::is_no_room`], and the server logs it.
    ///
    /// ```
    /// # use dog::*;
    /// # fn has_begun() -> bool { true }
    /// # async fn on_open<R: Replica>(cx: &Context<R>, socket: &Socket) -> Result {
    /// if cx.sockets().count() == 4 {
    ///     cx.close_to_newcomers()?;
    ///     cx.emit("the match begins")?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_closed`]: this activation of the Replica is over.
    pub fn close_to_newcomers(&self) -> Result<(), Error> {
        self.port().set_door(Door::Closed)
    }

    /// Takes newcomers again, after [`close_to_newcomers`](Self::close_to_newcomers). The Group learns it with the next report,
    /// within 100 ms.
    ///
    /// # Errors
    /// [`Error::is_closed`]: this activation of the Replica is over.
    pub fn open_to_newcomers(&self) -> Result<(), Error> {
        self.port().set_door(Door::Open)
    }

    /// Sends to all sockets of this Replica. The message is queued when the call returns. See [`Socket::send`] for what that
    /// means, and for sizes.
    ///
    /// ```
    /// # use dog::*;
    /// # fn example<R: Replica>(cx: &Context<R>) -> Result<(), Error> {
    /// cx.emit("This table closes in a minute")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_closed`]: this activation of the Replica is over.
    pub fn emit(&self, message: impl IntoMessage) -> Result<(), Error> {
        self.port().emit(&message.into(), Except::Nobody)
    }

    /// Sends to all sockets of the Group, on every Replica. The message is on its way when the call returns. Each socket
    /// gets it at most once. A Replica that is dead or slow does not stop the others.
    ///
    /// ```
    /// # use dog::*;
    /// # fn example<R: Replica>(cx: &Context<R>) -> Result<(), Error> {
    /// cx.broadcast("The match begins")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_closed`]: this activation of the Replica is over.
    pub fn broadcast(&self, message: impl IntoMessage) -> Result<(), Error> {
        self.port().broadcast(&message.into(), Except::Nobody)
    }

    /// Sends to all sockets of the Group like [`broadcast`](Self::broadcast), and waits until every Replica has answered, 3
    /// s at most. The report has the number of sockets and the Replicas that did not answer.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, Replicas may have sent the message or not.
    ///
    /// ```
    /// # use dog::*;
    /// # async fn example<R: Replica>(cx: &Context<R>) -> Result<(), Error> {
    /// let report = cx.broadcast_confirmed("The match is over").await?;
    /// println!("{} sockets, {} Replicas did not answer", report.sockets, report.missing.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_closed`]: this activation of the Replica is over.
    pub async fn broadcast_confirmed(&self, message: impl IntoMessage) -> Result<BroadcastReport, Error> {
        self.port().broadcast_confirmed(message.into(), Except::Nobody).await
    }

    /// Sends to all sockets of one client, on whichever Replica they are. Returns the number of sockets; 0 means that the
    /// client is not connected.
    ///
    /// First the Group is asked where the client is, for 3 s at most; then its Replicas are asked to deliver, for 3 s at
    /// most. A Replica that does not answer is logged, and its sockets are not counted.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the message may have been sent or not.
    ///
    /// ```
    /// # use dog::*;
    /// # async fn example<R: Replica>(cx: &Context<R>) -> Result<(), Error> {
    /// let sockets = cx.whisper(&ClientId::new("ann")?, "It is your turn").await?;
    /// if sockets == 0 {
    ///     // Ann is not connected.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_deadline`]: the Group did not answer within 3 s.
    /// - [`Error::is_unreachable`]: the Group cannot be reached.
    /// - [`Error::is_too_many`]: 10,000 whispers wait for the Group already, because it is being activated or counts its
    ///   members.
    /// - [`Error::is_closed`]: this activation of the Replica is over.
    pub async fn whisper(&self, client: &ClientId, message: impl IntoMessage) -> Result<usize, Error> {
        self.port().whisper(client.clone(), message.into()).await
    }

    /// Asks every sibling that is in use, and waits until all have answered, 3 s at most. This Replica itself is not asked.
    ///
    /// - A sibling that fails, or does not answer in time, is in [`GossipReplies::missing`]. The answers of the others count.
    /// - A sibling that has had no sockets for [`Policy::park_after`](crate::Policy::park_after) is parked. It is not asked,
    ///   because that would activate it. [`GossipReplies::parked`] names those siblings, and [`GossipReplies::coverage`]
    ///   says whether anyone was left out.
    /// - If many handlers ask many siblings at the same time, a host lets them ask in turn. The wait is part of the 3 s.
    ///
    /// Cancel safe for the caller: if the future is dropped, siblings may run `on_gossip`, and their answers are discarded.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Lobby;
    /// # impl Group for Lobby {
    /// #     type Replica = Room;
    /// #     type Call = ();
    /// #     type Reply = ();
    /// #     const NAME: &'static str = "lobby";
    /// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
    /// #     fn limit(&self) -> Limit { Limit::new(50) }
    /// # }
    /// # struct Room;
    /// /// How many sockets does the whole Group have?
    /// async fn count(cx: &Context<Room>) -> Result<usize> {
    ///     let siblings = cx.gossip(&()).await?;
    ///     Ok(cx.sockets().count() + siblings.into_answers().sum::<usize>())
    /// }
    ///
    /// impl Replica for Room {
    ///     type Group = Lobby;
    ///     type Gossip = ();
    ///     type Answer = usize;
    /// #   async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #   async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    ///     async fn on_gossip(&self, cx: &Context<Self>, _: ()) -> Result<usize> {
    ///         Ok(cx.sockets().count())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_encoding`]: `gossip` cannot be serialised.
    /// - [`Error::is_closed`]: this activation of the Replica is over.
    pub async fn gossip(&self, gossip: &R::Gossip) -> Result<GossipReplies<R::Answer>, Error> {
        Ok(GossipReplies::decode(self.port().gossip(codec::encode(gossip)?).await?))
    }

    /// Closes all sockets of one client, on whichever Replica they are. This goes through the Group: see
    /// [`GroupContext::disconnect`](crate::GroupContext::disconnect). Use [`Socket::close`] for one socket of this Replica.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, sockets may have been closed or not.
    ///
    /// ```
    /// # use dog::*;
    /// # async fn example<R: Replica>(cx: &Context<R>) -> Result<(), Error> {
    /// let removed = CloseCode::new(4003).unwrap_or(CloseCode::POLICY);
    /// let report = cx.disconnect(&ClientId::new("ann")?, removed, "removed by a moderator").await?;
    /// println!("{} sockets closed", report.sockets);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_deadline`]: the Group did not answer within 3 s.
    /// - [`Error::is_unreachable`]: the Group cannot be reached.
    /// - [`Error::is_closed`]: this activation of the Replica is over.
    pub async fn disconnect(&self, client: &ClientId, code: CloseCode, reason: &str) -> Result<BroadcastReport, Error> {
        let (client, reason) = (client.clone(), reason.to_owned());
        self.port().verb(GroupVerb::Disconnect { client, code: code.as_u16(), reason }).await?.into_report()
    }

    /// Calls the Group of this Replica: [`Group::on_call`] answers. The Group is activated if it is not in memory.
    ///
    /// The Group answers within its [`Policy::call_deadline`](crate::Policy::call_deadline), 3 s by default. If nothing at all
    /// comes back, the call fails after 31 s, or when it is known that the Group's node has ended. It is never repeated.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the Group may carry out the call or not.
    ///
    /// ```
    /// # use dog::*;
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct AddPoints(u64);
    ///
    /// // The Group's `on_call` adds the points and returns the sum.
    /// async fn add_ten<Room>(cx: &Context<Room>) -> Result<u64, Error>
    /// where
    ///     Room: Replica<Group: Group<Call = AddPoints, Reply = u64>>,
    /// {
    ///     cx.call_group(&AddPoints(10)).await
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_handler`]: `on_call` or the Group's `activate` has failed or panicked.
    /// - [`Error::is_deadline`]: the call took too long. What it should do may be done or not.
    /// - [`Error::is_unreachable`]: the Group cannot be reached, has too many calls in progress, or ended before it answered.
    /// - [`Error::is_too_large`]: the call or the reply has more than [`MAX_CALL`](crate::MAX_CALL) bytes.
    /// - [`Error::is_encoding`]: the call or the reply cannot be serialised, or is of another release of the App.
    /// - [`Error::is_no_room`]: the Group is not in memory, and the host takes no further objects.
    /// - [`Error::is_closed`]: this activation of the Replica is over.
    pub async fn call_group(&self, call: &<R::Group as Group>::Call) -> Result<<R::Group as Group>::Reply, Error> {
        ask(call, async |call| self.port().call_group(call).await).await
    }

    #[cfg(feature = "log")]
    log_verbs!();

    #[cfg(feature = "log")]
    fn log_verb(&self, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>> {
        self.port().log(verb)
    }

    #[cfg(feature = "presence")]
    presence_verbs!();

    #[cfg(feature = "presence")]
    fn presence_verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
        self.port().verb(verb)
    }
}

impl<R> fmt::Debug for Context<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Context({:?})", self.port.replica())
    }
}
