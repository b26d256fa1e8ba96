//! Confirmed publications: the Replicas are called instead of told, and say how many sockets took it.

use std::rc::Rc;

use dog::internal::{Kind, LocalFuture, LogVerbAnswer, Position};
use dog::{Error, ReplicaId};

use super::verbs::{ANSWERED_WITHIN, Speaks, reached};
use crate::address::Targets;
use crate::driver::calls::answers_within;
use crate::driver::object::start;
use crate::driver::quota::{InProgress, Quota};
use crate::fault_injection::{Fault, is_planted};
use crate::host::Transport;
use crate::message::{GroupAnswer, PublicationDelivery, ReplicaAnswer, ReplicaCall};
use crate::reply::Reply;

/// How many confirmed publications of a Group may be awaited, and how many answers to them.
const MOST: usize = 1000;
const MOST_ANSWERS: usize = 100_000;

/// The confirmed publications of a Group that are awaited.
pub(super) struct Confirmations(Rc<Quota>);

/// A confirmed publication, and the calls to the Replicas.
#[derive(Default)]
pub(super) struct Confirming {
    calls: Vec<(ReplicaId, LocalFuture<Result<ReplicaAnswer, Error>>)>,
    admission: Option<InProgress>,
}

impl Default for Confirmations {
    fn default() -> Self {
        Self(Quota::new(MOST, MOST_ANSWERS))
    }
}

impl Confirmations {
    /// Admits one more that this many Replicas have to answer. It counts for no more than there may be, so that a larger Group can
    /// confirm one publication.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn begin(&self, replicas: usize) -> Result<Confirming, Error> {
        let text = "too many confirmed publications of the Group are awaited: await some of them first";
        let admission = self.0.admit(replicas.min(MOST_ANSWERS)).ok_or_else(|| Error::new(Kind::TooMany, text))?;
        Ok(Confirming { calls: Vec::new(), admission: Some(admission) })
    }
}

impl Confirming {
    /// Sends the publication to these Replicas, at once: after what was sent to them before.
    pub(super) fn call(&mut self, host: &impl Transport, to: &Targets, delivery: PublicationDelivery) {
        let call = ReplicaCall::Publication(delivery);
        self.calls.extend(to.iter().zip(host.call_replicas(to, &call)));
    }
}

/// Answers when all Replicas have answered, with the names of those that have not done so in time.
pub(super) fn confirm<G: Speaks>(group: &Rc<G>, position: Position, confirming: Confirming, reply: Reply<GroupAnswer>) {
    let host = Rc::clone(group.core().host());
    start(group, async move {
        let Confirming { calls, admission } = confirming;
        let (sockets, missing) = reached(answers_within(&host, calls, ANSWERED_WITHIN, None).await);
        let sockets = if is_planted(Fault::ConfirmationMissesOne) { sockets.saturating_sub(1) } else { sockets };
        drop(admission);
        reply.send(Ok(GroupAnswer::Log(LogVerbAnswer::Confirmed { position, sockets, missing })));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_confirmed_publications_that_are_awaited_are_bounded_by_number_and_by_answers() {
        let confirmations = Confirmations::default();
        let mut all: Vec<Confirming> = (0..MOST).map(|_| confirmations.begin(100).unwrap()).collect();
        assert!(confirmations.begin(0).err().unwrap().is_too_many());
        all.pop();
        assert!(confirmations.begin(101).err().unwrap().is_too_many());
        assert!(confirmations.begin(100).is_ok());
        all.clear();
        let large = confirmations.begin(MOST_ANSWERS + 1).unwrap();
        assert!(confirmations.begin(1).err().unwrap().is_too_many());
        drop(large);
        assert!(confirmations.begin(1).is_ok());
    }
}
