//! Promise 21: a task ends with its object's life, and until then it keeps its object in memory. Timers keep their times.

use dog::http::StatusCode;

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, TaskAct, Told, Whom, Why, ticked, waiting};
use crate::check::{Outcome, ScenarioFailure, ensure, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("task_runs_beside_the_handlers", &[21], beside),
        scenario("task_ends_with_its_life", &[10, 21], ends),
        scenario("task_that_panics_costs_its_object", &[14, 21], panics),
        scenario("task_keeps_its_object_awake", &[13, 21], awake).needing(&[Capability::Hibernation]),
        scenario("tasks_of_an_object_have_a_limit", &[12, 21], limit),
        scenario("interval_skips_ticks_that_are_late", &[21], skips),
        scenario("timeout_ends_what_is_late", &[21], late),
        scenario("group_has_tasks_and_timers", &[21], of_group),
    ]
}

fn task(task: TaskAct) -> Act {
    Act::Task { task }
}

async fn ticks(client: &mut Client, name: &str) -> Outcome<u64> {
    match client.ask(task(TaskAct::Ticks { name: name.into() })).await? {
        Told::Number { value } => Ok(value),
        other => Err(ScenarioFailure::new(format!("expected a number of ticks, got {other:?}"))),
    }
}

/// Lets the object of `client` tick. Returns when it has ticked ten times.
async fn tick(client: &mut Client, name: &str) -> Outcome {
    client.obey(task(TaskAct::Tick { name: name.into(), millis: 10 })).await?;
    for _ in 0..10 {
        client.hear_until(&ticked(name)).await?;
    }
    Ok(())
}

/// Ends the life of the client's object, and with it tasks that would make the host wait at its end.
async fn end_life(mut client: Client) -> Outcome {
    client.tell(Act::Panic { text: "the end".into() }).await?;
    same(client.ended().await?.code, 1011, "how the sockets of a Replica end that panicked")
}

/// A task with an interval goes on while handlers run, and its output reaches who awaits it.
async fn beside(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "beside");
    let mut client = group.join("client").await?;
    let name = group.name();
    tick(&mut client, &name).await?;
    let before = ticks(&mut client, &name).await?;
    ensure(before >= 10, format!("{before} ticks are counted after ten were heard"))?;
    eventually("it goes on", async || Ok(ticks(&mut client, &name).await? > before)).await?;
    let returned = client.ask(task(TaskAct::Return { value: 7 })).await?;
    same(returned, Told::Number { value: 7 }, "what a task has returned")?;
    end_life(client).await
}

/// After a panic of a handler the task of that life does not run any more. The next life has a clock of its own to wait by.
async fn ends(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "ends");
    let (name, clock) = (group.name(), format!("{} clock", group.name()));
    let mut client = group.join("client").await?;
    tick(&mut client, &name).await?;
    end_life(client).await?;
    let mut heir = group.join("heir").await?;
    let before = ticks(&mut heir, &name).await?;
    ensure(before >= 10, format!("{before} ticks are counted after ten were heard"))?;
    tick(&mut heir, &clock).await?;
    same(ticks(&mut heir, &name).await?, before, "ticks of a task whose life has ended")?;
    end_life(heir).await
}

/// The sockets of its Replica end with 1011, its siblings go on, and a new life begins with the next request.
async fn panics(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "panics");
    let [mut client, mut sibling] = group.join_each(["client", "sibling"]).await?;
    client.tell(task(TaskAct::Panic { text: "the secret of the task".into() })).await?;
    let ending = client.ended().await?;
    same(ending.code, 1011, "how the sockets of a Replica end whose task panicked")?;
    ensure(!ending.reason.contains("secret"), "the close tells of the inside")?;
    same(sibling.confirmed("on we go", Whom::Everyone).await?.0, 1, "whom a broadcast reaches")?;
    let mut again = group.join("client").await?;
    same(again.replica(), client.replica(), "where the client comes back to")?;
    same(again.report().await?.open, vec![again.id().clone()], "who is there in the new life")
}

/// While the task waits, the fields of its Replica stay, between events and after them. Then it hibernates like others.
async fn awake(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "awake").join("client").await?;
    client.obey(task(TaskAct::Wait { gate: "gate".into() })).await?;
    client.hear_until(&waiting("gate")).await?;
    client.ask(Act::SwapField { value: 1 }).await?;
    for number in 1..5 {
        let field = client.ask(Act::SwapField { value: number + 1 }).await?;
        same(field, Told::Field { value: number }, "what the value has kept")?;
    }
    client.obey(Act::Open { gate: "gate".into() }).await?;
    eventually("a field is lost", async || {
        Ok(client.ask(Act::SwapField { value: 1 }).await? == Told::Field { value: 0 })
    })
    .await
}

/// The error comes before anything runs. Tasks that have ended make room for others.
async fn limit(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "limit").join("client").await?;
    let most = dog::MAX_TASKS as u64;
    for _ in 0..2 {
        let filled = client.ask(task(TaskAct::Fill)).await?;
        same(filled, Told::Filled { tasks: most, why: Why::TooMany, aborted: most }, "how many tasks there can be")?;
    }
    client.obey(task(TaskAct::Wait { gate: "gate".into() })).await?;
    let filled = client.ask(task(TaskAct::Fill)).await?;
    let less = most - 1;
    same(filled, Told::Filled { tasks: less, why: Why::TooMany, aborted: less }, "how many there can be beside one")
}

/// Ticks that nobody awaits are skipped and counted. No tick comes before its time, and none is made up for.
async fn skips(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "skips").join("client").await?;
    let (period, pause) = (20, 90);
    match client.ask(task(TaskAct::Skip { period, pause })).await? {
        Told::Skipped { ticks, millis } => {
            // The pause begins after 20 ms and ends after 110 ms: the ticks due at 40, 60 and 80 ms are late by a period.
            ensure(ticks[0] >= 3, format!("{} ticks were skipped in {pause} ms", ticks[0]))?;
            let due = (3 + ticks.iter().sum::<u64>()) * period;
            ensure(millis + 1 >= due, format!("the third tick was due after {due} ms and came after {millis} ms"))
        }
        other => Err(ScenarioFailure::new(format!("expected ticks, got {other:?}"))),
    }
}

/// What does not end in time fails with a deadline. What ends in time does not.
async fn late(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "late").join("client").await?;
    let timeout = |gate: &str, millis| task(TaskAct::Timeout { gate: gate.into(), millis });
    same(client.ask(timeout("never", 20)).await?, Told::Refused { why: Why::Deadline }, "what is late")?;
    let [mut first, mut second] = stage.pinned("hall", "in-time").join_each(["first", "second"]).await?;
    let command = first.tell(timeout("gate", 60_000)).await?;
    // A Replica that hibernates forgets which gates are open, so the gate must not open before it is waited for.
    same(second.hear().await?, waiting("gate"), "the handler")?;
    second.obey(Act::Open { gate: "gate".into() }).await?;
    same(first.reply(command).await?.told, Told::Done, "what ends in time")
}

/// The same for the Group itself.
async fn of_group(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "group");
    let response = group.request("GET", &format!("{}&do=sleep", group.path("group", "x")), "").await?;
    same(response.status(), StatusCode::OK, "the status")?;
    same(response.body().as_ref(), &b"slept: true, deadline: true"[..], "what its timers did")
}
