//! What a Group is asked that keeps its revocations itself: [`RevokeIn`].

use dog::{ClientId, Error, Failure, Group, GroupHandle, Replica, Result, Timestamp};

use super::protocol::{Call, ListCall, ListReply, Reply};
use super::{Revocation, Subject};
use crate::denied::Denied;
use crate::gate::Admitted;

/// `group.revoke(…)`: for Groups that [keep their revocations](super::RevocationStore) themselves, above all on Workers.
pub trait RevokeIn<G: Group> {
    /// Stores a revocation. When this returns, it is durable, and [`check_revoked`](Self::check_revoked) refuses. Open sockets stay:
    /// close them with [`disconnect`](GroupHandle::disconnect), or use [`revoke`](Self::revoke).
    ///
    /// Not cancel safe: if the future is dropped after its first poll, it may be stored or not.
    ///
    /// # Errors
    /// - The list is full. As a failure that is not handled, it answers 503.
    /// - The Group cannot be reached, or cannot write. Repeat it: revoking twice is revoking once.
    fn store_revocation(&self, revocation: &Revocation) -> impl Future<Output = Result<()>>;

    /// Asks the Group about a token, at each handshake: it is one call. Ask it after the [gate](crate::Gate), so that only who has a
    /// valid token reaches the Group.
    ///
    /// # Errors
    /// The refusal: with status 403 if the token or its client was revoked, 503 if the Group cannot be reached.
    fn check_revoked<C>(&self, admitted: &Admitted<C>) -> impl Future<Output = std::result::Result<(), Denied>>;

    /// Stores a revocation and tells it to every Replica of this Group that has sockets, by gossip. Let
    /// [`on_gossip`](Replica::on_gossip) give it to [`Expiry::close_revoked`](crate::Expiry::close_revoked): that closes the sockets,
    /// also those of a Replica that hibernates. A client that was let in just before has no socket yet:
    /// [`Expiry::close_if_revoked`](crate::Expiry::close_if_revoked) closes it when it opens.
    ///
    /// Returns how many Replicas have not answered within 3 s. Repeat it then.
    ///
    /// # Errors
    /// As [`store_revocation`](Self::store_revocation), and those of [`GroupHandle::gossip`].
    fn revoke(&self, revocation: &Revocation) -> impl Future<Output = Result<usize>>
    where
        <G::Replica as Replica>::Gossip: From<Revocation>;
}

impl<G: Group> RevokeIn<G> for GroupHandle<G>
where
    G::Call: From<ListCall>,
    G::Reply: TryInto<ListReply>,
{
    async fn store_revocation(&self, revocation: &Revocation) -> Result<()> {
        let reply = self.call(&revocation.call().into()).await?;
        reply.try_into().map_err(|_| Failure::new("the Group gave another answer"))?.revoked()
    }

    async fn check_revoked<C>(&self, admitted: &Admitted<C>) -> std::result::Result<(), Denied> {
        let token = admitted.token();
        ask(self, admitted.client(), [token.id().map(str::to_owned), None], token.issued()).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<usize>
    where
        <G::Replica as Replica>::Gossip: From<Revocation>,
    {
        self.store_revocation(revocation).await?;
        let replies = self.gossip(&revocation.clone().into()).await.map_err(|error: Error| Failure::from(error))?;
        Ok(replies.missing.len())
    }
}

/// Asks a Group about a client and its tokens. Both who ask share its code: a Worker has to be small.
pub(crate) async fn ask<G: Group>(
    group: &GroupHandle<G>,
    client: &ClientId,
    ids: [Option<String>; 2],
    issued: Option<Timestamp>,
) -> std::result::Result<(), Denied>
where
    G::Call: From<ListCall>,
    G::Reply: TryInto<ListReply>,
{
    let client = Subject::Client(client.clone());
    let subjects = std::iter::once(client).chain(ids.into_iter().flatten().map(Subject::Token)).collect();
    let call = ListCall(Call::Check { subjects, issued });
    match group.call(&call.into()).await.map(TryInto::try_into) {
        Ok(Ok(ListReply(Reply::Checked { is_revoked: false }))) => Ok(()),
        Ok(Ok(ListReply(Reply::Checked { is_revoked: true }))) => Err(Denied::revoked()),
        Ok(_) => Err(Denied::later("the list of revocations is one of another release")),
        Err(error) => Err(Denied::later(format!("the list of revocations does not answer: {error}"))),
    }
}
