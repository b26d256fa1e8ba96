//! Topics: subsets of a Group's sockets (feature `topics`). Here are the methods of [`Socket`] that subscribe to them, and those
//! of [`Socket`] and [`Context`] that send to them.

use crate::context::Context;
use crate::error::Error;
use crate::except::Except;
use crate::message::IntoMessage;
use crate::replica::Replica;
use crate::socket::{Socket, To};
use crate::topic::{Topic, check_topic};

impl Socket {
    /// Subscribes this socket to a topic: a subset of the Group's sockets that [`broadcast_to`](Self::broadcast_to) and
    /// [`emit_to`](Self::emit_to) reach. A socket that is subscribed already stays so.
    ///
    /// When the future completes with `Ok`, the socket is subscribed on all Replicas: from then on it hears every message for
    /// the topic, whichever object sends it. The first subscriber of a topic on a Replica waits until the Group has
    /// acknowledged it, for 3 s at most; others do not wait. The subscription survives the hibernation of the Replica, and
    /// ends with the socket.
    ///
    /// Names have 1 to 256 bytes and no control characters. A socket may have 128 topics, with names of 8 KiB together; a
    /// Replica 10,000 different topics, a Group 100,000. Of topics that [have a presence](crate::Group::has_presence), a socket may
    /// have 32 and a Group 10,000. Over a limit nothing changes, and the socket stays open.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the socket is subscribed, and the Group learns of it
    /// a little later.
    ///
    /// ```
    /// # use dog::{Result, Socket, To};
    /// # async fn on_open(socket: &Socket) -> Result {
    /// socket.subscribe("scores/tennis").await?;
    /// socket.broadcast_to("scores/tennis", "15:0", To::Everyone)?;
    /// socket.unsubscribe("scores/tennis")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The socket is not subscribed in these cases:
    /// - [`Error::is_invalid_topic`]: the name breaks the rules above.
    /// - [`Error::is_too_many`]: the socket, the Replica or the Group would have too many topics.
    /// - [`Error::is_deadline`]: the Group did not answer within 3 s.
    /// - [`Error::is_unreachable`]: the Group cannot be reached.
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    pub async fn subscribe(&self, topic: &str) -> Result<(), Error> {
        self.port().subscribe(self.id(), Topic::new(topic)?).await
    }

    /// Ends the subscription of this socket to a topic, at once. Does nothing if there is none.
    ///
    /// # Errors
    /// - [`Error::is_invalid_topic`]: there can be no such topic. See [`Topic`].
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    pub fn unsubscribe(&self, topic: &str) -> Result<(), Error> {
        check_topic(topic)?;
        self.port().unsubscribe(self.id(), topic)
    }

    /// The topics that this socket is subscribed to, in the order of their names. Empty once it has closed.
    pub fn topics(&self) -> Vec<Topic> {
        self.port().topics(self.id())
    }

    /// Sends to the subscribers of a topic on this Replica, as [`Context::emit_to`](crate::Context::emit_to). `to` says
    /// whether this socket and the other sockets of its client are among the receivers: those that are subscribed.
    ///
    /// # Errors
    /// - [`Error::is_invalid_topic`]: there can be no such topic. See [`Topic`].
    /// - [`Error::is_closed`]: this activation of the Replica is over.
    pub fn emit_to(&self, topic: &str, message: impl IntoMessage, to: To) -> Result<(), Error> {
        check_topic(topic)?;
        self.port().emit_to(topic, &message.into(), self.except(to))
    }

    /// Sends to all subscribers of a topic, on every Replica, as [`Context::broadcast_to`](crate::Context::broadcast_to).
    /// `to` says whether this socket and the other sockets of its client are among the receivers: those that are subscribed.
    ///
    /// # Errors
    /// - [`Error::is_invalid_topic`]: there can be no such topic. See [`Topic`].
    /// - [`Error::is_closed`]: this activation of the Replica is over.
    pub fn broadcast_to(&self, topic: &str, message: impl IntoMessage, to: To) -> Result<(), Error> {
        self.port().broadcast_to(Topic::new(topic)?, &message.into(), self.except(to))
    }
}

impl<R: Replica> Context<R> {
    /// Sends to the sockets of this Replica that are [subscribed](Socket::subscribe) to a topic. The message is queued when the
    /// call returns. The cost grows with the number of subscribers, not with the number of sockets.
    ///
    /// ```
    /// # use dog::*;
    /// # fn example<R: Replica>(cx: &Context<R>) -> Result<(), Error> {
    /// // `on_open` has subscribed the sockets of this table's players: `socket.subscribe("players")`.
    /// cx.emit_to("players", "Place your bets")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_invalid_topic`]: there can be no such topic. See [`Topic`].
    /// - [`Error::is_closed`]: this activation of the Replica is over.
    pub fn emit_to(&self, topic: &str, message: impl IntoMessage) -> Result<(), Error> {
        check_topic(topic)?;
        self.port().emit_to(topic, &message.into(), Except::Nobody)
    }

    /// Sends to all sockets of the Group that are [subscribed](Socket::subscribe) to a topic, on every Replica. The message is
    /// on its way when the call returns. Each subscriber gets it at most once, in order with everything else that this
    /// Replica sends. It goes to every Replica that has sockets, and each looks for its own subscribers.
    ///
    /// ```
    /// # use dog::*;
    /// # fn example<R: Replica>(cx: &Context<R>) -> Result<(), Error> {
    /// cx.broadcast_to("scores/tennis", "15:0")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_invalid_topic`]: there can be no such topic. See [`Topic`].
    /// - [`Error::is_closed`]: this activation of the Replica is over.
    pub fn broadcast_to(&self, topic: &str, message: impl IntoMessage) -> Result<(), Error> {
        self.port().broadcast_to(Topic::new(topic)?, &message.into(), Except::Nobody)
    }
}
