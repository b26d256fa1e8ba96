//! The outcomes of verbs that have an answer: [`BroadcastReport`], [`GossipReplies`].

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{Error, Kind};
use crate::id::ReplicaId;

/// The outcome of a verb that reaches sockets on several Replicas:
/// [`Context::broadcast_confirmed`](crate::Context::broadcast_confirmed), and the verbs of a Group.
#[derive(Debug, Default)]
pub struct BroadcastReport {
    /// Number of sockets that the message was sent to, or that were closed.
    pub sockets: usize,
    /// Replicas that did not answer within 3 s, with the reason. Their sockets may have been reached or not.
    pub missing: Vec<(ReplicaId, Error)>,
}

/// The outcome of a gossip as the engine hands it over, before it is decoded.
#[derive(Debug)]
pub struct GossipAnswers {
    /// Every sibling that was asked, with the bytes of its answer or the reason why there is none.
    pub answers: Vec<(ReplicaId, Result<Bytes, Error>)>,
    /// The siblings that were not asked because they are parked, or the reason why they are not known.
    pub parked: Result<Vec<ReplicaId>, Error>,
}

/// The outcome of [`Context::gossip`](crate::Context::gossip).
#[derive(Debug)]
pub struct GossipReplies<A> {
    /// Siblings that answered, with their answers.
    pub answers: Vec<(ReplicaId, A)>,
    /// Siblings that were asked and did not answer, with the reason.
    pub missing: Vec<(ReplicaId, Error)>,
    /// Siblings that were not asked because they are parked, so that their storage is not in the answers:
    /// [`coverage`](Self::coverage) says whether there are any. They have had no sockets for
    /// [`Policy::park_after`](crate::Policy::park_after). An error if the Group did not name them within 3 s
    /// ([`Error::is_deadline`], [`Error::is_unreachable`]).
    pub parked: Result<Vec<ReplicaId>, Error>,
}

/// How much of its Group a gossip has reached. See [`GossipReplies::coverage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// Every sibling has answered.
    Everyone,
    /// Every sibling in use has answered. Others are parked and were not asked, or the Group did not say in time whether there
    /// are any. They have no sockets, but what they store is not in the answers.
    WithoutParked,
    /// A sibling that was asked has not answered.
    Partial,
}

impl<A: DeserializeOwned> GossipReplies<A> {
    pub(crate) fn decode(GossipAnswers { answers, parked }: GossipAnswers) -> Self {
        let mut heard = Self { answers: Vec::with_capacity(answers.len()), missing: Vec::new(), parked };
        for (replica, answer) in answers {
            match answer.and_then(|bytes| codec::decode(&bytes)) {
                Ok(answer) => heard.answers.push((replica, answer)),
                Err(error) => heard.missing.push((replica, error)),
            }
        }
        heard
    }
}

impl<A> GossipReplies<A> {
    /// How much of the Group has answered.
    ///
    /// ```
    /// # use dog::{Context, Coverage, Replica, Result};
    /// # async fn history<R: Replica<Gossip = (), Answer = Vec<String>>>(cx: &Context<R>) -> Result<(Vec<String>, bool)> {
    /// let replies = cx.gossip(&()).await?;
    /// let is_whole = match replies.coverage() {
    ///     Coverage::Everyone => true,
    ///     Coverage::WithoutParked | Coverage::Partial => false, // `parked` and `missing` name them
    /// };
    /// Ok((replies.into_answers().flatten().collect(), is_whole))
    /// # }
    /// ```
    pub fn coverage(&self) -> Coverage {
        match &self.parked {
            _ if !self.missing.is_empty() => Coverage::Partial,
            Ok(parked) if parked.is_empty() => Coverage::Everyone,
            Ok(_) | Err(_) => Coverage::WithoutParked,
        }
    }

    /// The answers alone.
    pub fn into_answers(self) -> impl Iterator<Item = A> {
        self.answers.into_iter().map(|(_, answer)| answer)
    }

    /// The answers, if every sibling that was asked has answered.
    ///
    /// Parked siblings have no sockets and are not asked. So an answer about sockets is complete without them. If the
    /// storage of parked siblings matters too, check [`coverage`](Self::coverage) first.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parked_siblings_are_never_left_out_silently() {
        let replica = ReplicaId::from_name("room", "a");
        let error = || Error::new(Kind::Deadline, "no answer");
        let replies = |missing, parked| GossipReplies::<()> { answers: vec![(replica, ())], missing, parked };
        assert_eq!(replies(vec![], Ok(vec![])).coverage(), Coverage::Everyone);
        assert_eq!(replies(vec![], Ok(vec![replica])).coverage(), Coverage::WithoutParked);
        assert_eq!(replies(vec![], Err(error())).coverage(), Coverage::WithoutParked);
        assert_eq!(replies(vec![(replica, error())], Ok(vec![replica])).coverage(), Coverage::Partial);
    }
}
