//! The object that does the work: [`Replica`].

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{Request, Response};
use crate::close::{Close, SocketError};
use crate::context::Context;
use crate::error::{Failure, Result};
use crate::group::Group;
use crate::message::Message;
use crate::socket::Socket;

mod auto_response;

pub use auto_response::{AutoResponse, MAX_AUTO_RESPONSE};

/// One working object of a cluster: it answers requests and owns connections.
///
/// All of one Replica's code runs on one thread, and handlers take `&self`: keep state in `Cell` and `RefCell`, and do
/// not hold a borrow across an `.await`. No future needs to be `Send`.
///
/// - Messages of one socket are handled one at a time, in order. Handlers of different sockets, and requests,
///   interleave at `.await`.
/// - `on_open` ends before the first `on_message`; `on_close` or `on_error` comes last and exactly once, however the
///   socket ended.
/// - An error closes that socket with 1011 and no other. A panic ends this life of the object: all its sockets are
///   closed with 1011, and the next request begins a new life.
/// - Fields are lost when the object rests; what must stay belongs into a socket's
///   [attachment](Socket::set_attachment).
///
/// Gossip is typed both ways; the wrong type does not compile:
///
/// ```compile_fail,E0308
/// # use dog::*;
/// # struct Lobby;
/// # impl Group for Lobby {
/// #     type Replica = Room;
/// #     const NAME: &'static str = "lobby";
/// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
/// #     fn limit(&self) -> Limit { Limit::new(50) }
/// # }
/// # struct Room;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// enum Ask { Users }
///
/// impl Replica for Room {
///     type Group = Lobby;
///     type Gossip = Ask;
///     type Answer = Vec<String>;
/// #   async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
///     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
///         cx.gossip(&"users").await?; // but gossip is an `Ask`
///         Ok(cx.connect(request))
///     }
/// }
/// ```
pub trait Replica: Sized + 'static {
    /// The Group that this Replica belongs to.
    type Group: Group<Replica = Self>;

    /// What siblings ask each other; `()` where they do not.
    type Gossip: Serialize + DeserializeOwned + 'static;

    /// What they answer; `()` where they do not.
    type Answer: Serialize + DeserializeOwned + 'static;

    /// A text that the host answers by itself, without a handler, in no order with those that run. By default none.
    const AUTO_RESPONSE: Option<AutoResponse> = None;

    /// Begins a life of this Replica in memory: the first, and each after a rest or a crash. It may take
    /// [`Group::ACTIVATE_DEADLINE`].
    ///
    /// # Errors
    /// Any: whoever needed the Replica gets an error, and the next to need it tries again. Sockets that were open while it
    /// rested are closed with 1011.
    fn activate(cx: &Context<Self>) -> impl Future<Output = Result<Self>>;

    /// Answers a request. [`Context::connect`] makes it a WebSocket.
    ///
    /// # Errors
    /// Any: the client gets 500 (or the status of this library's own error), the cause is logged.
    fn receive(&self, cx: &Context<Self>, request: Request) -> impl Future<Output = Result<Response>>;

    /// A socket has opened. It can be reached by everyone from now on.
    ///
    /// # Errors
    /// Any: the socket is closed with 1011, the cause is logged.
    fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> impl Future<Output = Result> {
        let _ = (cx, socket);
        async { Ok(()) }
    }

    /// A message has come. By default it is ignored.
    ///
    /// # Errors
    /// Any: the socket is closed with 1011, the cause is logged.
    fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> impl Future<Output = Result> {
        let _ = (cx, socket, message);
        async { Ok(()) }
    }

    /// The socket has closed: by the client, or by [`Socket::close`]. It is not counted any more and gets nothing.
    ///
    /// # Errors
    /// Any: the cause is logged.
    fn on_close(&self, cx: &Context<Self>, socket: &Socket, close: &Close) -> impl Future<Output = Result> {
        let _ = (cx, socket, close);
        async { Ok(()) }
    }

    /// The socket has ended by nobody's wish: lost, silent, too slow, against the protocol, or a handler failed. In
    /// place of `on_close`, which it calls by default.
    ///
    /// # Errors
    /// Any: the cause is logged.
    fn on_error(&self, cx: &Context<Self>, socket: &Socket, error: &SocketError) -> impl Future<Output = Result> {
        self.on_close(cx, socket, error.close())
    }

    /// The alarm that was set has come. It is called again, after a growing delay, until it succeeds.
    ///
    /// # Errors
    /// Any: the cause is logged, and it is called again later.
    fn on_alarm(&self, cx: &Context<Self>) -> impl Future<Output = Result> {
        let _ = cx;
        async { Ok(()) }
    }

    /// A sibling asks. By default an error: then the sibling finds this Replica among those without an answer.
    ///
    /// # Errors
    /// Any: the sibling that asked is told that there is no answer, the cause is logged here.
    fn on_gossip(&self, cx: &Context<Self>, gossip: Self::Gossip) -> impl Future<Output = Result<Self::Answer>> {
        let _ = (cx, gossip);
        async { Err(Failure::new("this Replica does not answer gossip: implement on_gossip")) }
    }
}
