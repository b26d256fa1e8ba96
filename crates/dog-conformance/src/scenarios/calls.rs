//! Typed calls to a Group, from the App, from Replicas and from other Groups.

use dog::MAX_CALL;
use dog::http::StatusCode;

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Attached, GroupAsk, GroupReply, Told, Why, waiting};
use crate::check::{Outcome, ScenarioFailure, ensure, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("call_reaches_the_code_and_the_storage_of_a_group", &[14], reaches),
        scenario("calls_of_one_group_interleave", &[14], interleave),
        scenario("call_that_fails_is_an_error_without_internals", &[14], fails),
        scenario("call_that_panics_costs_its_group_and_nothing_else", &[14], panics)
            .needing(&[Capability::GroupRestart]),
        scenario("call_that_hangs_ends_by_its_deadline", &[14], hangs),
        scenario("call_that_is_too_long_is_refused", &[12], too_long),
        scenario("cycle_of_calls_ends", &[14], cycle),
    ]
}

/// The App calls the Group.
async fn app_calls(group: &TestGroup, ask: GroupAsk) -> Outcome<Result<GroupReply, Why>> {
    let response = group.request("POST", &group.path("call", "nobody"), serde_json::to_vec(&ask)?).await?;
    same(response.status(), StatusCode::OK, "the status of a call")?;
    passed(serde_json::from_slice(response.body())?)
}

/// The Replica of this client calls its Group.
async fn replica_calls(client: &mut Client, ask: GroupAsk) -> Outcome<Result<GroupReply, Why>> {
    replied(client.ask(Act::Call { group: None, ask }).await?)
}

fn replied(told: Told) -> Outcome<Result<GroupReply, Why>> {
    match told {
        Told::Replied { by_group } => passed(by_group),
        other => Err(ScenarioFailure::new(format!("{other:?} is no reply to a call"))),
    }
}

fn passed(reply: GroupReply) -> Outcome<Result<GroupReply, Why>> {
    match reply {
        GroupReply::Passed(called) => Ok(called.map(|reply| *reply)),
        other => Err(ScenarioFailure::new(format!("{other:?} was not passed on"))),
    }
}

/// What is asked arrives unchanged. A Group that nobody has used comes into existence. One Group answers the App on every node
/// and all its Replicas.
async fn reaches(stage: Stage) -> Outcome {
    let group = stage.spread("single", "reaches");
    let value = Attached { name: "größe \"1\"".into(), visits: u64::MAX, tags: vec![None, Some(String::new())] };
    same(app_calls(&group, GroupAsk::Echo(value.clone())).await?, Ok(GroupReply::Echo(value.clone())), "the echo")?;
    let mut clients = group.join_all("client", 3).await?;
    let mut kept = Vec::new();
    for number in 0..6_usize {
        let text = format!("text {number}");
        kept.push(text.clone());
        let reply = match number % 2 {
            0 => app_calls(&group, GroupAsk::Keep(text)).await?,
            _ => replica_calls(&mut clients[number / 2], GroupAsk::Keep(text)).await?,
        };
        same(reply, Ok(GroupReply::Kept(kept.clone())), "what the Group keeps")?;
    }
    // Another Group, from a Replica and from the Group.
    let other = group.other_name("elsewhere");
    let ask = GroupAsk::Echo(value.clone());
    let act = Act::Call { group: Some(other.clone()), ask: ask.clone() };
    same(replied(clients[0].ask(act).await?)?, Ok(GroupReply::Echo(value.clone())), "the echo of another Group")?;
    let passed_on = app_calls(&group, GroupAsk::Pass { group: other, ask: Box::new(ask) }).await?;
    same(
        passed_on,
        Ok(GroupReply::Passed(Ok(Box::new(GroupReply::Echo(value))))),
        "what another Group says to the first",
    )
}

/// A call that waits holds up no other, of the App or of a Replica.
async fn interleave(stage: Stage) -> Outcome {
    let group = stage.spread("single", "interleave");
    let mut client = group.join("client").await?;
    for gate in ["first", "second"] {
        let waits = app_calls(&group, GroupAsk::Wait(gate.into()));
        let opens = async {
            // A Group that hibernates forgets which gates are open, so the gate must not open before it is waited for.
            same(client.hear().await?, waiting(gate), "the call that waits")?;
            same(app_calls(&group, GroupAsk::Echo(Attached::default())).await?.is_ok(), true, "whether others answer")?;
            replica_calls(&mut client, GroupAsk::Open(gate.into())).await
        };
        let (waited, opened) = futures_util::future::try_join(waits, opens).await?;
        same((waited, opened), (Ok(GroupReply::Done), Ok(GroupReply::Done)), "the replies")?;
    }
    Ok(())
}

async fn fails(stage: Stage) -> Outcome {
    let group = stage.spread("hall", "fails");
    let mut client = group.join("client").await?;
    same(app_calls(&group, GroupAsk::Fail).await?, Err(Why::Handler), "what the App gets")?;
    same(replica_calls(&mut client, GroupAsk::Fail).await?, Err(Why::Handler), "what a Replica gets")?;
    same(replica_calls(&mut client, GroupAsk::Open("any".into())).await?, Ok(GroupReply::Done), "the next reply")
}

async fn panics(stage: Stage) -> Outcome {
    let group = stage.spread("hall", "panics");
    let [mut client, mut other] = group.join_each(["client", "other"]).await?;
    let kept = app_calls(&group, GroupAsk::Keep("before".into())).await?;
    same(kept, Ok(GroupReply::Kept(vec!["before".into()])), "what is kept")?;
    let why = replica_calls(&mut client, GroupAsk::Panic).await?;
    ensure(matches!(why, Err(Why::Handler | Why::Unreachable)), format!("a call that panics returns {why:?}"))?;
    client.broadcast("on we go").await?;
    same(other.hear().await?, "on we go", "what the others hear")?;
    // A host may take a moment to begin the next life.
    eventually("the next life answers", async || Ok(app_calls(&group, GroupAsk::Open("any".into())).await?.is_ok()))
        .await?;
    let kept = app_calls(&group, GroupAsk::Keep("after".into())).await?;
    same(kept, Ok(GroupReply::Kept(vec!["before".into(), "after".into()])), "what is kept")
}

/// Other calls go on meanwhile.
async fn hangs(stage: Stage) -> Outcome {
    let group = stage.spread("brief", "hangs");
    let mut client = group.join("client").await?;
    let hang = app_calls(&group, GroupAsk::Hang);
    let (from_app, from_replica) = futures_util::future::try_join(hang, async {
        same(app_calls(&group, GroupAsk::Open("any".into())).await?, Ok(GroupReply::Done), "another reply")?;
        replica_calls(&mut client, GroupAsk::Hang).await
    })
    .await?;
    same((from_app, from_replica), (Err(Why::Deadline), Err(Why::Deadline)), "what the callers get")?;
    same(replica_calls(&mut client, GroupAsk::Open("any".into())).await?, Ok(GroupReply::Done), "the next reply")
}

async fn too_long(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "long");
    let mut client = group.join("client").await?;
    for length in [MAX_CALL, 2 * MAX_CALL] {
        let long = replica_calls(&mut client, GroupAsk::Long(length)).await?;
        same(long.map(drop), Err(Why::TooLarge), "what a Replica gets for a reply that is too long")?;
    }
    same(client.report().await?.open, vec![client.id().clone()], "who is there")?;
    let half = replica_calls(&mut client, GroupAsk::Open("any".into())).await?;
    same(half, Ok(GroupReply::Done), "the next reply")
}

/// Two Groups that call each other without end. The error comes within the deadline of the first call, and on a busy machine it
/// is this deadline.
async fn cycle(stage: Stage) -> Outcome {
    let group = stage.spread("brief", "cycle");
    let (this, next) = (group.other_name("one"), group.other_name("two"));
    let ask = GroupAsk::Pass { group: this.clone(), ask: Box::new(GroupAsk::Cycle { next, this }) };
    let ended = app_calls(&group, ask).await?;
    let why = match ended {
        Ok(GroupReply::Passed(Err(why))) | Err(why) => why,
        other => return Err(ScenarioFailure::new(format!("a cycle returns {other:?}"))),
    };
    ensure(matches!(why, Why::Handler | Why::Deadline | Why::Unreachable), format!("a cycle ends with {why:?}"))
}
