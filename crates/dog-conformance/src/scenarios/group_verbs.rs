//! What a Group does without a seat, asked by the App and by its own code.

use dog::http::StatusCode;

use super::scenario::{Scenario, scenario};
use crate::check::{Outcome, eventually, same};
use crate::client::Ending;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("verbs_of_a_group_reach_every_socket_in_order", &[5, 6], reach),
        scenario("verbs_of_a_group_count_sockets", &[8], count),
        scenario("verbs_of_a_group_disconnect_a_client_everywhere", &[6], disconnect),
        scenario("verbs_to_a_group_that_does_not_exist_reach_nobody", &[6], nobody),
    ]
}

/// The App (`verb`) and the Group's own code (`group?do=verb`) perform the same verbs.
const BOTH: [(&str, &str); 2] = [("verb", ""), ("group", "&do=verb")];

async fn perform(group: &TestGroup, (action, by): (&str, &str), verb: &str) -> Outcome<String> {
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
        same(perform(&group, BOTH[0], "confirmed&text=hello").await?, "0 reached, 0 missing", "a broadcast")?;
        same(perform(&group, BOTH[0], "disconnect&client=ann").await?, "0 reached, 0 missing", "the sockets closed")?;
        same(perform(&group, BOTH[0], "count").await?, "0 clients, 0 sockets, 0 missing", "the count")?;
    }
    let mut ann = group.join("ann").await?;
    same(perform(&group, BOTH[0], "confirmed&text=end").await?, "1 reached, 0 missing", "a broadcast")?;
    same(ann.hear_until("end").await?, [""; 0], "what was said before she came")
}
