//! The coordinator of one cluster of Replicas: [`Group`]. `limit`: the number of seats of its Replicas.

mod limit;

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::alarm::Alarm;
use crate::body::{Request, Response, text_response};
use crate::codec;
use crate::error::{Error, Failure, Kind, Result};
use crate::id::{ClientId, GroupId, ReplicaId};
use crate::log::Log;
#[cfg(feature = "log")]
use crate::log::verbs::{LogVerb, LogVerbAnswer, log_verbs};
use crate::message::Message;
use crate::object_methods::object_methods;
use crate::placement::Policy;
use crate::port::{GroupPort, LocalFuture};
#[cfg(feature = "presence")]
use crate::presence::verbs::presence_verbs;
use crate::replica::Replica;
use crate::replies::GossipReplies;
use crate::topic::Topic;
use crate::verbs::{GroupVerb, VerbAnswer, group_verbs};

pub use limit::{InvalidLimit, Limit};

/// The coordinator of one named cluster of Replicas.
///
/// You say how many seats a Replica has, and optionally which ids new Replicas get. The library places clients, counts seats
/// and remembers which Replica served a client. The compiler checks that a Group and its Replica belong together:
///
/// ```compile_fail,E0271
/// # use dog::*;
/// # struct Lobby;
/// # struct Hall;
/// # struct Room;
/// impl Group for Lobby {
///     type Replica = Room; // but `Room` says that its Group is `Hall`
///     type Call = ();
///     type Reply = ();
///     const NAME: &'static str = "lobby";
///     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
///     fn limit(&self) -> Limit { Limit::new(50) }
/// }
/// # impl Group for Hall {
/// #     type Replica = Room;
/// #     type Call = ();
/// #     type Reply = ();
/// #     const NAME: &'static str = "hall";
/// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Hall) }
/// #     fn limit(&self) -> Limit { Limit::new(50) }
/// # }
/// # impl Replica for Room {
/// #     type Group = Hall;
/// #     type Gossip = ();
/// #     type Answer = ();
/// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
/// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no Group",
    note = "implement `dog::Group` for it; a Replica and its Group name each other: `type Replica` and `type Group`"
)]
pub trait Group: Sized + 'static {
    /// The Replicas of this Group.
    type Replica: Replica<Group = Self>;

    /// The type of what Replicas and the App [ask this Group](Self::on_call). `()` if they ask nothing.
    type Call: Serialize + DeserializeOwned + 'static;

    /// The type of the answer. `()` if there is none.
    type Reply: Serialize + DeserializeOwned + 'static;

    /// The name of this class of Groups. It is part of the ids of its objects, so changing it starts with new, empty objects.
    /// No two Groups of one App have the same name; the [compiler checks it](crate::App::Groups).
    const NAME: &'static str;

    /// The time that [`activate`](Self::activate) of this Group, [`activate`](Replica::activate) of each of its Replicas,
    /// and one call of [`clusterize`](Self::clusterize) may take. Default 10 s.
    ///
    /// A call that takes longer is dropped at its current `.await`, logged with the name of the object, and counted as a
    /// failure. The object then leaves memory, and the next request activates it again. Clients that wait for it get an error
    /// sooner, by their own deadline of 6 s in [`identify`](crate::GroupHandle::identify).
    ///
    /// This is a constant because it is needed before there is a Group to ask for its [`Policy`].
    const ACTIVATE_DEADLINE: Duration = Duration::from_secs(10);

    /// Makes the value that lives in memory: at the first use of this Group, and at each later activation after hibernation
    /// or a restart. It may take [`ACTIVATE_DEADLINE`](Self::ACTIVATE_DEADLINE), and is dropped at an `.await` if it takes longer.
    ///
    /// # Errors
    /// Any. Those who wait for the Group get an error ([`Error::is_handler`](crate::Error::is_handler)), and the next use tries again.
    fn activate(cx: &GroupContext) -> impl Future<Output = Result<Self>>;

    /// The number of seats of each Replica. Read once per activation of the Group.
    fn limit(&self) -> Limit;

    /// How clients are placed. Read once per activation of the Group.
    fn policy(&self) -> Policy {
        Policy::default()
    }

    /// The id of a new Replica, which is needed because all others are full. By default it is unique. On hosts that run in
    /// many places, the id also says [where the Replica lives](ReplicaId::in_place).
    ///
    /// It may take [`ACTIVATE_DEADLINE`](Self::ACTIVATE_DEADLINE), and is dropped at an `.await` if it takes longer.
    ///
    /// # Errors
    /// Any. The client that needed the Replica gets an error ([`Error::is_handler`](crate::Error::is_handler)), or the status
    /// of [`Failure::status`](crate::Failure::status).
    fn clusterize(&self, cx: &GroupContext, client: &ClientId) -> impl Future<Output = Result<ReplicaId>> {
        let _ = client;
        let id = cx.unique_replica();
        async move { Ok(id) }
    }

    /// Answers a request that [`GroupHandle::fetch`](crate::GroupHandle::fetch) sent to the Group itself. By default 404.
    ///
    /// # Errors
    /// Any. The caller gets an error ([`Error::is_handler`](crate::Error::is_handler)), and an App that returns it answers
    /// 500; or it answers with the status of [`Failure::status`](crate::Failure::status).
    fn receive(&self, cx: &GroupContext, request: Request) -> impl Future<Output = Result<Response>> {
        let _ = (cx, request);
        async { Ok(text_response(StatusCode::NOT_FOUND, "not found")) }
    }

    /// Answers a call of one of this Group's Replicas ([`Context::call_group`](crate::Context::call_group)) or of the App
    /// ([`GroupHandle::call`](crate::GroupHandle::call)). By default an error, and so is it for the caller.
    ///
    /// A call activates the Group if it is not in memory. It takes no seat and creates no Replica.
    ///
    /// - Calls interleave at `.await`, with each other and with all other functions of this Group. Hold no borrow across an
    ///   `.await`.
    /// - A call has [`Policy::call_deadline`] from the moment at which it has reached the Group, activation included. After
    ///   that it is dropped at its current `.await`, logged with the id of the Group, and the caller gets
    ///   [`Error::is_deadline`](crate::Error::is_deadline).
    /// - A call that `on_call` itself makes has nine tenths of the time that is left of its own. So it can handle the error of
    ///   a call that takes too long, and a cycle of calls, in which Groups call each other without end, ends.
    /// - At most 10,000 calls, or 64 MiB of calls, are in progress in one Group. Further ones fail at the caller with
    ///   [`Error::is_unreachable`](crate::Error::is_unreachable).
    /// - A call is carried out at most once. Nobody repeats it.
    ///
    /// What the caller should be able to distinguish belongs in [`Reply`](Self::Reply), for example as a `Result`.
    ///
    /// ```
    /// # use dog::*;
    /// # use serde::{Deserialize, Serialize};
    /// # struct Room;
    /// # impl Replica for Room {
    /// #     type Group = Lobby;
    /// #     type Gossip = ();
    /// #     type Answer = ();
    /// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    /// /// A message is kept by the Group, so that it is there for everyone.
    /// async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
    ///     let Some(text) = message.as_text() else { return Ok(()) };
    ///     let number = cx.call_group(&Post { text: text.to_owned() }).await?;
    ///     Ok(socket.send(format!("message {number} is stored"))?)
    /// }
    /// # }
    /// #[derive(Serialize, Deserialize)]
    /// struct Post { text: String }
    ///
    /// # struct Lobby;
    /// impl Group for Lobby {
    ///     type Replica = Room;
    ///     type Call = Post;
    ///     type Reply = u64;
    ///     async fn on_call(&self, cx: &GroupContext, call: Post) -> Result<u64> {
    ///         cx.storage()
    ///             .transaction(async |entries| {
    ///                 let number = entries.get("next").await?.unwrap_or(0_u64);
    ///                 entries.put("next", &(number + 1))?;
    ///                 entries.put(&format!("post/{number:020}"), &call.text)?;
    ///                 Ok(number)
    ///             })
    ///             .await
    ///     }
    /// #   const NAME: &'static str = "lobby";
    /// #   async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
    /// #   fn limit(&self) -> Limit { Limit::new(50) }
    /// }
    /// ```
    ///
    /// # Errors
    /// Any. The cause is logged here. The caller gets [`Error::is_handler`](crate::Error::is_handler) and no text.
    fn on_call(&self, cx: &GroupContext, call: Self::Call) -> impl Future<Output = Result<Self::Reply>> {
        let _ = (cx, call);
        async { Err(Failure::new("this Group answers no calls: implement on_call")) }
    }

    /// What is kept of the publications of a topic, or of the room, whose name is `""` ([`ROOM`](crate::ROOM)). By default nothing, and
    /// nothing can be published.
    ///
    /// The answer must depend on the topic alone: it is asked for at the first use of the topic in a life of the Group. A Group has at
    /// most 10,000 logs, and its logs take at most 64 MiB of memory. Of a [durable](Log::durable) log, a part is in memory while it is
    /// in use: the newest 1,000 publications or 512 KiB, and its keys. On Workers every
    /// log is durable, with the bounds that are given here.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Lobby;
    /// # struct Room;
    /// # impl Replica for Room {
    /// #     type Group = Lobby;
    /// #     type Gossip = ();
    /// #     type Answer = ();
    /// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    /// # }
    /// impl Group for Lobby {
    ///     /// The room has a log, its topics have none.
    ///     fn log(&self, topic: &str) -> Log {
    ///         if topic == ROOM { Log::durable() } else { Log::none() }
    ///     }
    /// #   type Replica = Room;
    /// #   type Call = ();
    /// #   type Reply = ();
    /// #   const NAME: &'static str = "lobby";
    /// #   async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
    /// #   fn limit(&self) -> Limit { Limit::new(50) }
    /// }
    /// ```
    fn log(&self, topic: &str) -> Log {
        let _ = topic;
        Log::none()
    }

    #[doc = include_str!("group/has_presence.md")]
    fn has_presence(topic: &str) -> bool {
        let _ = topic;
        false
    }

    /// A client has come into the Group: it has its first open socket, anywhere. Called only if the Group has a
    /// [presence](crate::Policy::presence), by its tick after the socket has opened (100 ms by default). By default nothing happens.
    ///
    /// - It alternates with [`on_leave`](Self::on_leave) for each client, beginning with `on_arrive`, between two calls of
    ///   [`on_presence_reset`](Self::on_presence_reset).
    /// - These functions, and those for topics, run one at a time, in the order of the changes. One that takes longer than
    ///   [`Policy::call_deadline`](crate::Policy::call_deadline) is dropped at its current `.await` and logged. They may begin after
    ///   the Replicas were told.
    /// - They are not durable: a life of the Group that ends takes with it those that have not run. If 10,000 wait, they are dropped,
    ///   and `on_presence_reset` is called instead.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Room;
    /// # impl Replica for Room {
    /// #     type Group = Lobby;
    /// #     type Gossip = ();
    /// #     type Answer = ();
    /// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    /// # }
    /// struct Lobby;
    /// impl Group for Lobby {
    /// #   type Replica = Room;
    /// #   type Call = ();
    /// #   type Reply = ();
    /// #   const NAME: &'static str = "lobby";
    /// #   async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
    /// #   fn limit(&self) -> Limit { Limit::new(50) }
    ///     fn policy(&self) -> Policy {
    ///         Policy { presence: Some(Presence::default()), ..Policy::default() }
    ///     }
    ///     async fn on_arrive(&self, cx: &GroupContext, client: &ClientId) -> Result {
    ///         Ok(cx.broadcast(format!("{client} is here"))?)
    ///     }
    ///     async fn on_leave(&self, cx: &GroupContext, client: &ClientId) -> Result {
    ///         Ok(cx.broadcast(format!("{client} has left"))?)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_arrive(&self, cx: &GroupContext, client: &ClientId) -> impl Future<Output = Result> {
        let _ = (cx, client);
        async { Ok(()) }
    }

    /// A client has left the Group: its last socket has ended, and its grace time is over ([`Presence::grace`](crate::Policy::presence), 5 s
    /// by default). It has no grace time after [`disconnect`](GroupContext::disconnect). See [`on_arrive`](Self::on_arrive).
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_leave(&self, cx: &GroupContext, client: &ClientId) -> impl Future<Output = Result> {
        let _ = (cx, client);
        async { Ok(()) }
    }

    /// A client has come into a topic that [has a presence](Self::has_presence): its first socket, anywhere, has subscribed to it. The rest is
    /// as for [`on_arrive`](Self::on_arrive).
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_topic_arrive(&self, cx: &GroupContext, topic: &str, client: &ClientId) -> impl Future<Output = Result> {
        let _ = (cx, topic, client);
        async { Ok(()) }
    }

    /// A client has left a topic that [has a presence](Self::has_presence): none of its sockets is subscribed to it, and the grace time is
    /// over. The rest is as for [`on_leave`](Self::on_leave).
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_topic_leave(&self, cx: &GroupContext, topic: &str, client: &ClientId) -> impl Future<Output = Result> {
        let _ = (cx, topic, client);
        async { Ok(()) }
    }

    /// What was told with [`on_arrive`](Self::on_arrive) and [`on_leave`](Self::on_leave), and of topics, does not count any more: a
    /// presence begins. Read `presence()` to learn who is there. It is called in the first life of the Group, and in one
    /// that finds no Replica that [knows](crate::Replica::FOLLOWS_PRESENCE) what the life before has told. By default nothing happens.
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_presence_reset(&self, cx: &GroupContext) -> impl Future<Output = Result> {
        let _ = cx;
        async { Ok(()) }
    }

    /// An alarm is due: see [`GroupContext::set_alarm`]. If it fails, it is called again after a delay that grows from 1 s to 5 min,
    /// until it succeeds. By default nothing happens, and the alarm is cleared.
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_alarm(&self, cx: &GroupContext, alarm: Alarm) -> impl Future<Output = Result> {
        let _ = (cx, alarm);
        async { Ok(()) }
    }
}

/// The way from the code of a [`Group`] to its storage, its alarms and its host. Cloning it is cheap.
#[derive(Clone)]
pub struct GroupContext {
    port: Rc<dyn GroupPort>,
}

impl GroupContext {
    #[doc(hidden)]
    pub fn new(port: Rc<dyn GroupPort>) -> Self {
        Self { port }
    }

    /// The id of this Group.
    pub fn id(&self) -> GroupId {
        self.port.group()
    }

    object_methods!();

    /// A Replica id that was never used before.
    pub fn unique_replica(&self) -> ReplicaId {
        self.port.unique_replica()
    }

    group_verbs!();

    /// Asks every Replica of this Group that has sockets, and waits until all have answered, 3 s at most. Name the Replica
    /// type: `cx.gossip::<Room>(&question)`.
    ///
    /// Replicas without sockets are not asked, because that would activate them; [`GossipReplies::parked`] names them. A
    /// Replica that fails, or does not answer in time, is in [`GossipReplies::missing`].
    ///
    /// Cancel safe for the caller: if the future is dropped, Replicas may run `on_gossip`, and their answers are discarded.
    ///
    /// ```
    /// # use dog::*;
    /// // `Room` answers with the number of players.
    /// async fn players<Room: Replica<Gossip = (), Answer = usize>>(cx: &GroupContext) -> Result<usize, Error> {
    ///     Ok(cx.gossip::<Room>(&()).await?.into_answers().sum())
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_encoding`](crate::Error::is_encoding): the question cannot be serialised.
    /// - [`Error::is_unknown_group`](crate::Error::is_unknown_group): `R` is not the Replica of this Group.
    /// - [`Error::is_unreachable`](crate::Error::is_unreachable): 1000 verbs or 1 MiB wait for the Replicas of this Group to
    ///   be counted.
    /// - [`Error::is_closed`](crate::Error::is_closed): this activation of the Group is over.
    pub async fn gossip<R: Replica>(&self, gossip: &R::Gossip) -> Result<GossipReplies<R::Answer>, Error> {
        let (named, own) = (<R::Group as Group>::NAME, self.port.class());
        if named != own {
            let text = format!("that type is the Replica of the Group \"{named}\", and this is a Group \"{own}\"");
            return Err(Error::new(Kind::UnknownGroup, text));
        }
        self.verb(GroupVerb::Gossip(codec::encode(gossip)?)).await?.into_replies()
    }

    #[cfg(feature = "log")]
    log_verbs!();

    #[cfg(feature = "log")]
    fn log_verb(&self, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>> {
        self.port.log(verb)
    }

    #[cfg(feature = "presence")]
    presence_verbs!();

    #[cfg(feature = "presence")]
    fn presence_verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
        self.verb(verb)
    }

    fn cast(&self, topic: Option<Topic>, message: Message) -> Result<(), Error> {
        self.port.broadcast(topic, message)
    }

    fn verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
        self.port.verb(verb)
    }
}

impl fmt::Debug for GroupContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GroupContext({:?})", self.id())
    }
}
