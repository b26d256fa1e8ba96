//! Promise 20: a message for a topic reaches exactly the sockets that are subscribed to it.

use dog::{MAX_TOPIC, MAX_TOPIC_BYTES, MAX_TOPICS};
use futures_util::future::try_join_all;

use super::hibernation::forgets;
use super::restarts::kill_the_group;
use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, TOPICAL, Told, TopicAct, TopicStep, Whom, Why};
use crate::check::{Outcome, ensure, same};
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("topic_reaches_exactly_its_subscribers", &[20], exactly),
        scenario("topic_is_heard_by_a_sender_that_is_subscribed", &[20], senders),
        scenario("topic_of_many_sockets_reaches_each_once", &[6, 20], many),
        scenario("topic_subscribed_in_on_open", &[7, 20], in_on_open),
        scenario("topics_over_a_limit_are_refused_and_the_socket_stays", &[12, 20], limits),
        scenario("order_of_topics_and_other_verbs", &[5, 20], order),
        scenario("topics_are_kept_in_hibernation", &[13, 20], hibernation).needing(&[Capability::Hibernation]),
        scenario("topics_outlive_the_group", &[9, 20], restarts).needing(&[Capability::GroupRestart]),
    ]
}

fn to(topic: &str, text: &str, to: Whom) -> Act {
    Act::Topic(TopicAct::BroadcastTo { topic: topic.into(), text: text.into(), to })
}

/// Six sockets on three Replicas or more. Each hears what is for its topics, from every Replica, and nothing else.
async fn exactly(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "exactly");
    let mut clients = group.join_each(["a", "b", "c", "d", "e", "f"]).await?;
    for (client, topics) in
        clients.iter_mut().zip([&["red"][..], &["blue"], &["red", "blue"], &[], &["red"], &["reds"]])
    {
        for topic in topics {
            client.subscribe(topic).await?;
        }
    }
    for at in 0..clients.len() {
        clients[at].broadcast_to("red", &format!("red {at}")).await?;
        clients[at].broadcast_to("blue", &format!("blue {at}")).await?;
        // What one Replica sends keeps its order, so this comes after it everywhere.
        clients[at].broadcast(&format!("end {at}")).await?;
        let said = [format!("red {at}"), format!("blue {at}")];
        for (listener, due) in [&said[..1], &said[1..], &said, &[], &said[..1], &[]].into_iter().enumerate() {
            let heard = clients[listener].hear_until(&format!("end {at}")).await?;
            same(&heard[..], due, &format!("what client {listener} hears of client {at}"))?;
        }
    }
    clients[2].unsubscribe("red").await?;
    clients[2].unsubscribe("never subscribed").await?;
    same(clients[2].topics().await?, ["blue"], "the topics that are left")?;
    clients[3].broadcast_to("red", "without the third").await?;
    clients[3].broadcast("end").await?;
    for (listener, due) in
        [&["without the third"][..], &[], &[], &[], &["without the third"], &[]].into_iter().enumerate()
    {
        same(clients[listener].hear_until("end").await?, due, "what is heard after one has unsubscribed")?;
    }
    // A request of a client without a socket.
    group.command("a", to("blue", "by http", Whom::Everyone)).await?;
    same(clients[2].hear().await?, "by http", "what a subscriber hears of the Replica")
}

/// The sender is a receiver like others, unless it is left out.
async fn senders(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "senders");
    let mut own = group.join_each(["speaker", "speaker"]).await?;
    let mut other = group.join("other").await?;
    own[0].broadcast_to("t", "not subscribed").await?;
    for client in [&mut own[0], &mut other] {
        client.subscribe("t").await?;
    }
    own[0].broadcast_to("t", "all").await?;
    own[0].obey(to("t", "others", Whom::Others)).await?;
    own[0].obey(to("t", "other sockets", Whom::OtherSockets)).await?;
    own[1].emit_to("t", "near others", Whom::Others).await?;
    own[1].emit_to("t", "near", Whom::OtherSockets).await?;
    own[1].broadcast("end").await?;
    same(own[0].hear_until("end").await?, ["all", "near"], "what the speaker hears")?;
    same(own[1].hear_until("end").await?, Vec::<String>::new(), "what its socket without the topic hears")?;
    let due = ["all", "others", "other sockets", "near others", "near"];
    same(other.hear_until("end").await?, due, "what the other hears")
}

/// Half of many sockets on many Replicas subscribe at the same time, and leave the topic again.
async fn many(stage: Stage) -> Outcome {
    const SOCKETS: usize = 100;
    let group = stage.spread("octet", "many");
    let mut clients = group.join_all("listener", SOCKETS).await?;
    try_join_all(clients.iter_mut().take(SOCKETS / 2).map(|client| client.subscribe("half"))).await?;
    clients[SOCKETS - 1].broadcast_to("half", "hello").await?;
    clients[SOCKETS - 1].broadcast("end").await?;
    for (at, client) in clients.iter_mut().enumerate() {
        let due: &[&str] = if at < SOCKETS / 2 { &["hello"] } else { &[] };
        same(client.hear_until("end").await?, due, "what a socket hears")?;
    }
    try_join_all(clients.iter_mut().map(|client| client.unsubscribe("half"))).await?;
    clients[0].broadcast_to("half", "nobody").await?;
    clients[0].broadcast("end").await?;
    for client in &mut clients {
        same(client.hear_until("end").await?, Vec::<String>::new(), "what a socket hears later")?;
    }
    Ok(())
}

/// A socket can subscribe before its first message is handled.
async fn in_on_open(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "opening");
    let mut speaker = group.join("speaker").await?;
    let mut listeners = group.join_each([&format!("{TOPICAL}a"), &format!("{TOPICAL}b"), "other"]).await?;
    // `on_open` has ended when a message is handled.
    for listener in &mut listeners {
        let due: &[&str] = if listener.id().as_str().starts_with(TOPICAL) { &[TOPICAL] } else { &[] };
        same(listener.topics().await?, due, "the topics of a new socket")?;
    }
    speaker.broadcast_to(TOPICAL, "welcome").await?;
    speaker.broadcast("end").await?;
    for (listener, due) in listeners.iter_mut().zip([&["welcome"][..], &["welcome"], &[]]) {
        same(listener.hear_until("end").await?, due, "what a new socket hears")?;
    }
    Ok(())
}

/// Names that are no topics, 128 topics, 8 KiB of names. Nothing is sent or subscribed, and the socket goes on.
async fn limits(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "limits");
    let [mut client, mut other] = group.join_each(["client", "other"]).await?;
    for bad in [String::new(), "x".repeat(MAX_TOPIC + 1), "a\nb".into(), "\0".into(), "\u{85}".into()] {
        let (text, to) = (String::from("text"), Whom::Everyone);
        for act in [
            TopicAct::Subscribe { topic: bad.clone() },
            TopicAct::Unsubscribe { topic: bad.clone() },
            TopicAct::EmitTo { topic: bad.clone(), text: text.clone(), to },
            TopicAct::BroadcastTo { topic: bad.clone(), text, to },
        ] {
            same(client.refused(Act::Topic(act)).await?, Why::InvalidTopic, "what is no topic")?;
        }
    }
    let long = |number: usize| format!("{number:0>MAX_TOPIC$}");
    let fit = MAX_TOPIC_BYTES / MAX_TOPIC;
    for number in 0..fit {
        client.subscribe(&long(number)).await?;
    }
    same(
        client.refused(Act::Topic(TopicAct::Subscribe { topic: "a".into() })).await?,
        Why::TooMany,
        "a name too many",
    )?;
    client.unsubscribe(&long(0)).await?;
    for number in 1..fit {
        client.unsubscribe(&long(number)).await?;
    }
    for number in 0..MAX_TOPICS {
        client.subscribe(&number.to_string()).await?;
    }
    same(
        client.refused(Act::Topic(TopicAct::Subscribe { topic: "more".into() })).await?,
        Why::TooMany,
        "a topic too many",
    )?;
    client.subscribe("7").await?;
    same(client.topics().await?.len(), MAX_TOPICS, "the topics of the socket")?;
    other.broadcast_to("more", "for nobody").await?;
    other.broadcast_to("7", "for the client").await?;
    same(client.hear().await?, "for the client", "what is heard")?;
    other.broadcast("end").await?;
    same(other.hear_until("end").await?, Vec::<String>::new(), "what the other hears")
}

/// Numbers with and without a topic, to subscribers and others, on the sender's Replica and elsewhere.
async fn order(stage: Stage) -> Outcome {
    const COUNT: u32 = 300;
    let group = stage.spread("pair", "order");
    let mut clients = group.join_each(["speaker", "b", "c", "d"]).await?;
    let home = clients[0].replica();
    clients[0].subscribe("t").await?;
    clients[2].subscribe("t").await?;
    let command = clients[0].tell(Act::Topic(TopicAct::Sequence { count: COUNT, topic: "t".into() })).await?;
    for (at, client) in clients.iter_mut().enumerate() {
        let (near, subscribed) = (client.replica() == home, at % 2 == 0);
        let due = (0..COUNT).filter(|number| match TopicStep::of(*number) {
            TopicStep::BroadcastTo => subscribed,
            TopicStep::EmitTo => near && subscribed,
            TopicStep::Emit => near,
            TopicStep::Broadcast | TopicStep::Confirmed => true,
        });
        for number in due {
            same(client.hear().await?, number.to_string(), &format!("the next number that client {at} hears"))?;
        }
    }
    same(clients[0].reply(command).await?.told, Told::Done, "the sequence")
}

/// Sockets keep their topics while their Replicas hibernate, and what they have ended stays ended.
async fn hibernation(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "hibernation");
    let [mut speaker, mut near, mut far] = group.join_each(["speaker", "near", "far"]).await?;
    for client in [&mut near, &mut far] {
        client.subscribe("t").await?;
        client.subscribe("ended").await?;
        client.unsubscribe("ended").await?;
    }
    for round in 0..5 {
        for client in [&mut near, &mut far] {
            forgets(client).await?;
        }
        speaker.broadcast_to("ended", "not for them").await?;
        speaker.broadcast_to("t", &round.to_string()).await?;
        for client in [&mut near, &mut far] {
            same(client.hear().await?, round.to_string(), "what is heard after hibernation")?;
            same(client.topics().await?, ["t"], "the topics after hibernation")?;
        }
    }
    speaker.broadcast("end").await?;
    same(speaker.hear_until("end").await?, Vec::<String>::new(), "what the speaker hears")
}

/// Topics of before and after a restart of the Group reach their subscribers.
async fn restarts(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "restarts");
    let mut clients = group.join_each(["a", "b", "c", "d"]).await?;
    for client in &mut clients[1..] {
        client.subscribe("t").await?;
    }
    for round in 0..4 {
        kill_the_group(&group).await?;
        clients[0].broadcast_to("t", &format!("t {round}")).await?;
        let new = format!("new {round}");
        clients[round % 3 + 1].subscribe(&new).await?;
        clients[0].broadcast_to(&new, &new).await?;
        clients[0].broadcast(&format!("end {round}")).await?;
        for (at, client) in clients.iter_mut().enumerate() {
            let mut due = Vec::new();
            due.extend((at > 0).then(|| format!("t {round}")));
            due.extend((at == round % 3 + 1).then(|| new.clone()));
            let heard = client.hear_until(&format!("end {round}")).await?;
            same(heard, due, &format!("what client {at} hears"))?;
        }
    }
    ensure(clients[1].topics().await?.contains(&"t".to_owned()), "a topic was lost")
}
