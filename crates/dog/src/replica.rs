//! The object that does the work: [`Replica`].

mod format;
mod message_rate;

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::alarm::Alarm;
use crate::auto_response::AutoResponse;
use crate::body::{Request, Response};
use crate::close::{Close, CloseCode, SocketError};
use crate::context::Context;
use crate::error::{Failure, Result};
use crate::group::Group;
use crate::log::Unrecovered;
use crate::log::publication::Publication;
use crate::message::Message;
use crate::position::LogEpoch;
use crate::presence::PresenceNews;
use crate::socket::Socket;

pub use format::{Format, MAX_FORMATS};
pub use message_rate::{MessageRate, OverRate};

/// One working object of a [`Group`]: it answers requests and owns WebSockets.
///
/// All code of one Replica runs on one thread, and handlers take `&self`. Keep state in `Cell` and `RefCell`, and hold no
/// borrow across an `.await`. No future needs to be `Send`.
///
/// - Messages of one socket are handled one at a time and in order. Handlers of different sockets, and requests, interleave at
///   `.await`.
/// - `on_open` ends before the first `on_message`. `on_close` or `on_error` comes last and exactly once, however the socket
///   ended.
/// - An error closes that socket with 1011 and no other. A panic ends this activation of the object: all its sockets close
///   with 1011, and the next request activates it again.
/// - The host polls a handler until it returns. It is dropped early only if the activation is over, or at the end of a
///   graceful shutdown.
/// - Fields are lost when the object hibernates, and so is the [state](Socket::state) of its sockets. What a socket needs later
///   belongs in its [attachment](Socket::set_attachment), everything else in the [storage](Context::storage).
///
/// Gossip has a type for the question and a type for the answer. Other types do not compile:
///
/// ```compile_fail,E0308
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
/// #[derive(serde::Serialize, serde::Deserialize)]
/// enum Ask { Users }
///
/// impl Replica for Room {
///     type Group = Lobby;
///     type Gossip = Ask;
///     type Answer = Vec<String>;
/// #   async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
///     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
///         cx.gossip(&"users").await?; // the type of gossip is `Ask`
///         Ok(cx.connect(request))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no Replica",
    note = "implement `dog::Replica` for it; a Replica and its Group name each other: `type Replica` and `type Group`"
)]
pub trait Replica: Sized + 'static {
    /// The Group of this Replica.
    type Group: Group<Replica = Self>;

    /// The type of what siblings ask each other. `()` if they ask nothing, or if there is only one question. For bytes, see
    /// [`Bytes`](crate::Bytes).
    type Gossip: Serialize + DeserializeOwned + 'static;

    /// The type of the answer. `()` if there is none.
    type Answer: Serialize + DeserializeOwned + 'static;

    /// A text message that the host answers by itself, without a handler. The answer may overtake messages of handlers. By
    /// default none.
    const AUTO_RESPONSE: Option<AutoResponse> = None;

    /// Whether this Replica follows the presence of its Group: whether [`on_presence`](Self::on_presence) is called. It is
    /// `false` by default, and then nothing is sent to the Replica for it. The Group also needs a
    /// [presence](crate::Policy::presence).
    ///
    /// A Replica that follows keeps in memory who is in the Group, about 150 bytes and the value for each connection, and as much again for
    /// each topic with a presence to which one is subscribed. The changes
    /// of each tick wake it if it hibernates. While it has no sockets, it does not follow.
    const FOLLOWS_PRESENCE: bool = false;

    /// Whether [`render`](Self::render) writes the publications that sockets of this Replica get. It is `false` by default: then each
    /// goes out as it was published, at no cost, and the [formats](Format) of sockets make no difference.
    const RENDERS: bool = false;

    /// Makes the value that lives in memory: at the first use of this Replica, and at each later activation after
    /// hibernation or a panic. It may take [`Group::ACTIVATE_DEADLINE`], and is dropped at an `.await` if it takes longer.
    ///
    /// # Errors
    /// Any. Those who wait for the Replica get an error ([`Error::is_handler`](crate::Error::is_handler)), and the next use
    /// tries again. Sockets that were open during hibernation close with 1011.
    fn activate(cx: &Context<Self>) -> impl Future<Output = Result<Self>>;

    /// How fast the client of each socket may send, event streams included. It is asked before each `activate`, so it can be a
    /// setting in [`Context::env`]. By default there is no limit: then nothing is counted, and no socket needs memory for it.
    ///
    /// The limit applies before a handler runs. The buckets are not stored: after hibernation they are full, and the message that
    /// wakes a Replica is not counted.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Lobby;
    /// # struct Room;
    /// # impl Group for Lobby {
    /// #     type Replica = Room;
    /// #     type Call = ();
    /// #     type Reply = ();
    /// #     const NAME: &'static str = "lobby";
    /// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
    /// #     fn limit(&self) -> Limit { Limit::new(2) }
    /// # }
    /// impl Replica for Room {
    ///     fn message_rate(_: &Context<Self>) -> Option<MessageRate> {
    ///         Some(MessageRate::per_second(20).bytes(64 * 1024).over(OverRate::Close))
    ///     }
    /// #     type Group = Lobby;
    /// #     type Gossip = ();
    /// #     type Answer = ();
    /// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    ///     // …
    /// }
    /// ```
    fn message_rate(cx: &Context<Self>) -> Option<MessageRate> {
        let _ = cx;
        None
    }

    /// Answers a request. [`Context::connect`] turns it into a WebSocket. The request holds a seat until the response has been
    /// sent. There is no deadline.
    ///
    /// # Errors
    /// Any. The client gets 500, or the status of an error of this library, or the one of [`Failure::status`]. The cause is
    /// logged, unless it is a refusal with 400 to 499.
    fn receive(&self, cx: &Context<Self>, request: Request) -> impl Future<Output = Result<Response>>;

    /// A socket has opened. It can be reached from now on. Only publications to the room wait until this has ended, 10 s at most, so
    /// that [`Socket::resume`] can begin where the client has been. What others send waits only after
    /// [`Accept::on_open_first`](crate::Accept). By default nothing happens.
    ///
    /// # Errors
    /// Any. The cause is logged, and the socket closes with 1011.
    fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> impl Future<Output = Result> {
        let _ = (cx, socket);
        async { Ok(()) }
    }

    /// A message has come. By default it is ignored.
    ///
    /// # Errors
    /// Any. The cause is logged, and the socket closes with 1011.
    fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> impl Future<Output = Result> {
        let _ = (cx, socket, message);
        async { Ok(()) }
    }

    /// The socket has closed, by the client or by [`Socket::close`]. Its seat is free, and nothing can be sent to it any
    /// more. By default nothing happens.
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_close(&self, cx: &Context<Self>, socket: &Socket, close: &Close) -> impl Future<Output = Result> {
        let _ = (cx, socket, close);
        async { Ok(()) }
    }

    /// The socket has ended without a regular close: lost, silent, too slow, against the protocol, or a handler failed. It is
    /// called instead of `on_close`, which it calls by default.
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_error(&self, cx: &Context<Self>, socket: &Socket, error: &SocketError) -> impl Future<Output = Result> {
        self.on_close(cx, socket, error.close())
    }

    /// An alarm is due: see [`Context::set_alarm`]. If it fails, it is called again after a delay that grows from 1 s to 5 min,
    /// until it succeeds. By default nothing happens, and the alarm is cleared.
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_alarm(&self, cx: &Context<Self>, alarm: Alarm) -> impl Future<Output = Result> {
        let _ = (cx, alarm);
        async { Ok(()) }
    }

    /// Publications of a topic, or of the room (`""`), are lost for these sockets, which are subscribed to it: the Group does not keep
    /// them any more, or its log has begun again. What follows is sent to the sockets when this has returned, 10 s later at most; of a
    /// log that has begun again, this is all that it has. So a page of the [history](Context::history) can be sent before it, and
    /// [`Socket::resume`] goes on from the end of the page. By default the sockets close with 1013, so that their clients come again.
    ///
    /// # Errors
    /// Any. The cause is logged, and the sockets close with 1013.
    fn on_lost(
        &self,
        cx: &Context<Self>,
        topic: &str,
        reason: Unrecovered,
        sockets: &[Socket],
    ) -> impl Future<Output = Result> {
        let _ = (cx, topic);
        sockets.iter().for_each(|socket| socket.close(CloseCode::TRY_AGAIN, reason.as_str()));
        async { Ok(()) }
    }

    /// Writes a publication of a topic, or of the room (`""`), as the sockets of one format get it, if [`RENDERS`](Self::RENDERS) is
    /// `true`. It can add what the Group has given to the publication: its offset, its time, its metadata and the epoch of its
    /// log. By default it returns the message as it was published.
    ///
    /// - It is called once for all sockets of this Replica that have the format, and not once per socket. What it has returned is kept
    ///   in up to 1 MiB for clients that come back.
    /// - It applies to every way in which a socket gets a publication: at once, later because its client is slow, or by
    ///   [`Socket::resume`]. [`Context::history`] returns publications as they were published: call `render` for those that are
    ///   to look the same.
    /// - It must return the same for the same arguments, and has no access to the Replica: one that hibernates is not activated
    ///   for it. A panic ends this activation of the object, as one of a handler does.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Lobby;
    /// # struct Room;
    /// # impl Group for Lobby {
    /// #     type Replica = Room;
    /// #     type Call = ();
    /// #     type Reply = ();
    /// #     const NAME: &'static str = "lobby";
    /// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
    /// #     fn limit(&self) -> Limit { Limit::new(2) }
    /// # }
    /// /// Clients of the second version of the protocol want to know where to go on.
    /// const V2: Format = Format::new(1);
    ///
    /// impl Replica for Room {
    ///     const RENDERS: bool = true;
    ///
    ///     fn render(_topic: &str, epoch: &LogEpoch, publication: &Publication, format: Format) -> Message {
    ///         match (format, publication.message.as_text()) {
    ///             (V2, Some(text)) => Message::text(format!("{epoch}:{} {text}", publication.offset)),
    ///             _ => publication.message.clone(),
    ///         }
    ///     }
    ///
    ///     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
    ///         let is_v2 = request.uri().path() == "/v2";
    ///         let format = if is_v2 { V2 } else { Format::DEFAULT };
    ///         Ok(cx.accept(request).format(format).connect()?)
    ///     }
    /// #   type Group = Lobby;
    /// #   type Gossip = ();
    /// #   type Answer = ();
    /// #   async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// }
    /// ```
    fn render(topic: &str, epoch: &LogEpoch, publication: &Publication, format: Format) -> Message {
        let _ = (topic, epoch, format);
        publication.message.clone()
    }

    /// Somebody has come into the Group or has left it, anywhere, or has set another value; or the same in one of its topics that
    /// [have a presence](Group::has_presence). Called once per tick (100 ms by default)
    /// with the changes since the call before, one call at a time, if [`FOLLOWS_PRESENCE`](Self::FOLLOWS_PRESENCE) is
    /// `true`. By default nothing happens.
    ///
    /// - The first call after each activation is [`PresenceNews::Reset`]. So is the one after changes were lost for good, and the
    ///   one after 64 calls had to wait. Read `cx.presence(..)` then.
    /// - Every other call leads from the version before to the next. What is lost between nodes is fetched, so joins and leaves
    ///   of each client alternate.
    /// - `cx.presence(..)` may already be ahead of the news: those with a version that is not greater are known.
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
    /// #     fn policy(&self) -> Policy { Policy { presence: Some(Presence::default()), ..Policy::default() } }
    /// # }
    /// # struct Room;
    /// impl Replica for Room {
    /// #   type Group = Lobby;
    /// #   type Gossip = ();
    /// #   type Answer = ();
    /// #   async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
    /// #   async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
    ///     const FOLLOWS_PRESENCE: bool = true;
    ///
    ///     async fn on_presence(&self, cx: &Context<Self>, news: PresenceNews) -> Result {
    ///         match news {
    ///             PresenceNews::Reset(_) => {
    ///                 let counts = cx.presence_counts().await?;
    ///                 cx.emit(format!("{} people are here", counts.clients))?;
    ///             }
    ///             PresenceNews::Changed { changes, .. } => {
    ///                 for change in changes {
    ///                     match change {
    ///                         PresenceChange::Arrived { client } => cx.emit(format!("{client} is here"))?,
    ///                         PresenceChange::Left { client } => cx.emit(format!("{client} has left"))?,
    ///                         _ => {} // about single windows
    ///                     }
    ///                 }
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Any. The cause is logged.
    fn on_presence(&self, cx: &Context<Self>, news: PresenceNews) -> impl Future<Output = Result> {
        let _ = (cx, news);
        async { Ok(()) }
    }

    /// A sibling asks. By default an error, and the sibling finds this Replica among those that did not answer.
    ///
    /// # Errors
    /// Any. The cause is logged here. The sibling is only told that there is no answer.
    fn on_gossip(&self, cx: &Context<Self>, gossip: Self::Gossip) -> impl Future<Output = Result<Self::Answer>> {
        let _ = (cx, gossip);
        async { Err(Failure::new("this Replica does not answer gossip: implement on_gossip")) }
    }
}
