//! What a Replica's handlers are given: [`Context`].

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::Serialize;

use crate::body::{Request, Response};
use crate::codec;
use crate::env::Env;
use crate::error::{Error, Kind};
use crate::id::{ClientId, GroupId, ReplicaId};
use crate::message::Message;
use crate::port::{GossipAnswers, ReplicaPort};
use crate::replica::Replica;
use crate::socket::{BroadcastReport, Socket, encode_attachment};
use crate::storage::Storage;
use crate::time::Timestamp;

/// A Replica's way to its sockets, its siblings and its host. Cloning it is cheap.
///
/// The verbs here speak in the name of the Replica, so they leave nobody out; those of a [`Socket`] can leave out its
/// client. What one object sends reaches any one socket in the order sent, whichever verbs were used; an awaited verb
/// is sent while it is awaited.
///
/// No verb runs a handler before it returns: what follows from it comes in a later turn. So a handler may hold a borrow of
/// its own state across any verb that it does not await.
///
/// A task that you start beside your handlers can hold a clone. That works until the value that [`Replica::activate`] made is
/// dropped, because the Replica rests or a handler has panicked. From then on every verb, every call of the storage and the
/// alarm fails with [`Error::is_closed`], `close` does nothing and no socket is listed: let the task end then. The next life
/// starts its own.
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

    /// This Replica's id.
    pub fn id(&self) -> ReplicaId {
        self.port.replica()
    }

    /// Its Group's id.
    pub fn group(&self) -> GroupId {
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
    /// shut down, or this life of the Replica is over. Cancel safe.
    ///
    /// A streamed response holds its seat and keeps this value in memory until the stream has ended. The server tells you when
    /// it begins to shut down. What has not ended soon after, it ends itself: a stream of server-sent events is
    /// completed, so that the client connects again; any other is broken off within the time that sockets have too.
    ///
    /// ```
    /// # use dog::{Context, Replica};
    /// # async fn next_event() -> &'static str { "data: 1\n\n" }
    /// # fn say(_: &str) -> bool { true }
    /// /// A task beside the handlers that feeds a streamed response: `say` is false when the client has left.
    /// async fn feed<R: Replica>(cx: Context<R>) {
    ///     let mut stopping = std::pin::pin!(cx.stopping());
    ///     loop {
    ///         let event = std::pin::pin!(next_event());
    ///         match futures_util::future::select(event, stopping.as_mut()).await {
    ///             futures_util::future::Either::Left((event, _)) if say(event) => {}
    ///             _ => return,
    ///         }
    ///     }
    /// }
    /// ```
    pub fn stopping(&self) -> impl Future<Output = ()> + use<R> {
        self.port.stopping()
    }

    /// What this Replica keeps for good.
    pub fn storage(&self) -> Storage {
        Storage::new(self.port.storage())
    }

    /// Sets this Replica's one alarm, in place of an earlier one: [`Replica::on_alarm`] is called at that time or soon
    /// after, whatever happens in between, once or more often.
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

    /// This Replica's open sockets, in no order; none once this life of it is over.
    pub fn sockets(&self) -> impl Iterator<Item = Socket> {
        let port = Rc::clone(&self.port);
        port.sockets().into_iter().map(move |(id, client)| Socket::new(Rc::clone(&port), id, client))
    }

    /// Makes the request a WebSocket: return the response as it is, or with headers of your own. The socket opens when
    /// the client has it, and `on_open` is called.
    ///
    /// A request that is no proper handshake is answered with 405, 400 or 426, says what is wrong, and keeps no seat.
    #[must_use = "the socket opens when this response is returned"]
    pub fn connect(&self, request: Request) -> Response {
        self.port.connect(request, None)
    }

    /// The same, and from `on_open` on the socket has `attachment`: what the request says of who is there (a name, a
    /// role, a language), which nobody sees any more once the socket is open.
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
    /// As [`Socket::set_attachment`]: when it is over 16 KiB as serialised ([`Error::is_too_large`]) or cannot be
    /// serialised ([`Error::is_encoding`]). No seat is kept then.
    pub fn connect_with<T: Serialize>(&self, request: Request, attachment: &T) -> Result<Response, Error> {
        let attachment = encode_attachment(attachment)?;
        Ok(self.port.connect(request, Some(attachment)))
    }

    /// To all of this Replica's sockets. Handed over when called.
    ///
    /// # Errors
    /// When the message is too large for the host ([`Error::is_too_large`]), or this life of the object is over
    /// ([`Error::is_closed`]).
    pub fn emit(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.port.emit(&message.into(), None)
    }

    /// To all sockets of the cluster. Handed over when called; at most once to each; a Replica that is dead or slow
    /// does not stop the others.
    ///
    /// # Errors
    /// When the message is too large for the host ([`Error::is_too_large`]), or this life of the object is over
    /// ([`Error::is_closed`]).
    pub fn broadcast(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.port.broadcast(&message.into(), None)
    }

    /// The same, and says how many sockets took it and which Replicas did not answer by the deadline.
    ///
    /// # Errors
    /// When the message is too large for the host ([`Error::is_too_large`]), or this life of the object is over
    /// ([`Error::is_closed`]).
    pub async fn broadcast_confirmed(&self, message: impl Into<Message>) -> Result<BroadcastReport, Error> {
        self.port.broadcast_confirmed(message.into(), None).await
    }

    /// To all sockets of one client, wherever they are. Returns how many took it; 0 means that nobody is there.
    ///
    /// Dropped before it ends, it may have been sent or not.
    ///
    /// # Errors
    /// When the Group cannot say where the client is ([`Error::is_unreachable`], [`Error::is_deadline`]), or this life of the
    /// object is over ([`Error::is_closed`]).
    pub async fn whisper(&self, client: &ClientId, message: impl Into<Message>) -> Result<usize, Error> {
        self.port.whisper(client.clone(), message.into()).await
    }

    /// Asks every sibling that is in use, this Replica itself not included.
    ///
    /// A sibling that has been empty for [`Policy::park_after`](crate::Policy::park_after) is parked: it has no sockets, and it
    /// is not asked, since that would wake it. [`GossipReplies::parked`] names those. What they keep in their storage is in no
    /// answer.
    ///
    /// A sibling that fails or does not answer by the deadline is among [`GossipReplies::missing`]: the others' answers count. Where
    /// many handlers ask many siblings in the same moment, a host lets them ask in turn: the wait is part of the deadline.
    /// Cancel safe: siblings may have been asked, and their answers are dropped.
    ///
    /// # Errors
    /// When `gossip` cannot be serialised ([`Error::is_encoding`]), or this life of the object is over
    /// ([`Error::is_closed`]).
    pub async fn gossip(&self, gossip: &R::Gossip) -> Result<GossipReplies<R::Answer>, Error> {
        let answers = self.port.gossip(codec::encode(gossip)?).await?;
        let GossipAnswers { answers, parked } = answers;
        let mut heard = GossipReplies { answers: Vec::with_capacity(answers.len()), missing: Vec::new(), parked };
        for (replica, answer) in answers {
            match answer.and_then(|bytes| codec::decode(&bytes)) {
                Ok(answer) => heard.answers.push((replica, answer)),
                Err(error) => heard.missing.push((replica, error)),
            }
        }
        Ok(heard)
    }
}

impl<R> fmt::Debug for Context<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Context({:?})", self.port.replica())
    }
}

/// What siblings said to a [`gossip`](Context::gossip).
#[derive(Debug)]
pub struct GossipReplies<A> {
    /// Who answered, and what.
    pub answers: Vec<(ReplicaId, A)>,
    /// Who was asked and did not answer, and why.
    pub missing: Vec<(ReplicaId, Error)>,
    /// Who was not asked because it is parked: it has had no sockets for
    /// [`Policy::park_after`](crate::Policy::park_after). An error when the Group did not say so by the deadline
    /// ([`Error::is_deadline`], [`Error::is_unreachable`]).
    pub parked: Result<Vec<ReplicaId>, Error>,
}

impl<A> GossipReplies<A> {
    /// The answers alone.
    pub fn into_answers(self) -> impl Iterator<Item = A> {
        self.answers.into_iter().map(|(_, answer)| answer)
    }

    /// The answers, if everyone who was asked has answered. Parked siblings have no sockets and are not asked: what is asked
    /// of sockets is complete without them. Where their storage matters too, look at [`parked`](Self::parked) first.
    ///
    /// # Errors
    /// When a sibling that was asked is missing: the first one's reason.
    pub fn complete(self) -> Result<Vec<(ReplicaId, A)>, Error> {
        match self.missing.into_iter().next() {
            None => Ok(self.answers),
            Some((replica, error)) => {
                Err(Error::caused(Kind::Unreachable, format!("Replica {replica} did not answer"), error))
            }
        }
    }
}
