//! Promise 19 in topics: who is subscribed is present, in the same way as in the room.

use dog::MAX_PRESENCE_TOPICS_OF_SOCKET;

use super::group_verbs::{BOTH, perform};
use super::hibernation::forgets;
use super::presence::{Watcher, disconnect};
use super::restarts::kill_the_group;
use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, PRESENT, PRESENT_TOO, PresenceAct, TopicAct, Why, arrived_in, left_in};
use crate::check::{Outcome, ensure, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("presence_of_topics_says_who_subscribes_and_unsubscribes_on_every_replica", &[19, 20], comes_and_goes),
        scenario("presence_of_topics_is_read_in_replicas_the_group_and_the_app", &[19], reading),
        scenario("presence_of_topics_over_their_bound_is_refused", &[12, 19], bounds),
        scenario("presence_of_topics_outlives_the_group", &[9, 19], restarts).needing(&[Capability::GroupRestart]),
        scenario("presence_of_topics_is_kept_in_hibernation", &[13, 19], hibernation)
            .needing(&[Capability::Hibernation]),
    ]
}

/// Clients on all nodes subscribe, unsubscribe, come back within the grace time, and are disconnected.
async fn comes_and_goes(stage: Stage) -> Outcome {
    let group = stage.spread("named", "topics-come");
    let mut watchers = Watcher::join_five(&group).await?;
    let mut hears = group.join("hears").await?;
    let [mut ann, mut bob] = group.join_each(["ann", "bob"]).await?;
    ann.subscribe(PRESENT).await?;
    bob.subscribe(PRESENT_TOO).await?;
    bob.subscribe("without").await?;
    hears.hear_until(&arrived_in(PRESENT, &"ann")).await?;
    for watcher in &mut watchers {
        watcher.sees_in(PRESENT, "ann", true).await?;
        watcher.sees_in(PRESENT_TOO, "bob", true).await?;
        ensure(!watcher.has_in(PRESENT, "bob") && !watcher.has_in(PRESENT_TOO, "ann"), "each is in one topic")?;
        ensure(!watcher.has_in("without", "bob"), "nothing is told of a topic without a presence")?;
        watcher.forget_lines();
    }
    ann.unsubscribe(PRESENT).await?;
    ann.subscribe(PRESENT).await?;
    bob.unsubscribe(PRESENT_TOO).await?;
    bob.subscribe(PRESENT).await?;
    disconnect(&group, "bob").await?;
    hears.hear_until(&left_in(PRESENT_TOO, &"bob")).await?;
    for watcher in &mut watchers {
        watcher.sees_in(PRESENT_TOO, "bob", false).await?;
        watcher.sees_in(PRESENT, "bob", false).await?;
        same(watcher.moves_in(PRESENT, "ann"), 0, "arrivals and departures of one who subscribes again")?;
    }
    ann.unsubscribe(PRESENT).await?;
    // After the grace time.
    hears.hear_until(&left_in(PRESENT, &"ann")).await?;
    for watcher in &mut watchers {
        watcher.sees_in(PRESENT, "ann", false).await?;
        watcher.sees("ann", true).await?;
    }
    Ok(())
}

/// What one reads of a topic: its clients, with the values of their connections.
async fn there(reader: &mut Client, topic: &str) -> Outcome<Vec<(String, Vec<Option<String>>)>> {
    let told = reader.presence_of(Some(topic), 2).await?;
    same(told.counted, told.clients.len(), "the clients that are counted")?;
    Ok(told.clients)
}

async fn reading(stage: Stage) -> Outcome {
    let group = stage.spread("named", "topics-read");
    let [mut ann, mut bob, mut cid] = group.join_each(["ann", "bob", "cid"]).await?;
    let mut second = group.join("ann").await?;
    ann.set_presence("typing").await?;
    for client in [&mut ann, &mut bob, &mut second] {
        client.subscribe(PRESENT).await?;
    }
    cid.subscribe(PRESENT_TOO).await?;
    for reader in [&mut ann, &mut cid] {
        eventually("both are there", async || {
            let mut there = there(reader, PRESENT).await?;
            there.iter_mut().for_each(|(_, values)| values.sort_unstable());
            let typing = vec![None, Some("typing".to_owned())];
            Ok(there == [("ann".to_owned(), typing), ("bob".to_owned(), vec![None])])
        })
        .await?;
    }
    for by in BOTH {
        let read = async |topic: &str| perform(&group, by, &format!("presence&topic={topic}")).await;
        same(read(PRESENT).await?, "ann:2 bob:1, 2:3", "who is in the topic")?;
        eventually("cid is there", async || Ok(read(PRESENT_TOO).await? == "cid:1, 1:1")).await?;
        same(read("present/nobody").await?, ", 0:0", "who is in a topic of nobody")?;
        let refused = async |topic: &str| perform(&group, by, &format!("presence_refused&topic={topic}")).await;
        same(refused("without").await?, "NoPresence", "a topic without a presence")?;
        same(refused("").await?, "InvalidTopic", "what is no topic")?;
    }
    let read = |topic: &str| Act::Presence(PresenceAct::Read { topic: Some(topic.to_owned()), limit: 1 });
    same(ann.refused(read("without")).await?, Why::NoPresence, "a topic without a presence")?;
    let mut other = stage.pinned("hall", "without").join("other").await?;
    other.subscribe(PRESENT).await?;
    same(other.refused(read(PRESENT)).await?, Why::NoPresence, "a topic of a Group without a presence")
}

/// A socket may be present in 32 topics. One more changes nothing, and topics without a presence do not count.
async fn bounds(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "topics-bound");
    let mut client = group.join("client").await?;
    let topic = |number: usize| format!("{PRESENT}/{number}");
    for number in 0..MAX_PRESENCE_TOPICS_OF_SOCKET {
        client.subscribe(&topic(number)).await?;
    }
    let more = Act::Topic(TopicAct::Subscribe { topic: PRESENT_TOO.into() });
    same(client.refused(more).await?, Why::TooMany, "a topic too many")?;
    client.subscribe(&topic(7)).await?;
    client.subscribe("without").await?;
    same(client.topics().await?.len(), MAX_PRESENCE_TOPICS_OF_SOCKET + 1, "the topics of the socket")?;
    client.unsubscribe(&topic(7)).await?;
    client.subscribe(PRESENT_TOO).await?;
    eventually("the client is there", async || Ok(there(&mut client, PRESENT_TOO).await?.len() == 1)).await
}

/// The next life of the Group goes on with each topic.
async fn restarts(stage: Stage) -> Outcome {
    let group = stage.spread("named", "topics-restart");
    let mut watchers = Watcher::join_five(&group).await?;
    let mut ann = group.join("ann").await?;
    ann.subscribe(PRESENT).await?;
    for watcher in &mut watchers {
        watcher.sees_in(PRESENT, "ann", true).await?;
        watcher.forget_lines();
    }
    for round in 0..3 {
        kill_the_group(&group).await?;
        let name = format!("round{round}");
        let mut newcomer = group.join(&name).await?;
        newcomer.subscribe(PRESENT).await?;
        for watcher in &mut watchers {
            watcher.sees_in(PRESENT, &name, true).await?;
        }
        disconnect(&group, &name).await?;
        for watcher in &mut watchers {
            watcher.sees_in(PRESENT, &name, false).await?;
            ensure(watcher.has_in(PRESENT, "ann"), "ann is still there")?;
        }
    }
    for watcher in &watchers {
        same(watcher.moves_in(PRESENT, "ann"), 0, "arrivals and departures of one who stayed")?;
    }
    Ok(())
}

async fn hibernation(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "topics-hibernate");
    let mut ann = group.join("ann").await?;
    ann.set_presence("typing").await?;
    ann.subscribe(PRESENT).await?;
    forgets(&mut ann).await?;
    let mut bob = group.join("bob").await?;
    bob.subscribe(PRESENT).await?;
    eventually("both are there", async || {
        let expected = [("ann".to_owned(), vec![Some("typing".to_owned())]), ("bob".to_owned(), vec![None])];
        Ok(there(&mut bob, PRESENT).await? == expected)
    })
    .await
}
