//! What an App decides: [`Channels`], and what it is told and answers.

use std::future::Future;

use bytes::Bytes;
use dog::{AnyApp, Context, Dog, Env, GroupId, Limit, Log, Replica, Timestamp};

use crate::protocol::{Disconnect, ErrorCode};
use crate::session::ClientSession;

/// A server of channels: who may connect, subscribe and publish, and what is kept of each channel.
///
/// One value of it lives in each object, in the Group and in each Replica. It decides; it keeps no state that matters.
///
/// By default nobody may do anything: a server permits what it wants.
///
/// ```
/// use dog::{Env, Log};
/// use dog_channels::{Action, ChannelContext, ChannelOptions, Channels, Connecting, Connection, Refused, ClientSession, Subscribing, Subscription};
///
/// /// Everybody may read and write, under the name that they choose. `news` has a history.
/// struct Square;
///
/// impl Channels for Square {
///     const NAME: &'static str = "square";
///
///     fn activate(_: &Env) -> dog::Result<Self> {
///         Ok(Square)
///     }
///
///     fn options(&self, channel: &str) -> Option<ChannelOptions> {
///         let log = if channel == "news" { Log::memory() } else { Log::none() };
///         Some(ChannelOptions { log, presence: true, ..ChannelOptions::default() })
///     }
///
///     async fn connect(&self, _: &ChannelContext, who: &Connecting<'_>) -> Result<Connection, Refused> {
///         Ok(Connection { user: who.token.to_owned(), ..Connection::default() })
///     }
///
///     async fn subscribe(
///         &self,
///         _: &ChannelContext,
///         _: &ClientSession,
///         _: &Subscribing<'_>,
///     ) -> Result<Subscription, Refused> {
///         Ok(Subscription { may_recover: true, ..Subscription::default() })
///     }
///
///     async fn permit(
///         &self,
///         _: &ChannelContext,
///         who: &ClientSession,
///         _: Action,
///         channel: &str,
///     ) -> Result<(), Refused> {
///         if who.is_subscribed(channel) { Ok(()) } else { Err(Refused::PERMISSION_DENIED) }
///     }
/// }
/// ```
pub trait Channels: Sized + 'static {
    /// The name of the class of Groups: see [`Group::NAME`](dog::Group::NAME).
    const NAME: &'static str;

    /// Makes the value, for each life of an object.
    ///
    /// # Errors
    /// Any. The object is not activated, and who needs it gets an error.
    fn activate(env: &Env) -> dog::Result<Self>;

    /// How many connections a Replica has at most. 1,000 by default.
    fn limit(&self) -> Limit {
        Limit::new(1_000)
    }

    /// What is kept of a channel, and told. `None`: there is no such channel. It depends on the name alone.
    fn options(&self, channel: &str) -> Option<ChannelOptions>;

    /// Who connects. By default nobody may.
    ///
    /// # Errors
    /// [`Refused`] says what the client is told.
    fn connect(&self, cx: &ChannelContext, who: &Connecting<'_>) -> impl Future<Output = Result<Connection, Refused>> {
        let _ = (cx, who);
        async { Err(Refused::Disconnect(Disconnect::PERMISSION_DENIED)) }
    }

    /// Brings another token for the connection. Not available by default.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    fn refresh(
        &self,
        cx: &ChannelContext,
        who: &ClientSession,
        token: &str,
    ) -> impl Future<Output = Result<Validity, Refused>> {
        let _ = (cx, who, token);
        async { Err(Refused::NOT_AVAILABLE) }
    }

    /// Whether a client may subscribe to a channel. By default it may not.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    fn subscribe(
        &self,
        cx: &ChannelContext,
        who: &ClientSession,
        request: &Subscribing<'_>,
    ) -> impl Future<Output = Result<Subscription, Refused>> {
        let _ = (cx, who, request);
        async { Err(Refused::PERMISSION_DENIED) }
    }

    /// Brings another token for a subscription. Not available by default.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    fn refresh_subscription(
        &self,
        cx: &ChannelContext,
        who: &ClientSession,
        request: &Subscribing<'_>,
    ) -> impl Future<Output = Result<Validity, Refused>> {
        let _ = (cx, who, request);
        async { Err(Refused::NOT_AVAILABLE) }
    }

    /// Whether a client may publish to a channel, read its history or see who is there. By default it may not.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    fn permit(
        &self,
        cx: &ChannelContext,
        who: &ClientSession,
        action: Action,
        channel: &str,
    ) -> impl Future<Output = Result<(), Refused>> {
        let _ = (cx, who, action, channel);
        async { Err(Refused::PERMISSION_DENIED) }
    }

    /// Answers a call of a client. Not available by default.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    fn rpc(
        &self,
        cx: &ChannelContext,
        who: &ClientSession,
        method: &str,
        data: &Bytes,
    ) -> impl Future<Output = Result<Bytes, Refused>> {
        let _ = (cx, who, method, data);
        async { Err(Refused::NOT_AVAILABLE) }
    }

    /// Takes a message of a client that is not answered. By default the client is disconnected, because it would not learn
    /// otherwise that nobody takes it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); an error code is told to nobody.
    fn message(
        &self,
        cx: &ChannelContext,
        who: &ClientSession,
        data: &Bytes,
    ) -> impl Future<Output = Result<(), Refused>> {
        let _ = (cx, who, data);
        async { Err(Refused::Disconnect(Disconnect::NOT_AVAILABLE)) }
    }
}

/// Where a decision is made: the way to the time, and to all Groups of the program.
#[derive(Clone, Debug)]
pub struct ChannelContext {
    now: Timestamp,
    group: GroupId,
    dog: Dog<AnyApp>,
}

impl ChannelContext {
    pub(crate) fn of<R: Replica>(cx: &Context<R>) -> Self {
        Self { now: cx.now(), group: cx.group(), dog: cx.dog() }
    }

    /// When the client has asked.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The Group of the server, whose [`ChannelServer`](crate::ChannelServer) publishes.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The way to all Groups of the program.
    pub fn dog(&self) -> &Dog<AnyApp> {
        &self.dog
    }
}

/// What is kept of a channel, and told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelOptions {
    /// The history. A server has 5,000 channels with one, because JSON and Protobuf each have a log of their own.
    pub log: Log,
    /// Whether it can be asked who is there.
    pub presence: bool,
    /// Whether subscribers that want it hear who comes and goes.
    pub join_leave: bool,
    /// Whether all subscribers hear who comes and goes.
    pub force_join_leave: bool,
    /// Whether all subscribers can recover.
    pub force_recovery: bool,
    /// Whether all subscribers have positions.
    pub force_positions: bool,
}

/// A client that begins a connection.
#[derive(Clone, Copy, Debug)]
pub struct Connecting<'a> {
    /// The id of the connection.
    pub client: &'a str,
    /// Who it is. Empty: no token.
    pub token: &'a str,
    /// What it says else.
    pub data: &'a Bytes,
    /// What the client program is called.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
}

/// A client that may connect.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The user. Empty: not known.
    pub user: String,
    /// What others are told of the connection. JSON if any of them speaks JSON.
    pub info: Bytes,
    /// What the client is told.
    pub data: Bytes,
    /// When it ends, if the client brings no other token before.
    pub expires: Option<Timestamp>,
    /// The channels to which the server subscribes it, before it is told that it is connected.
    pub channels: Vec<String>,
}

/// A connection, or a subscription, that goes on.
#[derive(Clone, Debug, Default)]
pub struct Validity {
    /// What others are told of it from now on. Empty: the same as before.
    pub info: Bytes,
    /// When it ends. `None`: never.
    pub expires: Option<Timestamp>,
}

/// A client that wants to subscribe.
#[derive(Clone, Copy, Debug)]
pub struct Subscribing<'a> {
    /// The channel.
    pub channel: &'a str,
    /// What permits it. Empty: no token.
    pub token: &'a str,
    /// What the client says else.
    pub data: &'a Bytes,
}

/// A client that may subscribe.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// What others are told of the subscription.
    pub info: Bytes,
    /// What the client is told.
    pub data: Bytes,
    /// When it ends, if the client brings no other token before.
    pub expires: Option<Timestamp>,
    /// Whether the client gets positions and recovers, if it asks for it.
    pub may_recover: bool,
    /// Whether the client hears who comes and goes, if it asks for it.
    pub may_hear_joins: bool,
}

/// What a client does with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Publishes.
    Publish,
    /// Reads the history.
    History,
    /// Asks who is there.
    Presence,
}

/// What a client is told that may not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The command fails.
    Error(ErrorCode),
    /// The connection ends.
    Disconnect(Disconnect),
}

impl Refused {
    /// The client may not do this.
    pub const PERMISSION_DENIED: Self = Self::Error(ErrorCode::PERMISSION_DENIED);
    /// The server does not offer this.
    pub const NOT_AVAILABLE: Self = Self::Error(ErrorCode::NOT_AVAILABLE);
    /// The command does not make sense.
    pub const BAD_REQUEST: Self = Self::Error(ErrorCode::BAD_REQUEST);
}

impl From<ErrorCode> for Refused {
    fn from(error: ErrorCode) -> Self {
        Self::Error(error)
    }
}

impl From<Disconnect> for Refused {
    fn from(disconnect: Disconnect) -> Self {
        Self::Disconnect(disconnect)
    }
}

impl From<dog::Error> for ErrorCode {
    /// What a client is told of an error of this library.
    fn from(error: dog::Error) -> Self {
        if error.unrecovered().is_some() {
            Self::UNRECOVERABLE_POSITION
        } else if error.is_too_many() || error.is_too_large() {
            Self::LIMIT_EXCEEDED
        } else if error.is_no_log() {
            Self::NOT_AVAILABLE
        } else if error.is_invalid_topic() {
            Self::BAD_REQUEST
        } else {
            Self::INTERNAL
        }
    }
}

impl From<dog::Error> for Refused {
    fn from(error: dog::Error) -> Self {
        Self::Error(error.into())
    }
}
