//! The user's entry: [`App`], and the handles it reaches its Groups with.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::body::{Request, Response};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::group_names;
use crate::id::{ClientId, GroupId, ReplicaId};
use crate::port::{AppPort, GroupVisitor, SeatPort};
use crate::replica::Replica;

/// Answers every outside request: picks a Group by name, identifies the client, forwards.
///
/// The smallest complete program stands in the [crate's documentation](crate).
pub trait App: Sized + 'static {
    /// The Groups of this App, as a tuple: `(Lobby,)`. A host wakes only objects of these. Two Groups of one
    /// [`NAME`](Group::NAME) do not compile: one would answer for the other.
    type Groups: Groups;

    /// Answers `request`.
    ///
    /// # Errors
    /// Any. One of this library's own errors answers the client with its [`status`](Error::status) and text, any
    /// other with 500 and nothing of the inside; both are logged.
    fn fetch(&self, request: Request, dog: &Dog) -> impl Future<Output = Result<Response>>;
}

/// A tuple of up to eight [`Group`] types, each with a [`NAME`](Group::NAME) of its own.
pub trait Groups: 'static {
    #[doc(hidden)]
    const NAMES: &'static [&'static str];
    #[doc(hidden)]
    fn visit(visitor: &mut impl GroupVisitor);
}

macro_rules! groups {
    ($($group:ident)*) => {
        impl<$($group: Group),*> Groups for ($($group,)*) {
            const NAMES: &'static [&'static str] = &[$($group::NAME),*];

            #[allow(unused_variables, reason = "an App without Groups visits none")]
            fn visit(visitor: &mut impl GroupVisitor) {
                // Every host learns of its Groups here, so none of them can be built for an App with such names.
                const {
                    assert!(
                        group_names::are_distinct(Self::NAMES),
                        "two Groups of App::Groups have the same Group::NAME, so one would answer for the other: give \
                         each its own"
                    );
                }
                $(visitor.visit::<$group>();)*
            }
        }
    };
}
groups!();
groups!(A);
groups!(A B);
groups!(A B C);
groups!(A B C D);
groups!(A B C D E);
groups!(A B C D E F);
groups!(A B C D E F G);
groups!(A B C D E F G H);

/// The way from an [`App`] to its Groups.
#[derive(Clone)]
pub struct Dog {
    port: Rc<dyn AppPort>,
}

impl Dog {
    #[doc(hidden)]
    pub fn new(port: Rc<dyn AppPort>) -> Self {
        Self { port }
    }

    /// The Group `G` of that name. It begins to exist when it is first asked something.
    pub fn group<G: Group>(&self, name: &str) -> GroupHandle<G> {
        self.group_by_id(GroupId::from_name(G::NAME, name))
    }

    /// The Group `G` with that id.
    pub fn group_by_id<G: Group>(&self, id: GroupId) -> GroupHandle<G> {
        GroupHandle { port: Rc::clone(&self.port), id, class: PhantomData }
    }

    /// What is wrong with a request that is to open a WebSocket, as the response to send: 405, 426 or 400, which
    /// [`Context::connect`](crate::Context::connect) would answer too. `None`: it can be opened.
    ///
    /// Ask before anything is named. A Group and a Replica begin to exist when a client is identified, and cost some 10 KB
    /// until they have been empty for a few minutes: too much for a request that can only fail.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Lobby;
    /// # impl Group for Lobby {
    /// #     type Replica = Room;
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
    /// async fn socket(request: Request, dog: &Dog, room: &str, client: &ClientId) -> Result<Response> {
    ///     if let Some(refusal) = dog.refuse_websocket(&request) {
    ///         return Ok(refusal);
    ///     }
    ///     Ok(dog.group::<Lobby>(room).identify(client).await?.fetch(request).await?)
    /// }
    /// ```
    pub fn refuse_websocket(&self, request: &Request) -> Option<Response> {
        self.port.refusal(request)
    }

    /// What was passed in when the host was started.
    pub fn env(&self) -> &Env {
        self.port.env()
    }
}

/// One Group, seen from an [`App`].
pub struct GroupHandle<G> {
    port: Rc<dyn AppPort>,
    id: GroupId,
    class: PhantomData<fn() -> G>,
}

impl<G: Group> GroupHandle<G> {
    /// Its id.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Asks which Replica is to serve `client`, and takes a ticket for a seat there: the Replica it had before if that
    /// has room, else the least used, else a parked one, else a new one.
    ///
    /// Cancel safe: a ticket that nobody came with is given back when it is dropped, and expires by itself.
    ///
    /// # Errors
    /// When the Group cannot be reached or does not answer ([`Error::is_unreachable`], [`Error::is_deadline`]), when
    /// its own code failed ([`Error::is_handler`]), or when there is no room ([`Error::is_no_room`]).
    pub async fn identify(&self, client: &ClientId) -> Result<ReplicaHandle<G::Replica>, Error> {
        let seat = self.port.identify(G::NAME, self.id, client.clone()).await?;
        Ok(ReplicaHandle { seat, class: PhantomData })
    }

    /// Passes a request to the Group itself: [`Group::receive`] answers it.
    ///
    /// # Errors
    /// When the Group cannot be reached ([`Error::is_unreachable`]) or its `receive` failed ([`Error::is_handler`]).
    pub async fn fetch(&self, request: Request) -> Result<Response, Error> {
        self.port.fetch_group(G::NAME, self.id, request).await
    }
}

/// The Replica that is to serve a client, with a seat kept there until it is used, dropped or expired.
pub struct ReplicaHandle<R> {
    seat: Box<dyn SeatPort>,
    class: PhantomData<fn() -> R>,
}

impl<R: Replica> ReplicaHandle<R> {
    /// The Replica's id.
    pub fn id(&self) -> ReplicaId {
        self.seat.replica()
    }

    /// Takes the seat and passes the request on: [`Replica::receive`] answers it.
    ///
    /// If the Replica has died or filled meanwhile, the Group is asked once more and the request goes where it says.
    ///
    /// # Errors
    /// When no Replica took it ([`Error::is_no_room`], [`Error::is_unreachable`]), or `receive` failed
    /// ([`Error::is_handler`]).
    pub async fn fetch(self, request: Request) -> Result<Response, Error> {
        self.seat.fetch(request).await
    }
}

impl fmt::Debug for Dog {
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
