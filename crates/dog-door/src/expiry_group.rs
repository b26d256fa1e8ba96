//! Sockets that are revoked while they open: [`Expiry::close_if_revoked`].

use dog::{Error, Group, GroupHandle, Socket};

use crate::expiry::{Expiry, Renewable, Tokens};
use crate::revocation::{ListCall, ListReply, ask};

impl<A: Renewable> Expiry<A> {
    /// Asks a Group that [keeps revocations](crate::RevocationStore) about the tokens of a socket. Closes the socket if one of them
    /// or its client is revoked, with [4403](crate::FORBIDDEN), and if the Group does not answer, with 1013: then the client comes
    /// back. Returns whether it has closed the socket. A socket without a token stays, and nothing is asked.
    ///
    /// Call it first in [`on_open`](dog::Replica::on_open). [`check_revoked`](crate::RevokeIn::check_revoked) keeps out who was revoked
    /// before the handshake. A client that is revoked while its socket opens is found here: from `on_open` on, a socket is in the
    /// Group's books. A caller stores the revocation first and closes sockets after that
    /// ([`revoke`](crate::RevokeIn::revoke), or [`store_revocation`](crate::RevokeIn::store_revocation) and
    /// [`disconnect`](GroupHandle::disconnect)). So it reaches the socket, or this call finds the revocation. With
    /// [`Accept::on_open_first`](dog::Accept) the client receives no message.
    ///
    /// It is one call for each socket. A program whose nodes [follow](crate::Revocations) a list does not need it.
    ///
    /// ```
    /// # use dog::{Context, Group, Replica, Result, Socket};
    /// # use dog_door::{Expiry, ListCall, ListReply};
    /// // In `Replica::on_open`:
    /// async fn opened<R: Replica>(expiry: &Expiry, cx: &Context<R>, socket: &Socket) -> Result
    /// where
    ///     R::Group: Group<Call = ListCall, Reply = ListReply>,
    /// {
    ///     let group = cx.dog().group_by_id::<R::Group>(cx.group());
    ///     if expiry.close_if_revoked(&group, socket).await? {
    ///         return Ok(());
    ///     }
    ///     Ok(expiry.watch_by_alarm(cx, socket).await?)
    /// }
    /// ```
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    /// - [`Error::is_encoding`]: the identity is no [`Admitted`](crate::Admitted), or the attachment is no `A`.
    pub async fn close_if_revoked<G: Group>(&self, group: &GroupHandle<G>, socket: &Socket) -> Result<bool, Error>
    where
        G::Call: From<ListCall>,
        G::Reply: TryInto<ListReply>,
    {
        let Some(Tokens { ids, issued }) = self.tokens(socket)? else { return Ok(false) };
        let asked = ask(group, socket.client(), ids, issued).await;
        if let Err(denied) = &asked {
            socket.close(denied.close_code(), denied.text());
        }
        Ok(asked.is_err())
    }
}
