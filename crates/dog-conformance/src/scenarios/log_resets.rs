//! Promises 17 and 18: when a log has another epoch, and when not.

use std::collections::BTreeSet;

use dog::{Position, ROOM};

use super::group_verbs::{BOTH, perform};
use super::log::{DURABLE, publish};
use super::restarts::kill_the_group;
use super::scenario::{Scenario, scenario};
use crate::app::protocol::LOGGED;
use crate::check::{Outcome, ensure, same};
use crate::client::Ending;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("log_that_is_reset_is_told_to_its_subscribers", &[17, 18], |stage| resets(stage, "single")),
        scenario("log_that_is_durable_and_reset_is_told_to_its_subscribers", &[17, 18], |stage| resets(stage, DURABLE)),
        scenario("log_that_is_durable_and_empty_is_the_same_after_its_group", &[17, 18], empty)
            .needing(&[Capability::GroupRestart]),
    ]
}

/// The log begins again with an epoch that it never had, and those who have followed it are told: by default their sockets close.
async fn resets(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.spread(class, "resets");
    let mut epochs = BTreeSet::new();
    for by in BOTH {
        let mut clients = group.join_each(["a", "b", "c"]).await?;
        let before = clients[0].published(publish(ROOM, "1", Some("k"))).await?.remove(0);
        for client in &mut clients {
            same(client.hear().await?, "1", "what is heard before")?;
        }
        let start: Position = perform(&group, by, "reset&topic=").await?.parse()?;
        same((before.offset(), start.offset()), (1, 0), "the offsets before and after")?;
        for client in &mut clients {
            same(client.ended().await?, Ending { code: 1013, reason: "epoch_unknown".into() }, "how a socket ends")?;
        }
        let [mut d, mut e] = group.join_each(["d", "e"]).await?;
        same(d.history(ROOM, None, (false, 9)).await?, (start.clone(), vec![], false), "the history of the new log")?;
        let after = d.published(publish(ROOM, "2", Some("k"))).await?.remove(0);
        same(&after, &Position::new(start.epoch().clone(), 1), "the first, whose key is new")?;
        for client in [&mut d, &mut e] {
            same(client.hear().await?, "2", "what is heard after")?;
        }
        ensure(epochs.insert(before.epoch().to_string()), "an epoch comes twice")?;
        epochs.insert(start.epoch().to_string());
        perform(&group, by, "reset&topic=").await?;
        for client in [&mut d, &mut e] {
            same(client.ended().await?.code, 1013, "how a socket ends")?;
        }
    }
    Ok(())
}

/// Who was told where a log without publications ends can go on from there, whatever becomes of the Group.
async fn empty(stage: Stage) -> Outcome {
    let group = stage.spread(DURABLE, "empty");
    let [mut near, mut far] = group.join_each(["near", "far"]).await?;
    for topic in [ROOM, &format!("{LOGGED}t")] {
        let (head, none, _) = near.history(topic, None, (false, 9)).await?;
        same((head.offset(), none), (0, vec![]), "the history before the first")?;
        kill_the_group(&group).await?;
        same(far.history(topic, None, (false, 9)).await?, (head.clone(), vec![], false), "the history afterwards")?;
        kill_the_group(&group).await?;
        same(far.resume(topic, &head).await?, Ok(0), "what a client has missed")?;
        same(near.publish(topic, "1").await?, Position::new(head.epoch().clone(), 1), "the first position")?;
        same(far.hear().await?, "1", "what a subscriber hears")?;
    }
    same(near.hear().await?, "1", "what the room hears")
}
