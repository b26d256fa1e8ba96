//! Sockets whose token ends, without a task that keeps their Replica in memory: [`EXPIRY_ALARM`].

use dog::{Context, Error, Replica, Socket, Timestamp};

use crate::expiry::{Expiry, Renewable};

/// The name of the alarm that [`Expiry::watch_by_alarm`] sets. When it rings, call [`Expiry::ring`].
pub const EXPIRY_ALARM: &str = "dog-door/expiry";

impl<A: Renewable> Expiry<A> {
    /// Watches a socket, with the alarm [`EXPIRY_ALARM`]. Call it in [`on_open`](Replica::on_open). A socket without a token is not
    /// watched. In each life of a Replica, the first call looks at all of its sockets and sets the alarm; a later one sets it only
    /// if this socket closes before all others. A socket of which this node [knows](Self::revocations) that it is revoked is closed.
    ///
    /// ```
    /// # use dog::{Alarm, Context, Replica, Result, Socket};
    /// # use dog_door::{EXPIRY_ALARM, Expiry};
    /// // In `Replica::on_open`:
    /// async fn opened<R: Replica>(expiry: &Expiry, cx: &Context<R>, socket: &Socket) -> Result {
    ///     Ok(expiry.watch_by_alarm(cx, socket).await?)
    /// }
    ///
    /// // In `Replica::on_alarm`:
    /// async fn rings<R: Replica>(expiry: &Expiry, cx: &Context<R>, alarm: &Alarm) -> Result {
    ///     if alarm.name() == EXPIRY_ALARM {
    ///         expiry.ring(cx).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Not cancel safe: if the future is dropped, the alarm may be set or not.
    ///
    /// # Errors
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    /// - [`Error::is_encoding`]: an identity is no [`Admitted`](crate::Admitted), or an attachment is no `A`.
    /// - [`Error::is_storage`]: the alarm is not stored.
    pub async fn watch_by_alarm<R: Replica>(&self, cx: &Context<R>, socket: &Socket) -> Result<(), Error> {
        if self.close_if_known(socket)? {
            return Ok(());
        }
        let Some(closes) = self.closes(socket)? else { return Ok(()) };
        match self.alarm().get() {
            Some(set) if set <= closes => Ok(()),
            Some(_) => self.set_alarm(cx, closes).await,
            // What the life before has set may be earlier or later.
            None => self.ring(cx).await,
        }
    }

    /// Closes the sockets whose time is over, as [`sweep`](Self::sweep), and sets the alarm for the next one. Call it in
    /// [`on_alarm`](Replica::on_alarm).
    ///
    /// Not cancel safe: if the future is dropped, the alarm may be set or not.
    ///
    /// # Errors
    /// As [`watch_by_alarm`](Self::watch_by_alarm).
    pub async fn ring<R: Replica>(&self, cx: &Context<R>) -> Result<(), Error> {
        self.alarm().set(None);
        match self.sweep(cx)? {
            Some(next) => self.set_alarm(cx, next).await,
            None => Ok(()),
        }
    }

    /// Nothing waits between the look at the sockets and the order to set the alarm, so the last order knows of all sockets.
    async fn set_alarm<R: Replica>(&self, cx: &Context<R>, at: Timestamp) -> Result<(), Error> {
        self.alarm().set(Some(at));
        let stored = cx.set_alarm(EXPIRY_ALARM, at, &()).await;
        if stored.is_err() {
            self.alarm().set(None);
        }
        stored
    }
}
