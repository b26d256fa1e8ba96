//! How a Group of the test App answers a call.

use std::future::pending;

use dog::{Failure, Group, GroupContext, Result};

use super::gate::Gates;
use super::protocol::{GroupAsk, GroupReply, waiting};

/// Under which key [`GroupAsk::Keep`] keeps its texts.
const KEPT: &str = "kept by calls";

/// Answers `ask` as a Group of the class `G` whose gates these are.
pub(super) async fn answer<G>(gates: &Gates, cx: &GroupContext, ask: GroupAsk) -> Result<GroupReply>
where
    G: Group<Call = GroupAsk, Reply = GroupReply>,
{
    match ask {
        GroupAsk::Echo(value) => Ok(GroupReply::Echo(value)),
        GroupAsk::Keep(text) => {
            let storage = cx.storage();
            let kept = storage.transaction(async |entries| {
                let mut kept: Vec<String> = entries.get(KEPT).await?.unwrap_or_default();
                kept.push(text.clone());
                entries.put(KEPT, &kept)?;
                Ok(kept)
            });
            Ok(GroupReply::Kept(kept.await?))
        }
        GroupAsk::Long(length) => Ok(GroupReply::Long("x".repeat(length))),
        GroupAsk::Wait(gate) => {
            cx.broadcast(waiting(&gate))?;
            gates.pass(&gate).await;
            Ok(GroupReply::Done)
        }
        GroupAsk::Open(gate) => {
            gates.open(&gate);
            Ok(GroupReply::Done)
        }
        GroupAsk::Fail => Err(Failure::new("the secret of on_call")),
        GroupAsk::Panic => panic!("the secret of on_call"),
        GroupAsk::Hang => pending().await,
        GroupAsk::Pass { group, ask } => Ok(GroupReply::passed(cx.dog().group::<G>(&group).call(&ask).await)),
        GroupAsk::Cycle { next, this } => {
            let again = GroupAsk::Cycle { next: this, this: next.clone() };
            Ok(cx.dog().group::<G>(&next).call(&again).await?)
        }
    }
}
