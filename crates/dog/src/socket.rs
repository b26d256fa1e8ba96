//! One open WebSocket, seen from its Replica: [`Socket`].

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::close::CloseCode;
use crate::codec;
use crate::error::{Error, Kind};
use crate::id::{ClientId, ReplicaId, SocketId};
use crate::message::Message;
use crate::port::ReplicaPort;

/// The largest attachment, in bytes as serialised.
pub const MAX_ATTACHMENT: usize = 16 * 1024;

/// One open WebSocket of a client. Cloning it is cheap; a clone kept past the end of the socket is harmless.
#[derive(Clone)]
pub struct Socket {
    port: Rc<dyn ReplicaPort>,
    id: SocketId,
    client: ClientId,
}

/// Who hears what a [`Socket`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// All but the sockets of the client that speaks: every one of them, not only the one it spoke on.
    Others,
    /// All, the speaker too.
    Everyone,
}

/// Whom a [`broadcast_confirmed`](Socket::broadcast_confirmed) reached.
#[derive(Debug, Default)]
pub struct BroadcastReport {
    /// How many sockets took it.
    pub sockets: usize,
    /// Replicas that did not answer by the deadline, and why. What they have got is not known.
    pub missing: Vec<(ReplicaId, Error)>,
}

impl Socket {
    #[doc(hidden)]
    pub fn new(port: Rc<dyn ReplicaPort>, id: SocketId, client: ClientId) -> Self {
        Self { port, id, client }
    }

    /// Which socket of its Replica.
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// Whose socket.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// To this socket alone. Handed over when called: `Ok` does not mean that the client has received it, since a client
    /// can leave before the message reaches it.
    ///
    /// A socket that is known to have closed is an error. A handler that sends to sockets of other clients decides what that
    /// means. If it returns the error with `?`, it fails like with any other error: it is logged and counted, and the socket
    /// *whose handler it is* is closed with 1011. The error about a handler's own socket only means that its client has left;
    /// it is not logged.
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
    /// When the socket has closed or this life of the object is over ([`Error::is_closed`]), or the message is too large
    /// for the host ([`Error::is_too_large`]).
    pub fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.port.send(self.id, &message.into())
    }

    /// Ends this socket: what was sent before goes out first, then the close. The reason is cut at 123 bytes. A socket
    /// that has closed already stays as it is.
    ///
    /// Its `on_close` runs in a later turn, after this has returned, and so does that of each of many that are closed in one
    /// go, in their order. Messages of this socket that still wait for their handler are dropped.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.port.close(self.id, code, reason);
    }

    /// To the sockets of this Replica. Handed over when called.
    ///
    /// # Errors
    /// When the message is too large for the host ([`Error::is_too_large`]), or this life of the object is over
    /// ([`Error::is_closed`]).
    pub fn emit(&self, message: impl Into<Message>, to: To) -> Result<(), Error> {
        self.port.emit(&message.into(), self.except(to))
    }

    /// To all sockets of the cluster. Handed over when called; at most once to each; a Replica that is dead or slow
    /// does not stop the others.
    ///
    /// # Errors
    /// When the message is too large for the host ([`Error::is_too_large`]), or this life of the object is over
    /// ([`Error::is_closed`]).
    pub fn broadcast(&self, message: impl Into<Message>, to: To) -> Result<(), Error> {
        self.port.broadcast(&message.into(), self.except(to))
    }

    /// The same, and says how many sockets took it and which Replicas did not answer by the deadline.
    ///
    /// # Errors
    /// When the message is too large for the host ([`Error::is_too_large`]), or this life of the object is over
    /// ([`Error::is_closed`]).
    pub async fn broadcast_confirmed(&self, message: impl Into<Message>, to: To) -> Result<BroadcastReport, Error> {
        self.port.broadcast_confirmed(message.into(), self.except(to).cloned()).await
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

    /// What was attached to this socket; it outlives the Replica's rest.
    ///
    /// # Errors
    /// When the socket has closed, except in its own last handler, or this life of the object is over
    /// ([`Error::is_closed`]), or what is attached is no `T` ([`Error::is_encoding`]).
    pub fn attachment<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.port.attachment(self.id)?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// Attaches `value` to this socket, in place of what was there.
    ///
    /// # Errors
    /// When it is over 16 KiB as serialised ([`Error::is_too_large`]), cannot be serialised ([`Error::is_encoding`]),
    /// or the socket has closed or this life of the object is over ([`Error::is_closed`]).
    pub fn set_attachment<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        self.port.set_attachment(self.id, encode_attachment(value)?)
    }

    fn except(&self, to: To) -> Option<&ClientId> {
        match to {
            To::Others => Some(&self.client),
            To::Everyone => None,
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Socket({:?}, {:?})", self.id, self.client)
    }
}

/// The bytes of an attachment, if they are not too many.
pub(crate) fn encode_attachment<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let bytes = codec::encode(value)?;
    if bytes.len() > MAX_ATTACHMENT {
        let length = bytes.len();
        let message = format!("the attachment is {length} bytes serialised, {MAX_ATTACHMENT} at most");
        return Err(Error::new(Kind::ValueTooLarge, message));
    }
    Ok(bytes)
}
