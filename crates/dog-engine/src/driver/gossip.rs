//! What a Replica asks its siblings, and who of them is not asked.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use dog::internal::GossipAnswers;
use dog::{Error, Replica, ReplicaId};

use super::calls::{ANSWER_DEADLINE, ask_in_turn, by_deadline, unexpected};
use super::replica::ReplicaDriver;
use crate::address::ViewVersion;
use crate::host::Host;
use crate::message::{GroupAnswer, GroupCall, ReplicaAnswer, ReplicaCall};

/// The parked siblings, as the Group has said for a view. They are not part of the view: what every member is told at every
/// change must not grow with all that there ever were. Whenever one is parked or used again the view changes, so that they
/// are asked for once a view.
#[derive(Debug, Default)]
pub(super) struct Parked(RefCell<Option<(ViewVersion, Arc<[ReplicaId]>)>>);

impl Parked {
    fn of(&self, view: ViewVersion) -> Option<Arc<[ReplicaId]>> {
        let known = self.0.borrow();
        known.as_ref().filter(|(version, _)| *version == view).map(|(_, parked)| Arc::clone(parked))
    }
}

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    /// Asks all siblings, and meanwhile the Group who of them is left out.
    pub(super) async fn ask_siblings(&self, gossip: Bytes) -> GossipAnswers {
        let siblings = self.siblings();
        let call = ReplicaCall::Gossip(gossip);
        let asked = ask_in_turn(&self.host, &siblings, &call);
        let (answers, parked) = futures_util::future::join(asked, self.parked_siblings()).await;
        let bytes = |answer| match answer {
            ReplicaAnswer::Gossip(bytes) => Ok(bytes),
            _ => Err(unexpected()),
        };
        // One that was asked after all has answered for itself.
        let left_out = |replica: &ReplicaId| *replica != self.address.replica && !siblings.replicas.contains(replica);
        let parked = parked.map(|parked| parked.iter().copied().filter(left_out).collect());
        let answers = answers.into_iter().map(|(replica, answer)| (replica, answer.and_then(bytes))).collect();
        GossipAnswers { answers, parked }
    }

    async fn parked_siblings(&self) -> Result<Arc<[ReplicaId]>, Error> {
        let view = self.view.borrow().version;
        if let Some(parked) = self.parked.of(view) {
            return Ok(parked);
        }
        let answer = self.host.call_group(self.address.group, GroupCall::Parked);
        let GroupAnswer::Parked(parked) = by_deadline(&self.host, ANSWER_DEADLINE, answer).await? else {
            return Err(unexpected());
        };
        self.parked.0.replace(Some((view, Arc::clone(&parked))));
        Ok(parked)
    }
}
