//! The coordinator of one cluster: [`Group`], its [`Limit`] and [`Policy`].

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::body::{Request, Response, text_response};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::id::{ClientId, GroupId, ReplicaId};
use crate::port::GroupPort;
use crate::replica::Replica;
use crate::storage::Storage;
use crate::time::Timestamp;

/// One named cluster's coordinator: says how many seats a Replica has, and how a new Replica is called.
///
/// Placing clients, keeping the books and finding a client again is not yours to write. The compiler checks that a
/// Group and its Replica belong together:
///
/// ```compile_fail,E0271
/// # use dog::*;
/// # struct Lobby;
/// # struct Hall;
/// # struct Room;
/// impl Group for Lobby {
///     type Replica = Room; // but `Room` says that its Group is `Hall`
///     const NAME: &'static str = "lobby";
///     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
///     fn limit(&self) -> Limit { Limit::new(50) }
/// }
/// # impl Group for Hall {
/// #     type Replica = Room;
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
pub trait Group: Sized + 'static {
    /// The objects of this cluster.
    type Replica: Replica<Group = Self>;

    /// The name of this class of Groups. It goes into the ids: to change it is to begin anew. No two Groups of one App
    /// have the same; that is [checked when it is compiled](crate::App::Groups).
    const NAME: &'static str;

    /// How long [`activate`](Self::activate) of this Group, [`activate`](Replica::activate) of each of its Replicas and one
    /// call of [`clusterize`](Self::clusterize) may take. Default 10 s.
    ///
    /// One that takes longer is dropped where it waits, logged with the object's name and counted as a failure. The object
    /// leaves memory with it, and the next request begins it anew. A constant, because it is needed before there is a Group
    /// to ask for its [`Policy`]. Who waits for a Replica gets an answer sooner, after a deadline of its own: 6 s for
    /// [`identify`](crate::GroupHandle::identify).
    const ACTIVATE_DEADLINE: Duration = Duration::from_secs(10);

    /// Begins a life of this Group in memory: the first, and each after a rest or a restart. It may take
    /// [`ACTIVATE_DEADLINE`](Self::ACTIVATE_DEADLINE).
    ///
    /// # Errors
    /// Any: whoever asked the Group gets an error, and the next to ask tries again.
    fn activate(cx: &GroupContext) -> impl Future<Output = Result<Self>>;

    /// The seats of one Replica. Read once in each life of the Group.
    fn limit(&self) -> Limit;

    /// Times that placement goes by. Read once in each life of the Group.
    fn policy(&self) -> Policy {
        Policy::default()
    }

    /// The id of a new Replica, wanted because all others are full. By default a unique one. On hosts that are all over the
    /// world the id says too [where it is to live](ReplicaId::in_place).
    ///
    /// It may take [`ACTIVATE_DEADLINE`](Self::ACTIVATE_DEADLINE); the client that needed it gets an error then.
    ///
    /// # Errors
    /// Any: the client that needed it gets an error.
    fn clusterize(&self, cx: &GroupContext, client: &ClientId) -> impl Future<Output = Result<ReplicaId>> {
        let _ = client;
        let id = cx.unique_replica();
        async move { Ok(id) }
    }

    /// Answers a request that was sent to the Group itself by [`GroupHandle::fetch`](crate::GroupHandle::fetch). By
    /// default 404.
    ///
    /// # Errors
    /// Any: the client gets 500.
    fn receive(&self, cx: &GroupContext, request: Request) -> impl Future<Output = Result<Response>> {
        let _ = (cx, request);
        async { Ok(text_response(StatusCode::NOT_FOUND, "not found")) }
    }

    /// The alarm that was set has come. It is called again, after a growing delay, until it succeeds.
    ///
    /// # Errors
    /// Any: the cause is logged, and it is called again later.
    fn on_alarm(&self, cx: &GroupContext) -> impl Future<Output = Result> {
        let _ = cx;
        async { Ok(()) }
    }
}

/// What a [`Group`] can ask about itself. Cloning it is cheap.
#[derive(Clone)]
pub struct GroupContext {
    port: Rc<dyn GroupPort>,
}

impl GroupContext {
    #[doc(hidden)]
    pub fn new(port: Rc<dyn GroupPort>) -> Self {
        Self { port }
    }

    /// This Group's id.
    pub fn id(&self) -> GroupId {
        self.port.group()
    }

    /// What was passed in when the host was started.
    pub fn env(&self) -> &Env {
        self.port.env()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.port.now()
    }

    /// Ends when a task that you have started, or a response that you stream, should come to its end: the server has begun to
    /// shut down, or this life of the Group is over. Cancel safe. More in [`Context::stopping`](crate::Context::stopping).
    pub fn stopping(&self) -> impl Future<Output = ()> + use<> {
        self.port.stopping()
    }

    /// What this Group keeps for good.
    pub fn storage(&self) -> Storage {
        Storage::new(self.port.storage())
    }

    /// Sets this Group's one alarm, in place of an earlier one: [`Group::on_alarm`] is called at that time or soon after,
    /// whatever happens in between, once or more often.
    ///
    /// # Errors
    /// As [`Storage::put`]: when it returns `Ok`, the alarm survives a crash.
    pub async fn set_alarm(&self, at: Timestamp) -> Result<(), Error> {
        self.port.set_alarm(Some(at)).await
    }

    /// Takes the alarm back.
    ///
    /// # Errors
    /// As [`Storage::put`].
    pub async fn delete_alarm(&self) -> Result<(), Error> {
        self.port.set_alarm(None).await
    }

    /// When the alarm is set for, or `None`. While `on_alarm` runs it is the next one, if that has been set.
    ///
    /// # Errors
    /// As [`Storage::get`].
    pub async fn alarm(&self) -> Result<Option<Timestamp>, Error> {
        self.port.alarm().await
    }

    /// A Replica id that was never used before.
    pub fn unique_replica(&self) -> ReplicaId {
        self.port.unique_replica()
    }
}

impl fmt::Debug for GroupContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GroupContext({:?})", self.id())
    }
}

/// How many seats a Replica has: open sockets, requests in flight and live tickets together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Limit(NonZeroU32);

impl Limit {
    /// `seats` a Replica.
    ///
    /// # Panics
    /// When `seats` is zero; as a constant it does not compile then. For a number that comes from outside there are
    /// `try_from` and `parse`.
    pub const fn new(seats: u32) -> Self {
        match NonZeroU32::new(seats) {
            Some(seats) => Self(seats),
            None => panic!("a Limit is at least 1"),
        }
    }

    /// The number of seats.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// What [`Limit`] says of a number that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimit;

impl fmt::Display for InvalidLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a limit is a whole number from 1 to {}", u32::MAX)
    }
}

impl std::error::Error for InvalidLimit {}

impl TryFrom<u32> for Limit {
    type Error = InvalidLimit;

    fn try_from(seats: u32) -> Result<Self, InvalidLimit> {
        NonZeroU32::new(seats).map(Self).ok_or(InvalidLimit)
    }
}

impl FromStr for Limit {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        text.parse::<u32>().map_err(|_| InvalidLimit)?.try_into()
    }
}

/// Times that a [`Group`] goes by. Start from the default and change what you need:
///
/// ```
/// use std::time::Duration;
/// let policy = dog::Policy { sticky_for: Duration::from_secs(600), ..dog::Policy::default() };
/// # assert_eq!(policy.ticket_lifetime, Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a ticket keeps a seat for a client that has not come yet. Default 10 s.
    pub ticket_lifetime: Duration,
    /// How long a client is remembered after its last seat, to be sent back to its Replica. Default 60 s.
    pub sticky_for: Duration,
    /// How long a Replica stays empty before it is parked: out of fan-out, first to be used again. Default 60 s.
    pub park_after: Duration,
    /// How long the Group waits for its Replicas to learn of a new sibling before it serves without the one that does
    /// not answer. Default 2 s.
    pub join_deadline: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ticket_lifetime: Duration::from_secs(10),
            sticky_for: Duration::from_secs(60),
            park_after: Duration::from_secs(60),
            join_deadline: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_zero() {
        assert_eq!("0".parse::<Limit>(), Err(InvalidLimit));
        assert_eq!("-1".parse::<Limit>(), Err(InvalidLimit));
        assert_eq!("2".parse::<Limit>(), Ok(Limit::new(2)));
        assert!(Limit::try_from(0).is_err());
    }
}
