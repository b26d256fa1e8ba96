//! The handles that lead to a Group and to a Replica: [`GroupHandle`], [`ReplicaHandle`].

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::Serialize;

use crate::anonymous::Anonymous;
use crate::body::{Request, Response};
use crate::call::ask;
use crate::codec;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::id::{ClientId, GroupId, ReplicaId};
#[cfg(feature = "log")]
use crate::log::verbs::{LogVerb, LogVerbAnswer, log_verbs};
use crate::message::Message;
use crate::port::{AppPort, LocalFuture, SeatPort};
#[cfg(feature = "presence")]
use crate::presence::verbs::presence_verbs;
use crate::replica::Replica;
use crate::replies::GossipReplies;
use crate::request::encode_identity;
use crate::topic::Topic;
use crate::verbs::{GroupVerb, VerbAnswer, group_verbs};

/// A handle to one Group, for the [`App`](crate::App) and for objects.
pub struct GroupHandle<G> {
    port: Rc<dyn AppPort>,
    id: GroupId,
    class: PhantomData<fn() -> G>,
}

impl<G> GroupHandle<G> {
    pub(crate) fn new(port: Rc<dyn AppPort>, id: GroupId) -> Self {
        Self { port, id, class: PhantomData }
    }
}

impl<G: Group> GroupHandle<G> {
    /// The id of the Group.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Asks the Group which Replica serves `client`, and reserves a seat there.
    ///
    /// The Group chooses, in this order: the Replica that served the client before, if it has room; the least used Replica; a
    /// parked Replica; a new one. The seat stays reserved for [`Policy::ticket_lifetime`](crate::Policy::ticket_lifetime)
    /// (default 10 s). [`ReplicaHandle::fetch`] uses it; dropping the handle gives it back.
    ///
    /// The answer must come within 6 s.
    ///
    /// Cancel safe: if the future is dropped, the seat is given back, or the reservation expires.
    ///
    /// ```
    /// # use dog::*;
    /// # async fn fetch<G: Group>(lobby: GroupHandle<G>, request: Request) -> Result<Response> {
    /// let client = ClientId::new(query_param(&request, "user").unwrap_or_default())?;
    /// let replica = lobby.identify(&client).await?;
    /// Ok(replica.fetch(request).await?)
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_deadline`]: no answer came within 6 s.
    /// - [`Error::is_unreachable`]: the Group or the new Replica cannot be reached.
    /// - [`Error::is_handler`]: `activate` or `clusterize` failed.
    /// - [`Error::is_no_room`]: no Replica has a free seat, and the host takes no further objects.
    /// - [`Error::is_too_many`]: 100,000 clients wait for this Group already, because it is being activated, or because its
    ///   new Replicas are.
    pub async fn identify(&self, client: &ClientId) -> Result<ReplicaHandle<G::Replica>, Error> {
        client.check_known()?;
        let seat = self.port.identify(G::NAME, self.id, client.clone()).await?;
        Ok(ReplicaHandle { seat, class: PhantomData })
    }

    /// Calls the Group: [`Group::on_call`] answers. The Group is activated if it is not in memory, and is created if this is
    /// its first use. No seat is taken, and no Replica is created.
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
    /// // Its `on_call` adds the points and returns the sum.
    /// async fn add_ten<Score: Group<Call = AddPoints, Reply = u64>>(score: &GroupHandle<Score>) -> Result<u64, Error> {
    ///     score.call(&AddPoints(10)).await
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
    pub async fn call(&self, call: &G::Call) -> Result<G::Reply, Error> {
        ask(call, async |call| self.port.call_group(G::NAME, self.id, call).await).await
    }

    /// Reserves a seat for a client that is not known yet, for example because its token comes in its first message. The
    /// request gets a generated [`ClientId`] that no user can have ([`ClientId::is_anonymous`]).
    ///
    /// [`Socket::assign`](crate::Socket::assign) names the client of the socket later. Until then, whispers and counts know it
    /// under the generated id only. `anonymous` says whether that has to happen in time.
    ///
    /// The Group chooses the Replica as in [`identify`](Self::identify), but does not know where the client was before, and
    /// forgets it with its last seat.
    ///
    /// ```
    /// # use dog::*;
    /// # async fn fetch<G: Group>(lobby: GroupHandle<G>, request: Request) -> Result<Response> {
    /// let replica = lobby.identify_anonymous(Anonymous::UntilAssigned).await?;
    /// Ok(replica.fetch(request).await?)
    /// # }
    /// # fn check_token(_: &Message) -> Result<ClientId> { Ok(ClientId::new("ann")?) }
    /// # async fn on_message(socket: &Socket, message: Message) -> Result {
    /// // Then, in `Replica::on_message`:
    /// if socket.client().is_anonymous() {
    ///     socket.assign(&check_token(&message)?).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`identify`](Self::identify).
    pub async fn identify_anonymous(&self, anonymous: Anonymous) -> Result<ReplicaHandle<G::Replica>, Error> {
        let seat = self.port.identify(G::NAME, self.id, ClientId::to_be_generated(anonymous)).await?;
        Ok(ReplicaHandle { seat, class: PhantomData })
    }

    /// Passes a request to the Group itself. [`Group::receive`] answers it, without a deadline.
    ///
    /// Not cancel safe: if the future is dropped, the Group may have handled the request or not.
    ///
    /// ```
    /// # use dog::*;
    /// # async fn fetch<G: Group>(lobby: GroupHandle<G>, request: Request) -> Result<Response> {
    /// match request.uri().path() {
    ///     "/settings" => Ok(lobby.fetch(request).await?),
    ///     _ => Ok(text_response(http::StatusCode::NOT_FOUND, "no such page")),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_unreachable`]: the Group cannot be reached, or its activation ended before it answered.
    /// - [`Error::is_handler`]: `activate` or `receive` failed.
    pub async fn fetch(&self, request: Request) -> Result<Response, Error> {
        self.port.fetch_group(G::NAME, self.id, request).await
    }

    group_verbs!();

    /// Asks every Replica of the Group that has sockets, and waits until all have answered, 3 s at most.
    ///
    /// Replicas without sockets are not asked, because that would activate them; [`GossipReplies::parked`] names them. A
    /// Replica that fails, or does not answer in time, is in [`GossipReplies::missing`].
    ///
    /// Cancel safe for the caller: if the future is dropped, Replicas may run `on_gossip`, and their answers are discarded.
    ///
    /// ```
    /// # use dog::*;
    /// // Its Replica answers `on_gossip` with the number of players.
    /// async fn players<Lobby>(lobby: &GroupHandle<Lobby>) -> Result<usize, Error>
    /// where
    ///     Lobby: Group<Replica: Replica<Gossip = (), Answer = usize>>,
    /// {
    ///     Ok(lobby.gossip(&()).await?.into_answers().sum())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_encoding`]: the question cannot be serialised. Otherwise as
    /// [`broadcast_confirmed`](Self::broadcast_confirmed).
    pub async fn gossip(
        &self,
        gossip: &<G::Replica as Replica>::Gossip,
    ) -> Result<GossipReplies<<G::Replica as Replica>::Answer>, Error> {
        self.verb(GroupVerb::Gossip(codec::encode(gossip)?)).await?.into_replies()
    }

    #[cfg(feature = "log")]
    log_verbs!();

    #[cfg(feature = "log")]
    fn log_verb(&self, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>> {
        self.port.log(G::NAME, self.id, verb)
    }

    #[cfg(feature = "presence")]
    presence_verbs!();

    #[cfg(feature = "presence")]
    fn presence_verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
        self.verb(verb)
    }

    fn cast(&self, topic: Option<Topic>, message: Message) -> Result<(), Error> {
        self.port.broadcast(G::NAME, self.id, topic, message)
    }

    pub(crate) fn verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
        self.port.verb(G::NAME, self.id, verb)
    }
}

/// A handle to the Replica that serves a client, with a reserved seat there. Dropping the handle gives the seat back.
pub struct ReplicaHandle<R> {
    seat: Box<dyn SeatPort>,
    class: PhantomData<fn() -> R>,
}

impl<R: Replica> ReplicaHandle<R> {
    /// The id of the Replica.
    pub fn id(&self) -> ReplicaId {
        self.seat.replica()
    }

    /// Takes the seat and passes the request to the Replica. [`Replica::receive`] answers it, without a deadline.
    ///
    /// If the Replica has no seat for the request after all, because it was activated again or the reservation has expired,
    /// the Group is asked once more, with a deadline of 6 s, and the request goes to the Replica that it names then. This
    /// happens at most twice.
    ///
    /// Not cancel safe: if the future is dropped, the Replica may have handled the request or not. The seat is free again
    /// when the handler has returned. A socket that the response would have opened is ended.
    ///
    /// # Errors
    /// - [`Error::is_no_room`]: three Replicas in turn had no seat, or the host takes no further objects.
    /// - [`Error::is_unreachable`]: the Replica cannot be reached, or its activation ended before it answered.
    /// - [`Error::is_deadline`]: the Group was asked once more and did not answer within 6 s.
    /// - [`Error::is_handler`]: `activate` or `receive` failed.
    pub async fn fetch(self, request: Request) -> Result<Response, Error> {
        self.seat.fetch(request, None).await
    }

    /// Sends a request to the Replica like [`fetch`](Self::fetch), and gives `identity` with it: what the App knows about the
    /// client, such as its user, its roles, the end of its token.
    ///
    /// In [`Replica::receive`] the request has it ([`identity`](crate::identity)). A socket that opens from this request has it
    /// for its whole life ([`Socket::identity`](crate::Socket::identity)). Clients cannot set or change it. Between nodes it is
    /// authenticated together with the ticket.
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
    /// #     fn limit(&self) -> Limit { Limit::new(2) }
    /// # }
    /// # struct Room;
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct User { name: String, is_admin: bool }
    /// # fn check_token(_: &Request) -> Result<User> { Ok(User { name: "ann".into(), is_admin: true }) }
    ///
    /// struct Chat;
    /// impl App for Chat {
    ///     type Groups = (Lobby,);
    ///     async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
    ///         let user = check_token(&request)?;
    ///         let replica = dog.group::<Lobby>("lobby-id").identify(&ClientId::new(&user.name)?).await?;
    ///         Ok(replica.fetch_as(request, &user).await?)
    ///     }
    /// }
    ///
    /// impl Replica for Room {
    /// #     type Group = Lobby;
    /// #     type Gossip = ();
    /// #     type Answer = ();
    /// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    ///     async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
    ///         let user: User = socket.identity()?.ok_or_else(|| Failure::new("opened without an identity"))?;
    ///         if user.is_admin {
    ///             cx.broadcast(message)?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Nothing is sent in these cases, and the seat is given back:
    /// - [`Error::is_too_large`]: the identity has more than 4 KiB when serialised.
    /// - [`Error::is_encoding`]: the identity cannot be serialised.
    ///
    /// Otherwise as [`fetch`](Self::fetch).
    pub async fn fetch_as<T: Serialize>(self, request: Request, identity: &T) -> Result<Response, Error> {
        let identity = encode_identity(identity)?;
        self.seat.fetch(request, Some(identity)).await
    }
}

impl<G: Group> fmt::Debug for GroupHandle<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GroupHandle({:?}, {:?})", G::NAME, self.id)
    }
}

impl<R> fmt::Debug for ReplicaHandle<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReplicaHandle({:?})", self.seat.replica())
    }
}
