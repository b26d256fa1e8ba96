//! One open WebSocket, as its Replica sees it: [`Socket`].

use std::any::TypeId;
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::close::CloseCode;
use crate::codec;
use crate::error::{Error, Kind};
use crate::except::Except;
use crate::id::ClientId;
use crate::message::IntoMessage;
use crate::numbers::SocketId;
use crate::port::ReplicaPort;
use crate::replies::BroadcastReport;

/// Largest attachment of a socket, in bytes when serialised.
pub const MAX_ATTACHMENT: usize = 16 * 1024;

/// One open WebSocket of a client. Cloning it is cheap. A clone may outlive the socket; its calls then fail with
/// [`Error::is_closed`].
#[derive(Clone)]
pub struct Socket {
    port: Rc<dyn ReplicaPort>,
    id: SocketId,
    client: ClientId,
    /// If `client` is anonymous: the client that was assigned since.
    assigned: OnceCell<ClientId>,
    /// Whether what others send waits for the end of its `on_open`, in which this value is used.
    is_first: bool,
}

/// Who receives what is sent through a [`Socket`].
///
/// | | this socket | other sockets of its client | everyone else |
/// |---|---|---|---|
/// | `Others` | no | no | yes |
/// | `OtherSockets` | no | yes | yes |
/// | `Everyone` | yes | yes | yes |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// Everyone except the client of the socket: none of its sockets receives the message.
    Others,
    /// Every socket except this one. The client's other sockets receive the message: its other tabs and devices.
    OtherSockets,
    /// Everyone, the client of the socket included.
    Everyone,
}

impl Socket {
    #[doc(hidden)]
    pub fn new(port: Rc<dyn ReplicaPort>, id: SocketId, client: ClientId) -> Self {
        Self { port, id, client, assigned: OnceCell::new(), is_first: false }
    }

    /// The socket as its `on_open` sees it: what it sends does not wait.
    #[doc(hidden)]
    #[must_use]
    pub fn first(self) -> Self {
        Self { is_first: true, ..self }
    }

    /// The number of the socket.
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// The client that the socket belongs to. If the client is not known yet, it is one with a generated id
    /// ([`ClientId::is_anonymous`]), until [`assign`](Self::assign) names it.
    pub fn client(&self) -> &ClientId {
        if !self.client.is_anonymous() {
            return &self.client;
        }
        if self.assigned.get().is_none()
            && let Some(client) = self.port().client(self.id).filter(|client| *client != self.client)
        {
            let _ = self.assigned.set(client);
        }
        self.assigned.get().unwrap_or(&self.client)
    }

    /// Names the client of a socket that was opened for an
    /// [anonymous](crate::GroupHandle::identify_anonymous) one. The socket keeps its seat on this Replica.
    ///
    /// On this Replica the name counts at once. The call ends when the Group has acknowledged it. From then on `whisper`,
    /// `disconnect`, `clients` and [`To::Others`] on every Replica count the socket under `client`.
    ///
    /// The Group must answer within 3 s. If it does not, the name stays, and the Replica tells the Group again and again.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the client is named.
    ///
    /// # Errors
    /// - [`Error::is_assigned`]: the client of the socket is known, because it was identified, or assigned before.
    /// - [`Error::is_invalid_client`]: `client` is a generated id.
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    /// - [`Error::is_deadline`]: the Group did not acknowledge it within 3 s.
    pub async fn assign(&self, client: &ClientId) -> Result<(), Error> {
        client.check_known()?;
        self.port().assign(self.id, client.clone()).await
    }

    /// Sends to this socket alone.
    ///
    /// `Ok` means that the message is queued, not that the client has it: a client can leave before the message arrives. There
    /// is no limit on the size of a message. The host limits the bytes that may wait for one socket; a socket that exceeds
    /// that limit is closed with 1013 by default, and `on_error` is called with the reason.
    ///
    /// A socket that has closed is an error. If a handler returns the error of *another* client's socket with `?`, the handler
    /// fails as with any error: the error is logged and counted, and the handler's own socket closes with 1011. The error of
    /// the handler's own socket only means that its client has left. It is not logged.
    ///
    /// ```
    /// # use dog::{Context, Replica, Result, Socket};
    /// # fn to_all<R: Replica>(cx: &Context<R>) -> Result {
    /// for socket in cx.sockets() {
    ///     match socket.send("hello") {
    ///         Err(error) if error.is_closed() => {} // it has just left
    ///         sent => sent?,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    pub fn send(&self, message: impl IntoMessage) -> Result<(), Error> {
        let message = message.into();
        if self.is_first { self.port().send_first(self.id, &message) } else { self.port().send(self.id, &message) }
    }

    /// Closes this socket. The client gets everything that was sent before, then the close with `code` and the first 123 bytes
    /// of `reason`. Messages of the socket that still wait for their handler are dropped. Does nothing if the socket has
    /// closed.
    ///
    /// `on_close` runs after this call has returned. If a handler closes several sockets, their `on_close` run in the same
    /// order.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.port().close(self.id, code, reason);
    }

    /// Sends to the sockets of this Replica, as [`Context::emit`](crate::Context::emit). `to` says whether this socket
    /// and the other sockets of its client are among the receivers.
    ///
    /// # Errors
    /// [`Error::is_closed`]: this activation of the Replica is over.
    pub fn emit(&self, message: impl IntoMessage, to: To) -> Result<(), Error> {
        self.port().emit(&message.into(), self.except(to))
    }

    /// Sends to all sockets of the Group, as [`Context::broadcast`](crate::Context::broadcast). `to` says whether this
    /// socket and the other sockets of its client are among the receivers.
    ///
    /// # Errors
    /// [`Error::is_closed`]: this activation of the Replica is over.
    pub fn broadcast(&self, message: impl IntoMessage, to: To) -> Result<(), Error> {
        self.port().broadcast(&message.into(), self.except(to))
    }

    /// Sends to all sockets of the Group and reports how many there were, as
    /// [`Context::broadcast_confirmed`](crate::Context::broadcast_confirmed), with the same deadline of 3 s and the same
    /// cancel safety. `to` says whether this socket and the other sockets of its client are among the receivers.
    ///
    /// # Errors
    /// [`Error::is_closed`]: this activation of the Replica is over.
    pub async fn broadcast_confirmed(&self, message: impl IntoMessage, to: To) -> Result<BroadcastReport, Error> {
        self.port().broadcast_confirmed(message.into(), self.except(to).cloned()).await
    }

    /// Sends to all sockets of one client. The same as [`Context::whisper`](crate::Context::whisper): deadlines, cancel
    /// safety and errors are there.
    ///
    /// # Errors
    /// [`Error::is_deadline`], [`Error::is_unreachable`], [`Error::is_too_many`] or [`Error::is_closed`].
    pub async fn whisper(&self, client: &ClientId, message: impl IntoMessage) -> Result<usize, Error> {
        self.port().whisper(client.clone(), message.into()).await
    }

    /// The identity that the App gave with the request that opened this socket, or `None`: see
    /// [`ReplicaHandle::fetch_as`](crate::ReplicaHandle::fetch_as). It does not change, and survives the hibernation of the
    /// Replica.
    ///
    /// # Errors
    /// - [`Error::is_closed`]: the socket has closed, except in its own `on_close` or `on_error`; or this activation of the
    ///   Replica is over.
    /// - [`Error::is_encoding`]: the identity is not a `T`.
    pub fn identity<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.port().identity(self.id)?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// The value attached to this socket, or `None`. It survives the hibernation of the Replica, but not the end of the
    /// socket.
    ///
    /// # Errors
    /// - [`Error::is_closed`]: the socket has closed, except in its own `on_close` or `on_error`; or this activation of the
    ///   Replica is over.
    /// - [`Error::is_encoding`]: the attached value is not a `T`.
    pub fn attachment<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.port().attachment(self.id)?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// Attaches `value` to this socket, and replaces an earlier value.
    ///
    /// # Errors
    /// - [`Error::is_too_large`]: the value has more than 16 KiB when serialised.
    /// - [`Error::is_encoding`]: the value cannot be serialised.
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    pub fn set_attachment<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        self.port().set_attachment(self.id, encode_attachment(value)?)
    }

    /// Changes the value attached to this socket: reads it, or takes the default if there is none, calls `update`, and attaches
    /// the result. Returns what `update` returns. There is no `.await` in it, so no other handler comes in between.
    ///
    /// The value is decoded and encoded at each call. What may be lost at hibernation costs less in
    /// [`state`](Self::state).
    ///
    /// ```
    /// # use dog::{Error, Socket};
    /// #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// struct Seen { messages: u64 }
    ///
    /// fn count(socket: &Socket) -> Result<u64, Error> {
    ///     socket.update_attachment(|seen: &mut Seen| {
    ///         seen.messages += 1;
    ///         seen.messages
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// In each case the attached value stays as it was.
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    /// - [`Error::is_encoding`]: the attached value is not a `T`, or the new one cannot be serialised.
    /// - [`Error::is_too_large`]: the new value has more than 16 KiB when serialised.
    pub fn update_attachment<T, O>(&self, update: impl FnOnce(&mut T) -> O) -> Result<O, Error>
    where
        T: Default + Serialize + DeserializeOwned,
    {
        let mut value: T = self.attachment()?.unwrap_or_default();
        let outcome = update(&mut value);
        self.set_attachment(&value)?;
        Ok(outcome)
    }

    /// A value that is kept in memory for this socket: one per type. The first call makes it, with its default.
    ///
    /// It is **lost when the Replica hibernates** or restarts, like the Replica's own fields, and dropped after `on_close` or
    /// `on_error`. Use it for what may be lost: a rate limit, a cache, what the client is doing just now. What has to survive
    /// belongs in the [attachment](Self::set_attachment). A socket without such a value costs no memory.
    ///
    /// As with the Replica's own state, hold no borrow across an `.await`.
    ///
    /// ```
    /// # use dog::*;
    /// /// At most ten messages per second.
    /// #[derive(Default)]
    /// struct Rate { second: u64, messages: u32 }
    ///
    /// fn may_speak<R: Replica>(cx: &Context<R>, socket: &Socket) -> Result<bool, Error> {
    ///     let rate = socket.state::<Rate>()?;
    ///     let (mut rate, second) = (rate.borrow_mut(), cx.now().as_millis() / 1000);
    ///     if rate.second != second {
    ///         *rate = Rate { second, messages: 0 };
    ///     }
    ///     rate.messages += 1;
    ///     Ok(rate.messages <= 10)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_closed`]: the socket has closed, except in its own `on_close` or `on_error`; or this activation of the
    /// Replica is over.
    pub fn state<T: Default + 'static>(&self) -> Result<Rc<RefCell<T>>, Error> {
        let make = || Rc::new(RefCell::<T>::default()) as Rc<dyn std::any::Any>;
        let state = self.port().socket_state(self.id, TypeId::of::<RefCell<T>>(), make)?;
        // The port returns a value of the type that it was asked for.
        state.downcast().map_err(|_| Error::of_socket(self.id))
    }

    /// Sets what this socket's connection shows to all who see the [presence](crate::Policy::presence) of the Group: a name, a
    /// colour, "is typing". It replaces the value before. They are told with the next tick.
    ///
    /// It survives hibernation, and ends with the socket.
    ///
    /// ```
    /// # use dog::{Context, Replica, Result, Socket};
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Cursor { line: u32, column: u32 }
    ///
    /// # fn moved(socket: &Socket) -> Result {
    /// socket.set_presence(&Cursor { line: 3, column: 14 })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// In each case the value stays as it was.
    /// - [`Error::is_too_large`]: the value has more than 1 KiB when serialised.
    /// - [`Error::is_encoding`]: the value cannot be serialised.
    /// - [`Error::is_no_presence`]: the Group has no presence.
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    #[cfg(feature = "presence")]
    pub fn set_presence<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        self.port().set_presence(self.id, codec::encode(value)?)
    }

    /// The name under which this socket's connection is known in the [presence](crate::Policy::presence) of the Group. `None`: the
    /// Group has no presence, the socket has closed, or this activation of the Replica is over.
    #[cfg(feature = "presence")]
    pub fn connection(&self) -> Option<crate::ConnectionId> {
        self.port().connection(self.id)
    }

    /// The session of this event stream: what [`GroupHandle::deliver`](crate::GroupHandle::deliver) needs to hand a message of
    /// its client to this socket. `None` for a WebSocket, whose client sends on it, and for a socket that has closed.
    ///
    /// Send it to the client in the first event, and to nobody else: who has it can speak for this client until the stream ends.
    /// It is 112 hexadecimal digits, among them 128 random bits.
    ///
    /// ```
    /// # use dog::{Message, Result, Socket};
    /// # fn on_open(socket: &Socket) -> Result {
    /// if let Some(session) = socket.session() {
    ///     socket.send(session)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn session(&self) -> Option<String> {
        self.port().session(self.id()).map(|session| session.to_string())
    }

    pub(crate) fn port(&self) -> &dyn ReplicaPort {
        &*self.port
    }

    pub(crate) fn except(&self, to: To) -> Except<&ClientId> {
        match to {
            To::Others => Except::Client(self.client()),
            To::OtherSockets => Except::Socket(self.id),
            To::Everyone => Except::Nobody,
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Socket({:?}, {:?})", self.id, self.client)
    }
}

/// The bytes of an attachment.
pub(crate) fn encode_attachment<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let bytes = codec::encode(value)?;
    if bytes.len() > MAX_ATTACHMENT {
        let length = bytes.len();
        let message = format!("the attachment is {length} bytes serialised, {MAX_ATTACHMENT} at most");
        return Err(Error::new(Kind::ValueTooLarge, message));
    }
    Ok(bytes)
}
