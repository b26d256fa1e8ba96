//! The entry point of a program: [`App`], and the handles that lead from it to its Groups.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::Serialize;

use crate::anonymous::Anonymous;
use crate::body::{Request, Response};
use crate::call::ask;
use crate::codec;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::group_names;
use crate::groups::Groups;
use crate::id::{ClientId, GroupId, ReplicaId};
use crate::message::Message;
use crate::port::{AppPort, LocalFuture, SeatPort};
use crate::replica::Replica;
use crate::replies::GossipReplies;
use crate::request::encode_identity;
use crate::time::Timestamp;
use crate::verbs::{GroupVerb, VerbAnswer, group_verbs};

/// Answers every request from outside: it picks a Group by name, identifies the client, and forwards the request.
///
/// The [crate's documentation](crate) has a complete program.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no App",
    note = "implement `dog::App` for it: name its Groups, and answer requests in `fetch`"
)]
pub trait App: Sized + 'static {
    /// The Groups of this App as a tuple: `(Lobby,)`. A host runs objects of these Groups only.
    ///
    /// Two Groups with the same [`NAME`](Group::NAME) do not compile, because one would answer for the other.
    type Groups: Groups;

    /// Answers `request`.
    ///
    /// # Errors
    /// Any. An [`Error`] of this library answers the client with its [`status`](Error::status), and
    /// [`Failure::status`](crate::Failure::status) with a status of your choice. Any other error answers with 500 and shows
    /// nothing of its text. Errors with a status from 500 up are logged on the server, except
    /// [`Error::is_no_room`], which is counted.
    fn fetch(&self, request: Request, dog: &Dog<Self>) -> impl Future<Output = Result<Response>>;
}

/// Stands for the App in the [`Dog`] of an [object](crate::Context::dog), which does not know its App.
#[derive(Debug)]
pub enum AnyApp {}

/// The way from the App `A` to its Groups, or from an object to the Groups of its App ([`AnyApp`]).
pub struct Dog<A> {
    port: Rc<dyn AppPort>,
    app: PhantomData<fn() -> A>,
}

impl<A> Clone for Dog<A> {
    fn clone(&self) -> Self {
        Self { port: Rc::clone(&self.port), app: PhantomData }
    }
}

impl<A: App> Dog<A> {
    /// A handle to the Group `G` called `name`. The call sends nothing: the Group is created when it is first used.
    ///
    /// A Group that [`App::Groups`] does not contain does not compile:
    ///
    /// ```compile_fail,E0080
    /// # use dog::*;
    /// # struct Lobby;
    /// # struct Room;
    /// # impl Group for Lobby {
    /// #     type Replica = Room;
    /// #     type Call = ();
    /// #     type Reply = ();
    /// #     const NAME: &'static str = "lobby";
    /// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
    /// #     fn limit(&self) -> Limit { Limit::new(50) }
    /// # }
    /// # impl Replica for Room {
    /// #     type Group = Lobby;
    /// #     type Gossip = ();
    /// #     type Answer = ();
    /// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    /// # }
    /// struct Chat;
    /// impl App for Chat {
    ///     type Groups = (); // `Lobby` is missing
    /// #   async fn fetch(&self, _: Request, dog: &Dog<Self>) -> Result<Response> {
    /// #       Ok(text_response(http::StatusCode::OK, enter(dog).id().to_string()))
    /// #   }
    /// }
    ///
    /// fn enter(dog: &Dog<Chat>) -> GroupHandle<Lobby> {
    ///     dog.group("lobby-id")
    /// }
    /// # fn main() { let _: fn(&Dog<Chat>) -> GroupHandle<Lobby> = enter; }
    /// ```
    pub fn group<G: Group>(&self, name: &str) -> GroupHandle<G> {
        self.group_by_id(GroupId::from_name(G::NAME, name))
    }

    /// A handle to the Group `G` with this id, as [`group`](Self::group).
    pub fn group_by_id<G: Group>(&self, id: GroupId) -> GroupHandle<G> {
        const {
            assert!(
                group_names::are_among(&[G::NAME], <A::Groups as Groups>::NAMES),
                "a Group is used that App::Groups does not contain: add its type to the tuple"
            );
        }
        self.handle(id)
    }
}

impl Dog<AnyApp> {
    /// A handle to the Group `G` called `name`. The call sends nothing: the Group is created when it is first used.
    pub fn group<G: Group>(&self, name: &str) -> GroupHandle<G> {
        self.group_by_id(GroupId::from_name(G::NAME, name))
    }

    /// A handle to the Group `G` with this id, as [`group`](Self::group).
    pub fn group_by_id<G: Group>(&self, id: GroupId) -> GroupHandle<G> {
        self.handle(id)
    }
}

impl<A> Dog<A> {
    #[doc(hidden)]
    pub fn new(port: Rc<dyn AppPort>) -> Self {
        Self { port, app: PhantomData }
    }

    fn handle<G>(&self, id: GroupId) -> GroupHandle<G> {
        GroupHandle { port: Rc::clone(&self.port), id, class: PhantomData }
    }

    /// Checks a request that is to open a WebSocket. `None` means that it can be opened. Otherwise the response says what is
    /// wrong, with status 405, 426 or 400; [`Context::connect`](crate::Context::connect) would answer the same.
    ///
    /// Call it before you identify the client. Identifying creates a Group and a Replica, which take about 10 KB of memory
    /// until they have been empty for a few minutes. A request that can only fail should not cost that.
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
    /// # impl Replica for Room {
    /// #     type Group = Lobby;
    /// #     type Gossip = ();
    /// #     type Answer = ();
    /// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    /// # }
    /// struct Chat;
    /// impl App for Chat {
    ///     type Groups = (Lobby,);
    ///     async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
    ///         if let Some(refusal) = dog.refuse_websocket(&request) {
    ///             return Ok(refusal);
    ///         }
    ///         let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
    ///         Ok(dog.group::<Lobby>("lobby-id").identify(&client).await?.fetch(request).await?)
    ///     }
    /// }
    /// ```
    pub fn refuse_websocket(&self, request: &Request) -> Option<Response> {
        self.port.refusal(request)
    }

    /// The time of the host.
    pub fn now(&self) -> Timestamp {
        self.port.now()
    }

    /// The values that the program passed in when it started the host.
    pub fn env(&self) -> &Env {
        self.port.env()
    }
}

/// A handle to one Group, for the [`App`] and for objects.
pub struct GroupHandle<G> {
    port: Rc<dyn AppPort>,
    id: GroupId,
    class: PhantomData<fn() -> G>,
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
    /// # Errors
    /// [`Error::is_encoding`]: the question cannot be serialised. Otherwise as
    /// [`broadcast_confirmed`](Self::broadcast_confirmed).
    pub async fn gossip(
        &self,
        gossip: &<G::Replica as Replica>::Gossip,
    ) -> Result<GossipReplies<<G::Replica as Replica>::Answer>, Error> {
        let answer = self.verb(GroupVerb::Gossip(codec::encode(gossip)?)).await?;
        Ok(GossipReplies::decode(answer.into_gossip()?))
    }

    fn cast(&self, message: Message) -> Result<(), Error> {
        self.port.broadcast(G::NAME, self.id, message)
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

impl<A> fmt::Debug for Dog<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Dog")
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
