//! The entry point of a program: [`App`], and [`Dog`], the way from it to its Groups.

mod refused;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::body::{Request, Response};
use crate::close::CloseCode;
use crate::env::Env;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::group::Group;
use crate::group_names;
use crate::groups::Groups;
use crate::handles::GroupHandle;
use crate::id::GroupId;
use crate::port::AppPort;
use crate::time::Timestamp;

pub use refused::CloseAtOnce;
use refused::close_at_once;

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

    /// A response that refuses a WebSocket in a way that a page can read: the server accepts the handshake and closes the
    /// connection at once, with `code` and the first 123 bytes of `reason`. A page cannot read the status of a handshake that
    /// failed; it sees a socket that closes with 1006.
    ///
    /// Return it from [`App::fetch`]. The server itself does the rest: there is no seat and no socket for it, and no Group or
    /// Replica hears of it. The connection counts in the limit of its address until it has ended, which takes at most the time
    /// that a client has to answer a close (`Server::close_timeout`).
    ///
    /// Choose a code that says whether to come back: [`CloseCode::TRY_AGAIN`] for later, [`CloseCode::POLICY`] or one of your
    /// own from 4000 to 4999 for never. If the client offers subprotocols, the response names the first, because browsers do
    /// not accept the handshake otherwise. A request that is no proper handshake gets the response of
    /// [`refuse_websocket`](Self::refuse_websocket) instead.
    ///
    /// ```
    /// # use dog::*;
    /// fn closed_today<A: App>(dog: &Dog<A>, request: &Request) -> Response {
    ///     dog.refuse_after_upgrade(request, CloseCode::TRY_AGAIN, "come back tomorrow")
    /// }
    /// ```
    pub fn refuse_after_upgrade(&self, request: &Request, code: CloseCode, reason: &str) -> Response {
        match self.port.shake_hands(request) {
            Ok(accepted) => close_at_once(accepted, request, code, reason),
            Err(refusal) => *refusal,
        }
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
        GroupHandle::new(Rc::clone(&self.port), id)
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
        self.port.shake_hands(request).err().map(|refusal| *refusal)
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

impl<A> fmt::Debug for Dog<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Dog")
    }
}
