//! Promises 17 and 18: publications come to every subscriber, once, in one order, and what cannot be given is said.

use std::collections::BTreeSet;

use dog::{MAX_METADATA, MAX_PUBLICATION, MAX_PUBLICATION_KEY, Position, ROOM};
use futures_util::future::try_join_all;

use super::group_verbs::{BOTH, perform};
use super::hibernation::forgets;
use super::restarts::kill_the_group;
use super::scenario::{Scenario, scenario};
use super::script::{Owner, get, put, text};
use crate::app::protocol::{Act, Found, LOGGED, LogAct, LogTold, SHORT, StorageStep, Told, Why};
use crate::check::{Outcome, ScenarioFailure, ensure, same};
use crate::client::{Client, Ending};
use crate::harness::Capability;
use crate::stage::Stage;

/// The class of the Groups whose logs are durable.
pub(super) const DURABLE: &str = "match";

pub(super) fn scenarios() -> Vec<Scenario> {
    let all = [
        scenario("log_takes_publications_from_every_place", &[17, 18], |stage| places(stage, "pair")),
        scenario("log_counts_the_sockets_that_take_a_publication", &[17, 18], |stage| confirmed(stage, "pair")),
        scenario("log_has_one_order_for_all_subscribers", &[17, 18], |stage| order(stage, "pair")),
        scenario("log_has_a_publication_with_a_key_once", &[18], |stage| keys(stage, "single")),
        scenario("log_refuses_what_is_over_a_bound", &[12, 18], |stage| bounds(stage, "pair")),
        scenario("log_says_which_page_it_cannot_give", &[18], |stage| pages(stage, "pair")),
        scenario("log_is_heard_from_the_subscription_on", &[17, 20], |stage| subscriptions(stage, "single")),
        scenario("log_that_is_durable_takes_publications_from_every_place", &[17, 18], |stage| places(stage, DURABLE)),
        scenario("log_that_is_durable_counts_the_sockets_that_take_a_publication", &[17, 18], |stage| {
            confirmed(stage, DURABLE)
        }),
        scenario("log_that_is_durable_has_one_order_for_all", &[17, 18], |stage| order(stage, DURABLE)),
        scenario("log_that_is_durable_has_a_publication_with_a_key_once", &[18], |stage| keys(stage, DURABLE)),
        scenario("log_that_is_durable_refuses_what_is_over_a_bound", &[12, 18], |stage| bounds(stage, DURABLE)),
        scenario("log_that_is_durable_says_which_page_it_cannot_give", &[18], |stage| pages(stage, DURABLE)),
        scenario("log_that_is_durable_is_heard_from_the_subscription_on", &[17, 20], |stage| {
            subscriptions(stage, DURABLE)
        }),
        scenario("log_and_entries_are_written_by_a_transaction_or_neither", &[11, 18], outbox),
    ];
    let restart = [
        scenario("log_that_ended_with_its_group_is_told_to_its_subscribers", &[9, 17], restarts)
            .needing(&[Capability::LogsInMemory, Capability::GroupRestart]),
        scenario("log_that_is_durable_outlives_its_group", &[9, 17, 18], crash).needing(&[Capability::GroupRestart]),
    ];
    let asleep = [
        scenario("log_misses_nobody_that_hibernates", &[13, 17], |stage| hibernation(stage, "single")),
        scenario("log_that_is_durable_misses_nobody_that_hibernates", &[13, 17], |stage| hibernation(stage, DURABLE)),
    ];
    let asleep = asleep.map(|scenario| scenario.needing(&[Capability::Hibernation]));
    all.into_iter().chain(restart).chain(asleep).collect()
}

fn topic(name: &str) -> String {
    format!("{LOGGED}{name}")
}

pub(super) fn publish(topic: &str, text: &str, key: Option<&str>) -> LogAct {
    LogAct::Publish { topic: topic.into(), text: text.into(), key: key.map(Into::into) }
}

/// The texts of a history, the oldest first.
async fn texts(client: &mut Client, topic: &str) -> Outcome<Vec<String>> {
    let (_, publications, _) = client.history(topic, None, (false, 1000)).await?;
    Ok(publications.into_iter().map(|(_, text)| text).collect())
}

/// From a socket, from another Replica, from a request without a socket, from the App and from the Group.
async fn places(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.spread(class, "places");
    let mut clients = group.join_each(["a", "b", "c", "d", "e", "f"]).await?;
    let logged = topic("t");
    for (topic, due) in [(ROOM, &[0, 1, 2, 3, 4, 5][..]), (&logged, &[0, 2, 4])] {
        for at in due.iter().filter(|_| topic != ROOM) {
            clients[*at].subscribe(topic).await?;
        }
        let mut positions = vec![clients[0].publish(topic, "socket").await?, clients[5].publish(topic, "other").await?];
        match group.command("b", Act::Log(publish(topic, "request", None))).await?.told {
            Told::Log { log: LogTold::Published(one) } => positions.push(one[0].parse()?),
            other => return Err(ScenarioFailure::new(format!("{other:?}"))),
        }
        for by in BOTH {
            let position = perform(&group, by, &format!("publish&topic={topic}&text={}", by.0)).await?;
            positions.push(position.parse()?);
        }
        let expected: Vec<_> = (1..=5).map(|offset| Position::new(positions[0].epoch().clone(), offset)).collect();
        same(&positions, &expected, "the positions")?;
        let published = ["socket", "other", "request", "verb", "group"];
        for at in due {
            for text in published {
                same(clients[*at].hear().await?, text, "what a subscriber hears")?;
            }
        }
        same(texts(&mut clients[1], topic).await?, published, "the history of a Replica")?;
        for by in BOTH {
            let history = perform(&group, by, &format!("history&topic={topic}")).await?;
            same(history, published.join(" "), "the history of the App and the Group")?;
        }
    }
    // What the Group has sent before comes before this, so nobody has heard anything twice, or what was not for it.
    clients[0].publish(ROOM, "end").await?;
    for client in &mut clients {
        same(client.hear_until("end").await?, [""; 0], "what else is heard")?;
    }
    Ok(())
}

/// The publication reaches who would have it without confirmation, and is counted there.
async fn confirmed(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.spread(class, "confirmed");
    let mut clients = group.join_each(["a", "b", "c", "d", "e"]).await?;
    let logged = topic("t");
    for at in [1, 4] {
        clients[at].subscribe(&logged).await?;
    }
    let mut last = None;
    for (topic, due) in [(ROOM, &[0, 1, 2, 3, 4][..]), (&logged, &[1, 4])] {
        let (first, sockets, missing) = clients[0].publish_confirmed(topic, "first", Some("key")).await?;
        same((first.offset(), sockets, missing), (1, due.len(), 0), "who takes the first")?;
        same(
            clients[3].publish_confirmed(topic, "again", Some("key")).await?,
            (first.clone(), 0, 0),
            "who takes a repeated one",
        )?;
        for (by, offset) in BOTH.into_iter().zip(2..) {
            let position = Position::new(first.epoch().clone(), offset);
            let told = perform(&group, by, &format!("publish_confirmed&topic={topic}&text={}", by.0)).await?;
            same(
                told,
                format!("{position} {} reached, 0 missing", due.len()),
                "who takes one of the App or the Group",
            )?;
        }
        for at in due {
            for text in ["first", "verb", "group"] {
                same(clients[*at].hear().await?, text, "what a subscriber hears")?;
            }
        }
        last = Some(first);
    }
    let (other, sockets, missing) = clients[2].publish_confirmed(&topic("nobody"), "text", None).await?;
    same((other.offset(), sockets, missing), (1, 0, 0), "who takes one that nobody is subscribed to")?;
    let act = LogAct::PublishConfirmed { topic: "no log".into(), text: "text".into(), key: None };
    same(clients[0].refused(Act::Log(act)).await?, Why::NoLog, "what has no log")?;
    ensure(last.is_some_and(|last| last.epoch() != other.epoch()), "two logs have the same epoch")?;
    clients[0].publish(ROOM, "end").await?;
    for client in &mut clients {
        same(client.hear_until("end").await?, [""; 0], "what else is heard")?;
    }
    Ok(())
}

/// Six sockets on three Replicas or more publish at the same time.
async fn order(stage: Stage, class: &'static str) -> Outcome {
    const COUNT: u32 = 50;
    let group = stage.spread(class, "order");
    let mut clients = group.join_each(["a", "b", "c", "d", "e", "f"]).await?;
    let publish_many = clients.iter_mut().map(|client| {
        let (topic, name) = (ROOM.into(), client.id().to_string());
        client.published(LogAct::PublishMany { topic, name, count: COUNT })
    });
    let positions = try_join_all(publish_many).await?;
    let mut all: Vec<u64> = positions.iter().flatten().map(Position::offset).collect();
    all.sort_unstable();
    let total = u64::from(COUNT) * clients.len() as u64;
    same(all, (1..=total).collect::<Vec<_>>(), "the offsets")?;
    ensure(positions.iter().all(|own| own.is_sorted_by_key(Position::offset)), "an object's own are out of order")?;
    let mut expected = vec![String::new(); all_of(total)];
    for (client, own) in clients.iter().zip(&positions) {
        for (number, position) in own.iter().enumerate() {
            expected[all_of(position.offset() - 1)] = format!("{} {number}", client.id());
        }
    }
    for client in &mut clients {
        for text in &expected {
            same(&client.hear().await?, text, "the next that a client hears")?;
        }
    }
    // The log keeps 100.
    let (mut since, mut kept) = (None, Vec::new());
    loop {
        let (head, publications, more) = clients[0].history(ROOM, since.as_ref(), (false, 40)).await?;
        kept.extend(publications.into_iter().map(|(_, text)| text));
        if !more {
            break;
        }
        since = Some(Position::new(head.epoch().clone(), total - 100 + kept.len() as u64));
    }
    same(&kept[..], &expected[expected.len() - 100..], "the history")
}

fn all_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A repeated publication is answered with the first position, wherever it comes from.
async fn keys(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.spread(class, "keys");
    let [mut a, mut b] = group.join_each(["a", "b"]).await?;
    let first = a.published(publish(ROOM, "first", Some("k"))).await?;
    for client in [&mut b, &mut a] {
        same(&client.published(publish(ROOM, "again", Some("k"))).await?, &first, "the position of a repeated one")?;
    }
    same(b.publish(ROOM, "next").await?.offset(), 2, "the next")?;
    same(b.published(publish(&topic("t"), "elsewhere", Some("k"))).await?[0].offset(), 1, "a key of another topic")?;
    for client in [&mut a, &mut b] {
        same([client.hear().await?, client.hear().await?], ["first", "next"], "what is heard")?;
    }
    Ok(())
}

/// Nothing is published over a bound, and the socket goes on.
async fn bounds(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.pinned(class, "bounds");
    let mut client = group.join("client").await?;
    let long = |letters| LogAct::PublishLong { topic: ROOM.into(), letters };
    for letters in [[MAX_PUBLICATION + 1, 0, 0], [0, MAX_METADATA + 1, 0], [0, 0, MAX_PUBLICATION_KEY + 1]] {
        same(client.refused(Act::Log(long(letters))).await?, Why::TooLarge, "what is too large")?;
    }
    for (act, why) in [
        (publish(ROOM, "text", Some("")), Why::InvalidName),
        (publish("a\nb", "text", None), Why::InvalidTopic),
        (publish("no log", "text", None), Why::NoLog),
        (LogAct::History { topic: "no log".into(), since: None, newest_first: true, limit: 1 }, Why::NoLog),
        (LogAct::PublishMany { topic: topic("many"), name: "n".into(), count: 1001 }, Why::TooMany),
    ] {
        same(client.refused(Act::Log(act)).await?, why, "what cannot be published")?;
    }
    let most = [MAX_PUBLICATION, MAX_METADATA, MAX_PUBLICATION_KEY];
    same(client.published(long(most)).await?[0].offset(), 1, "the offset of the largest")?;
    same(client.hear().await?.len(), MAX_PUBLICATION, "what is heard")
}

/// Of five publications the log keeps three.
async fn pages(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.pinned(class, "pages");
    let mut client = group.join("client").await?;
    let topic = &format!("{SHORT}x");
    let (empty, none, _) = client.history(topic, None, (false, 9)).await?;
    same((empty.offset(), none), (0, vec![]), "the history before the first")?;
    let positions = client.published(LogAct::PublishMany { topic: topic.clone(), name: "n".into(), count: 5 }).await?;
    same(positions[0].epoch(), empty.epoch(), "the epoch")?;
    let at = |offset| Position::new(empty.epoch().clone(), offset);
    for (since, newest_first, limit, expected, more) in [
        (None, false, 9, &[3, 4, 5][..], false),
        (None, true, 2, &[5, 4], true),
        (Some(2), false, 1, &[3], true),
        (Some(5), false, 9, &[], false),
        (Some(4), true, 9, &[3], false),
        (Some(1), true, 9, &[], false),
    ] {
        let page = client.history(topic, since.map(at).as_ref(), (newest_first, limit)).await?;
        let expected: Vec<_> = expected.iter().map(|offset| (*offset, format!("n {}", offset - 1))).collect();
        same(page, (at(5), expected, more), &format!("the page {since:?}, {newest_first}, {limit}"))?;
    }
    let other = format!("{}x:5", &empty.epoch().as_str()[1..]);
    for (since, why) in [(at(1).to_string(), "expired"), (at(6).to_string(), "future"), (other, "epoch_unknown")] {
        let act = LogAct::History { topic: topic.clone(), since: Some(since), newest_first: false, limit: 9 };
        same(client.refused(Act::Log(act)).await?, Why::Unrecovered(why.into()), "why there is no page")?;
    }
    Ok(())
}

/// Who subscribes, or joins, hears what is published after that. Who has unsubscribed hears nothing.
async fn subscriptions(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.spread(class, "subscriptions");
    let mut a = group.join("a").await?;
    let topic = topic("s");
    for text in ["t 1", "t 2"] {
        a.publish(&topic, text).await?;
    }
    a.publish(ROOM, "room 1").await?;
    let mut b = group.join("b").await?;
    for round in 0..3 {
        b.subscribe(&topic).await?;
        a.publish(&topic, &format!("heard {round}")).await?;
        same(b.hear().await?, format!("heard {round}"), "what a subscriber hears")?;
        b.unsubscribe(&topic).await?;
        a.publish(&topic, "not heard").await?;
        a.publish(ROOM, "end").await?;
        same(b.hear_until("end").await?, [""; 0], "what is heard without a subscription")?;
    }
    same(a.hear_until("room 1").await?, [""; 0], "what the first hears")
}

/// The log in memory is lost, and those who have followed it are told: by default their sockets close.
async fn restarts(stage: Stage) -> Outcome {
    let group = stage.spread("single", "restarts");
    let mut clients = group.join_each(["a", "b", "c"]).await?;
    let before = clients[0].publish(ROOM, "1").await?;
    for client in &mut clients {
        same(client.hear().await?, "1", "what is heard before")?;
    }
    kill_the_group(&group).await?;
    let after: Position = perform(&group, BOTH[0], "publish&topic=&text=2").await?.parse()?;
    ensure(after.epoch() != before.epoch(), "the epoch is the same after the log was lost")?;
    same(after.offset(), 1, "the first offset of the new epoch")?;
    for client in &mut clients {
        same(client.ended().await?, Ending { code: 1013, reason: "epoch_unknown".into() }, "how a socket ends")?;
    }
    let [mut d, mut e] = group.join_each(["d", "e"]).await?;
    same(d.publish(ROOM, "3").await?, Position::new(after.epoch().clone(), 2), "the next")?;
    for client in [&mut d, &mut e] {
        same(client.hear().await?, "3", "what is heard after")?;
    }
    Ok(())
}

/// A transaction that is made is in the storage and in the logs, one that fails is in neither, and subscribers hear the first alone.
async fn outbox(stage: Stage) -> Outcome {
    let group = stage.spread(DURABLE, "outbox");
    let [mut near, mut far] = group.join_each(["near", "far"]).await?;
    let topic = &topic("t");
    far.subscribe(topic).await?;
    let publish = |topic: &str, text: &str| StorageStep::Publish(topic.into(), text.into());
    let made = |steps| async { Owner::Group.does_one(&group, StorageStep::Transaction(steps)).await };
    near.publish(ROOM, "before").await?;
    let steps = vec![put("a", "1"), publish(ROOM, "1"), publish(topic, "t 1"), publish(ROOM, "2")];
    ensure(matches!(made(steps).await?, Found::Made(1, _)), "the transaction is not made")?;
    let steps = vec![put("a", "2"), publish(ROOM, "never"), StorageStep::Fail];
    same(made(steps).await?, Found::Failed(1), "one that fails")?;
    let steps = vec![put("a", "3"), publish(ROOM, "never"), publish("no log", "never")];
    let refused = made(steps).await?;
    ensure(matches!(refused, Found::Refused(Why::NoLog, _)), format!("without a log: {refused:?}"))?;
    let replica = Owner::Replica.does_one(&group, StorageStep::Transaction(vec![publish(ROOM, "never")])).await?;
    ensure(matches!(replica, Found::Refused(Why::NoLog, _)), format!("in a Replica: {replica:?}"))?;
    same(Owner::Group.does_one(&group, get("a")).await?, text("1"), "what is stored")?;
    same(near.publish(ROOM, "after").await?.offset(), 4, "the next offset")?;
    same(near.hear_until("after").await?, ["before", "1", "2"], "what the room hears")?;
    let mut heard = far.hear_until("after").await?;
    heard.sort_unstable();
    same(heard, ["1", "2", "before", "t 1"], "what a subscriber of the topic hears")?;
    same(texts(&mut near, topic).await?, ["t 1"], "the history of the topic")
}

/// Positions, keys and what is kept are those of before. Nobody who is connected throughout hears anything twice, or misses anything.
async fn crash(stage: Stage) -> Outcome {
    let group = stage.spread(DURABLE, "crash");
    let mut clients = group.join_each(["a", "b", "c", "d", "e", "f"]).await?;
    let topic = &topic("t");
    for client in &mut clients {
        client.subscribe(topic).await?;
    }
    let mut expected = Vec::new();
    let mut epochs = BTreeSet::new();
    for round in 1..=3 {
        for (place, text) in [(ROOM, format!("room {round}")), (topic, format!("t {round}"))] {
            let position = clients[0].published(publish(place, &text, Some(&text))).await?.remove(0);
            same(position.offset(), round, "the offset")?;
            epochs.insert(position.epoch().clone());
            expected.push(text);
        }
        kill_the_group(&group).await?;
        // The key is from an earlier life, and in the next round from a still earlier one.
        let first = clients[1].published(publish(ROOM, "again", Some("room 1"))).await?;
        same(first[0].offset(), 1, "the position of a repeated one")?;
    }
    same(epochs.len(), 2, "the epochs of two logs")?;
    for client in &mut clients {
        for text in &expected {
            same(&client.hear().await?, text, "what is heard")?;
        }
    }
    same(texts(&mut clients[2], ROOM).await?, ["room 1", "room 2", "room 3"], "the history of the room")?;
    same(texts(&mut clients[2], topic).await?, ["t 1", "t 2", "t 3"], "the history of the topic")
}

/// Replicas hibernate between publications.
async fn hibernation(stage: Stage, class: &'static str) -> Outcome {
    let group = stage.pinned(class, "hibernation");
    let [mut speaker, mut near, mut far] = group.join_each(["speaker", "near", "far"]).await?;
    let topic = topic("t");
    near.subscribe(&topic).await?;
    far.subscribe(&topic).await?;
    let mut epoch = None;
    for round in 1..=4 {
        forgets(&mut near).await?;
        forgets(&mut far).await?;
        let (room, logged) = (format!("room {round}"), format!("t {round}"));
        let position = speaker.publish(ROOM, &room).await?;
        same(position.offset(), round, "the offset")?;
        same(position.epoch(), epoch.get_or_insert_with(|| position.epoch().clone()), "the epoch")?;
        speaker.publish(&topic, &logged).await?;
        for client in [&mut near, &mut far] {
            same(
                [client.hear().await?, client.hear().await?],
                [&room[..], &logged],
                "what is heard after hibernation",
            )?;
        }
        same(speaker.hear().await?, room, "what the speaker hears")?;
    }
    Ok(())
}
