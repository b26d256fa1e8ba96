//! Promises 17 and 18: when a log has another epoch, and when not; and what a purge leaves.

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
        scenario("log_purge_deletes_what_was_published_and_tells_the_subscribers", &[17, 18], |stage| {
            purges(stage, "single")
        }),
        scenario("log_purge_of_a_durable_log_deletes_it_and_tells_the_subscribers", &[17, 18], |stage| {
            purges(stage, DURABLE)
        }),
        scenario("log_purge_outlives_its_group", &[17, 18], purged_for_good).needing(&[Capability::GroupRestart]),
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

/// Nothing of the log is left for anybody, and the topic goes on as if it were new. What has no log cannot be purged.
async fn purges(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.spread(class, "purges");
    let other = format!("{LOGGED}other");
    let mut epochs = BTreeSet::new();
    for by in BOTH {
        let mut clients = group.join_each(["a", "b", "c"]).await?;
        let before = clients[0].published(publish(ROOM, "1", Some("k"))).await?.remove(0);
        for client in &mut clients {
            same(client.hear().await?, "1", "what is heard before")?;
        }
        let kept = clients[0].publish(&other, "kept").await?;
        same(perform(&group, by, "purge&topic=").await?, "purged", "a purge")?;
        for client in &mut clients {
            same(client.ended().await?, Ending { code: 1013, reason: "epoch_unknown".into() }, "how a socket ends")?;
        }
        let [mut d, mut e] = group.join_each(["d", "e"]).await?;
        same(d.resume(ROOM, &before).await?, Err("epoch_unknown".into()), "a position before the purge")?;
        let (head, none, _) = e.history(ROOM, None, (false, 9)).await?;
        same((head.offset(), none), (0, vec![]), "what is left")?;
        let after = d.published(publish(ROOM, "2", Some("k"))).await?.remove(0);
        same(after.offset(), 1, "the first, whose key is new")?;
        for client in [&mut d, &mut e] {
            same(client.hear().await?, "2", "what is heard after")?;
        }
        for epoch in [before.epoch(), after.epoch()] {
            ensure(epochs.insert(epoch.to_string()), "an epoch comes twice")?;
        }
        let (head, all, _) = d.history(&other, None, (false, 9)).await?;
        ensure(head == kept && all.last().is_some_and(|(_, text)| text == "kept"), "another log was purged")?;
        same(perform(&group, by, "purge&topic=").await?, "purged", "a second purge")?;
        for client in [&mut d, &mut e] {
            same(client.ended().await?.code, 1013, "how a socket ends")?;
        }
        for (topic, answer) in [(format!("{LOGGED}never"), "purged"), ("no%20log".into(), "NoLog")] {
            same(perform(&group, by, &format!("purge&topic={topic}")).await?, answer, &topic)?;
        }
    }
    Ok(())
}

/// What was purged does not come back with another life of the Group, and Replicas that have kept it give it to nobody.
async fn purged_for_good(stage: Stage) -> Outcome {
    let group = stage.spread(DURABLE, "purged");
    for by in BOTH {
        let mut stays = group.join("stays").await?;
        let before = stays.publish(ROOM, "1").await?;
        same(stays.hear().await?, "1", "what is heard before")?;
        same(perform(&group, by, "purge&topic=").await?, "purged", "a purge")?;
        kill_the_group(&group).await?;
        same(stays.ended().await?, Ending { code: 1013, reason: "epoch_unknown".into() }, "how a socket ends")?;
        let mut back = group.join("stays").await?;
        same(back.resume(ROOM, &before).await?, Err("epoch_unknown".into()), "a position before the purge")?;
        let (_, none, _) = back.history(ROOM, None, (false, 9)).await?;
        same(none, vec![], "what is left")?;
        same(back.publish(ROOM, "2").await?.offset(), 1, "the first position")?;
        same(back.hear().await?, "2", "what is heard after")?;
        same(perform(&group, by, "purge&topic=").await?, "purged", "the last purge")?;
        same(back.ended().await?.code, 1013, "how a socket ends")?;
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
