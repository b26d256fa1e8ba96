//! What a Group does without a seat, asked by the App and by its own code.

use dog::http::StatusCode;

use super::hibernation::forgets;
use super::restarts::kill_the_group;
use super::scenario::{Scenario, scenario};
use crate::check::{Outcome, eventually, same};
use crate::client::{Client, Ending};
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("verbs_of_a_group_reach_every_socket_in_order", &[5, 6], reach),
        scenario("verbs_of_a_group_count_sockets", &[8], count),
        scenario("verbs_of_a_group_disconnect_a_client_everywhere", &[6], disconnect),
        scenario("topic_of_a_group_reaches_exactly_its_subscribers", &[20], topics),
        scenario("order_of_topics_and_other_verbs_of_a_group", &[5, 20], order),
        scenario("topic_of_a_group_that_has_restarted_reaches_its_subscribers", &[9, 20], after_a_restart)
            .needing(&[Capability::GroupRestart]),
        scenario("topic_of_a_group_reaches_replicas_that_hibernate", &[13, 20], asleep)
            .needing(&[Capability::Hibernation]),
        scenario("verbs_to_a_group_that_does_not_exist_reach_nobody", &[6], nobody),
    ]
}

/// The App (`verb`) and the Group's own code (`group?do=verb`) perform the same verbs.
pub(super) const BOTH: [(&str, &str); 2] = [("verb", ""), ("group", "&do=verb")];

pub(super) async fn perform(group: &TestGroup, (action, by): (&str, &str), verb: &str) -> Outcome<String> {
    let path = format!("{}{by}&verb={verb}", group.path(action, "nobody"));
    let response = group.request("GET", &path, "").await?;
    same(response.status(), StatusCode::OK, verb)?;
    Ok(String::from_utf8_lossy(response.body()).into_owned())
}

async fn reach(stage: Stage) -> Outcome {
    let group = stage.spread("single", "reach");
    let mut clients = group.join_each(["ann", "bob", "ann"]).await?;
    for by in BOTH {
        same(perform(&group, by, "confirmed&text=first").await?, "3 reached, 0 missing", "a confirmed broadcast")?;
        same(perform(&group, by, "confirmed&text=second").await?, "3 reached, 0 missing", "a confirmed broadcast")?;
        same(perform(&group, by, "whisper&client=bob&text=psst").await?, "1 reached, 0 missing", "a whisper")?;
        same(perform(&group, by, "whisper&client=cid&text=psst").await?, "0 reached, 0 missing", "a whisper")?;
        // Nothing waits for this one, so nothing comes after it.
        same(perform(&group, by, "broadcast&text=end").await?, "sent", "a broadcast")?;
        for client in &mut clients {
            let whispers = if client.id().as_str() == "bob" { vec!["psst"] } else { Vec::new() };
            let expected: Vec<&str> = ["first", "second"].into_iter().chain(whispers).collect();
            same(client.hear_until("end").await?, expected, "what a client hears")?;
        }
    }
    Ok(())
}

/// Sends to the topic, and then to everyone. Returns what each client has heard between the two. Only what one caller sends keeps
/// its order, so one request sends both.
async fn hear(group: &TestGroup, by: (&str, &str), topic: &str, clients: &mut [Client]) -> Outcome<Vec<Vec<String>>> {
    let sent = perform(group, by, &format!("broadcast_to&topic={topic}&text={topic}&then=end")).await?;
    same(sent, "sent", "a topic")?;
    let mut heard = Vec::with_capacity(clients.len());
    for client in clients {
        heard.push(client.hear_until("end").await?);
    }
    Ok(heard)
}

/// The same if those with this number in `due` hear it, each once, and the others do not.
async fn is_heard_by(
    group: &TestGroup,
    by: (&str, &str),
    topic: &str,
    (clients, due): (&mut [Client], &[usize]),
) -> Outcome {
    let expected: Vec<Vec<&str>> =
        (0..clients.len()).map(|at| if due.contains(&at) { vec![topic] } else { Vec::new() }).collect();
    same(hear(group, by, topic, clients).await?, expected, &format!("what the clients hear of the topic {topic}"))
}

/// Six sockets on three Replicas or more.
async fn topics(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "topics");
    let mut clients = group.join_each(["a", "b", "c", "d", "e", "f"]).await?;
    for (client, topics) in
        clients.iter_mut().zip([&["red"][..], &["blue"], &["red", "blue"], &[], &["red"], &["reds"]])
    {
        for topic in topics {
            client.subscribe(topic).await?;
        }
    }
    for by in BOTH {
        is_heard_by(&group, by, "red", (&mut clients, &[0, 2, 4])).await?;
        is_heard_by(&group, by, "blue", (&mut clients, &[1, 2])).await?;
        is_heard_by(&group, by, "green", (&mut clients, &[])).await?;
    }
    clients[2].unsubscribe("red").await?;
    clients[3].subscribe("red").await?;
    for by in BOTH {
        is_heard_by(&group, by, "red", (&mut clients, &[0, 3, 4])).await?;
        let path = format!("{}{}&verb=broadcast_to&topic=", group.path(by.0, "nobody"), by.1);
        let refused = group.request("GET", &path, "").await?.status();
        same(refused, StatusCode::BAD_REQUEST, "an empty name is no topic")?;
    }
    Ok(())
}

/// Numbers for everyone and for the topic, in turn.
async fn order(stage: Stage) -> Outcome {
    const COUNT: u32 = 90;
    let group = stage.spread("single", "order");
    let mut clients = group.join_each(["a", "b", "c"]).await?;
    clients[0].subscribe("t").await?;
    clients[2].subscribe("t").await?;
    for by in BOTH {
        same(perform(&group, by, &format!("sequence&topic=t&count={COUNT}")).await?, "sent", "a sequence")?;
        same(perform(&group, by, "broadcast&text=end").await?, "sent", "a broadcast")?;
        for (at, client) in clients.iter_mut().enumerate() {
            let due = (0..COUNT).filter(|number| at % 2 == 0 || number % 3 != 1);
            let due: Vec<_> = due.map(|number| number.to_string()).collect();
            same(client.hear_until("end").await?, due, &format!("what client {at} hears"))?;
        }
    }
    Ok(())
}

/// The Group does not know the topics of any Replica at first, and knows them later.
async fn after_a_restart(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "restarted");
    let mut clients = group.join_each(["a", "b", "c", "d", "e"]).await?;
    for at in [1, 2] {
        clients[at].subscribe("t").await?;
    }
    for by in BOTH {
        kill_the_group(&group).await?;
        for _ in 0..3 {
            is_heard_by(&group, by, "t", (&mut clients, &[1, 2])).await?;
            is_heard_by(&group, by, "other", (&mut clients, &[])).await?;
        }
        kill_the_group(&group).await?;
        clients[4].subscribe("new").await?;
        is_heard_by(&group, by, "new", (&mut clients, &[4])).await?;
        is_heard_by(&group, by, "t", (&mut clients, &[1, 2])).await?;
        clients[4].unsubscribe("new").await?;
    }
    Ok(())
}

/// A Replica that has hibernated is asked for its topics where that begins a new life.
async fn asleep(stage: Stage) -> Outcome {
    let group = stage.spread("single", "asleep");
    let mut clients = group.join_each(["a", "b", "c"]).await?;
    for at in [0, 2] {
        clients[at].subscribe("t").await?;
    }
    for by in BOTH {
        for _ in 0..2 {
            for client in &mut clients[1..] {
                forgets(client).await?;
            }
            is_heard_by(&group, by, "t", (&mut clients, &[0, 2])).await?;
        }
    }
    Ok(())
}

async fn count(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "count");
    group.identify("ticket").await?;
    let [ann, _bob, _again] = group.join_each(["ann", "bob", "ann"]).await?;
    for by in BOTH {
        eventually("the books count the sockets", async || {
            Ok(perform(&group, by, "count").await? == "2 clients, 3 sockets, 0 missing")
        })
        .await?;
        same(perform(&group, by, "clients").await?, "ann:2 bob:1", "the clients")?;
    }
    ann.leave().await?;
    eventually("a socket that has closed is counted no more", async || {
        Ok(perform(&group, BOTH[0], "clients").await? == "ann:1 bob:1")
    })
    .await
}

async fn disconnect(stage: Stage) -> Outcome {
    let group = stage.spread("single", "disconnect");
    let [mut one, mut bob, mut two] = group.join_each(["ann", "bob", "ann"]).await?;
    same(perform(&group, BOTH[0], "confirmed&text=last").await?, "3 reached, 0 missing", "a confirmed broadcast")?;
    same(perform(&group, BOTH[0], "disconnect&client=ann").await?, "2 reached, 0 missing", "the sockets closed")?;
    for client in [&mut one, &mut two] {
        same(client.ended().await?, Ending { code: 4003, reason: "removed".into() }, "how a socket ends")?;
        same(client.hear().await?, "last", "what comes before the close")?;
    }
    same(perform(&group, BOTH[1], "disconnect&client=ann").await?, "0 reached, 0 missing", "the sockets closed")?;
    same(perform(&group, BOTH[1], "confirmed&text=end").await?, "1 reached, 0 missing", "who is left")?;
    same(bob.hear_until("end").await?, ["last"], "what the other client hears")
}

async fn nobody(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "nobody");
    for _ in 0..2 {
        same(perform(&group, BOTH[0], "broadcast_to&topic=t&text=hello").await?, "sent", "a topic")?;
        same(perform(&group, BOTH[0], "confirmed&text=hello").await?, "0 reached, 0 missing", "a broadcast")?;
        same(perform(&group, BOTH[0], "disconnect&client=ann").await?, "0 reached, 0 missing", "the sockets closed")?;
        same(perform(&group, BOTH[0], "count").await?, "0 clients, 0 sockets, 0 missing", "the count")?;
    }
    let mut ann = group.join("ann").await?;
    same(perform(&group, BOTH[0], "confirmed&text=end").await?, "1 reached, 0 missing", "a broadcast")?;
    same(ann.hear_until("end").await?, [""; 0], "what was said before she came")
}
