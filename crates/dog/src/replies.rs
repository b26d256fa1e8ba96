//! The outcomes of verbs that have an answer: [`BroadcastReport`], [`GossipReplies`].

use crate::error::{Error, Kind};
use crate::id::ReplicaId;

/// The outcome of [`Context::broadcast_confirmed`](crate::Context::broadcast_confirmed).
#[derive(Debug, Default)]
pub struct BroadcastReport {
    /// Number of sockets that the message was sent to.
    pub sockets: usize,
    /// Replicas that did not answer within 3 s, with the reason. Their sockets may have the message or not.
    pub missing: Vec<(ReplicaId, Error)>,
}

/// The outcome of [`Context::gossip`](crate::Context::gossip).
#[derive(Debug)]
pub struct GossipReplies<A> {
    /// Siblings that answered, with their answers.
    pub answers: Vec<(ReplicaId, A)>,
    /// Siblings that were asked and did not answer, with the reason.
    pub missing: Vec<(ReplicaId, Error)>,
    /// Siblings that were not asked because they are parked: they have had no sockets for
    /// [`Policy::park_after`](crate::Policy::park_after). An error if the Group did not name them within 3 s
    /// ([`Error::is_deadline`], [`Error::is_unreachable`]).
    pub parked: Result<Vec<ReplicaId>, Error>,
}

impl<A> GossipReplies<A> {
    /// The answers alone.
    pub fn into_answers(self) -> impl Iterator<Item = A> {
        self.answers.into_iter().map(|(_, answer)| answer)
    }

    /// The answers, if every sibling that was asked has answered.
    ///
    /// Parked siblings have no sockets and are not asked. So an answer about sockets is complete without them. If the
    /// storage of parked siblings matters too, check [`parked`](Self::parked) first.
    ///
    /// # Errors
    /// [`Error::is_unreachable`] if a sibling did not answer. The source of the error is the reason of the first one.
    pub fn complete(self) -> Result<Vec<(ReplicaId, A)>, Error> {
        match self.missing.into_iter().next() {
            None => Ok(self.answers),
            Some((replica, error)) => {
                Err(Error::caused(Kind::Unreachable, format!("Replica {replica} did not answer"), error))
            }
        }
    }
}
