//! Alarms: one an object, not before its time, again until it succeeds.

use super::script::{Owner, first, get, put};
use super::{Scenario, scenario};
use crate::app::protocol::{Act, Found, Keep, Ring, Then, waiting};
use crate::check::{Outcome, Trouble, ensure, eventually, same};
use crate::client::Client;
use crate::stage::{Place, Stage};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("alarm_rings_at_its_time", &[11], at_its_time),
        scenario("alarm_set_again_replaces_the_first", &[11], set_again),
        scenario("alarm_taken_back_does_not_ring", &[11], taken_back),
        scenario("alarm_of_each_object_is_its_own", &[11], of_each),
        scenario("alarm_that_fails_rings_again_later", &[11, 14], fails),
        scenario("alarm_that_panics_costs_its_object_and_rings_again", &[11, 14], panics),
        scenario("alarm_set_by_its_handler_rings", &[11], set_in_handler),
        scenario("alarm_set_or_taken_back_before_a_retry_replaces_it", &[11], replaces_retry),
    ]
}

/// How late a ring may be, in milliseconds: a busy machine's turn or two, and less than what would be another reason.
const LATE: u64 = 3_000;

pub(super) fn set_alarm(millis: u64, plan: &[Then]) -> Keep {
    Keep::SetAlarm(millis, plan.to_vec())
}

fn time(found: &Found) -> Outcome<u64> {
    match found {
        Found::Alarm(Some(at)) => Ok(*at),
        other => Err(Trouble::new(format!("no alarm is set: {other:?}"))),
    }
}

fn rings(found: Found) -> Outcome<Vec<Ring>> {
    match found {
        Found::Rings(rings) => Ok(rings),
        other => Err(Trouble::new(format!("rings were asked for, and there came {other:?}"))),
    }
}

/// When the alarm of an object has rung, once it has so many times.
async fn rung(owner: Owner, place: &Place, times: usize) -> Outcome<Vec<Ring>> {
    let mut seen = Vec::new();
    eventually("the alarm rings", async || {
        seen = rings(owner.does_one(place, Keep::Rings).await?)?;
        Ok(seen.len() >= times)
    })
    .await?;
    Ok(seen)
}

/// Lets time pass, by the alarm of an object that has nothing to do with it.
async fn pass_time(stage: &Stage, name: &str, millis: u64) -> Outcome {
    let mut clock = stage.pinned("hall", name).join("clock").await?;
    clock.keep(vec![set_alarm(millis, &[])]).await?;
    same(clock.hear().await?, "ring 0", "the clock")
}

fn in_time(ring: &Ring, due: u64) -> Outcome {
    ensure(ring.at >= due, format!("it rang {} ms before its time", due.saturating_sub(ring.at)))?;
    ensure(ring.at <= due + LATE, format!("it rang {} ms after its time", ring.at - due))
}

/// Not before, once, and then it is not set any more; for its handler it is not either.
async fn at_its_time(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "time");
    for owner in Owner::BOTH {
        same(owner.does_one(&place, Keep::Alarm).await?, Found::Alarm(None), "before it is set")?;
        let set = owner.does(&place, vec![set_alarm(400, &[]), Keep::Alarm]).await?;
        let due = time(&set[0])?;
        same(time(&set[1])?, due, "when it is set for")?;
        let seen = rung(owner, &place, 1).await?;
        in_time(&seen[0], due)?;
        same(seen[0].next, None, "what its handler is told of the next")?;
        same(owner.does_one(&place, Keep::Alarm).await?, Found::Alarm(None), "after it has rung")?;
        // One in the past rings at once.
        let past = owner.does_one(&place, Keep::MoveAlarm(0)).await?;
        in_time(&rung(owner, &place, 2).await?[1], time(&past)?)?;
    }
    Ok(())
}

/// Only the last one counts, be it later or earlier.
async fn set_again(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "again");
    for owner in Owner::BOTH {
        let set = vec![set_alarm(100, &[]), Keep::MoveAlarm(3_600_000), Keep::MoveAlarm(600), Keep::Alarm];
        let set = owner.does(&place, set).await?;
        let due = time(&set[2])?;
        same(time(&set[3])?, due, "when it is set for")?;
        let seen = rung(owner, &place, 1).await?;
        same(seen.len(), 1, "how often it rang")?;
        in_time(&seen[0], due)?;
    }
    Ok(())
}

/// Neither the one that was set first, nor the one in its place.
async fn taken_back(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "back");
    for owner in Owner::BOTH {
        let steps = vec![set_alarm(300, &[]), Keep::MoveAlarm(200), Keep::DeleteAlarm, Keep::Alarm, Keep::DeleteAlarm];
        same(&owner.does(&place, steps).await?[3], &Found::Alarm(None), "after it was taken back")?;
    }
    pass_time(&stage, "clock", 600).await?;
    for owner in Owner::BOTH {
        same(owner.does_one(&place, Keep::Rings).await?, Found::Rings(vec![]), "rings of what was taken back")?;
        owner.does_one(&place, Keep::MoveAlarm(1)).await?;
        same(rung(owner, &place, 1).await?.len(), 1, "rings of what was set after that")?;
    }
    Ok(())
}

/// Replicas of one Group, and the Group itself.
async fn of_each(stage: Stage) -> Outcome {
    let place = stage.pinned("single", "each");
    let mut clients = place.join_each(["a", "b", "c"]).await?;
    let mut due = Vec::new();
    for (client, millis) in clients.iter_mut().zip([600, 300, 450]) {
        due.push(time(&first(client.keep(vec![set_alarm(millis, &[])]).await?)?)?);
    }
    Owner::Group.does_one(&place, set_alarm(3_600_000, &[])).await?;
    for (client, due) in clients.iter_mut().zip(due) {
        same(client.hear().await?, "ring 0", "the alarm")?;
        let seen = rings(first(client.keep(vec![Keep::Rings]).await?)?)?;
        same(seen.len(), 1, "how often it rang")?;
        in_time(&seen[0], due)?;
    }
    same(Owner::Group.does_one(&place, Keep::Rings).await?, Found::Rings(vec![]), "the Group's")?;
    same(Owner::Group.does_one(&place, Keep::DeleteAlarm).await?, Found::Done, "taking it back")
}

async fn gaps(client: &mut Client) -> Outcome<Vec<u64>> {
    let seen = rings(first(client.keep(vec![Keep::Rings]).await?)?)?;
    Ok(seen.windows(2).map(|two| two[1].at - two[0].at).collect())
}

/// After a second, then after two; no socket hears of it; then it is over.
async fn fails(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "fails").join("client").await?;
    client.keep(vec![set_alarm(10, &[Then::Fail, Then::Fail, Then::Succeed])]).await?;
    for number in 0..3 {
        same(client.hear().await?, format!("ring {number}"), "the alarm")?;
    }
    let gaps = gaps(&mut client).await?;
    ensure(gaps[0] >= 1_000 && gaps[1] >= 2_000, format!("the delays before it rang again: {gaps:?}"))?;
    ensure(gaps[0] <= 1_000 + LATE && gaps[1] <= 2_000 + LATE, format!("the delays: {gaps:?}"))?;
    same(client.keep(vec![Keep::Alarm]).await?, [Found::Alarm(None)], "when it is set for, after that")?;
    same(client.report().await?.open, vec![client.id().clone()], "who is there")
}

/// The object's sockets end with 1011, its siblings go on, what it kept is there in its next life, and it rings there.
async fn panics(stage: Stage) -> Outcome {
    let place = stage.pinned("single", "panics");
    let [mut client, mut sibling] = place.join_each(["client", "sibling"]).await?;
    client.keep(vec![put("a", "kept"), set_alarm(10, &[Then::Panic, Then::Succeed])]).await?;
    let ending = client.ended().await?;
    same(ending.code, 1011, "how the sockets of an object end whose alarm panicked")?;
    ensure(!ending.reason.contains("secret"), "the close tells of the inside")?;
    same(client.hear().await?, "ring 0", "what they heard before that")?;
    let mut again = place.join("client").await?;
    same(again.replica(), client.replica(), "where the client comes back to")?;
    eventually("the alarm rings again", async || Ok(gaps(&mut again).await?.len() == 1)).await?;
    ensure(gaps(&mut again).await?[0] >= 1_000, "it rang again at once")?;
    same(&again.keep(vec![get("a"), Keep::Alarm]).await?[1], &Found::Alarm(None), "when it is set for")?;
    sibling.broadcast("on we go").await?;
    same(again.hear_until("on we go").await?.len() <= 1, true, "no more than the alarm before that")
}

/// A handler that sets the alarm anew: it rings again, though its time may come while the handler still runs.
async fn set_in_handler(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "handler").join("client").await?;
    let gate = Then::SetAgainAndPass(0, "gate".into());
    client.keep(vec![set_alarm(10, &[Then::SetAgain(200), gate, Then::Succeed])]).await?;
    for number in 0..2 {
        same(client.hear().await?, format!("ring {number}"), "the alarm")?;
    }
    ensure(gaps(&mut client).await?[0] >= 200, "it rang before its time")?;
    same(client.hear().await?, waiting("gate"), "the handler, when it has set the alarm")?;
    time(&first(client.keep(vec![Keep::Alarm]).await?)?)?;
    pass_time(&stage, "clock", 300).await?;
    client.obey(Act::Open { gate: "gate".into() }).await?;
    same(client.hear().await?, "ring 2", "the alarm whose time came while its handler ran")?;
    pass_time(&stage, "later", 300).await?;
    same(gaps(&mut client).await?.len(), 2, "rings after the first")?;
    same(client.keep(vec![Keep::Alarm]).await?, [Found::Alarm(None)], "when it is set for, after that")
}

/// An alarm that has failed, and is to ring again, is one alarm with the one that is set now.
async fn replaces_retry(stage: Stage) -> Outcome {
    let place = stage.pinned("single", "retry");
    let [mut moved, mut taken] = place.join_each(["moved", "taken"]).await?;
    for client in [&mut moved, &mut taken] {
        client.keep(vec![set_alarm(10, &[Then::Fail])]).await?;
        same(client.hear().await?, "ring 0", "the alarm")?;
    }
    let due = time(&first(moved.keep(vec![Keep::MoveAlarm(2_000)]).await?)?)?;
    same(&taken.keep(vec![Keep::DeleteAlarm, Keep::Alarm]).await?[1], &Found::Alarm(None), "after it was taken back")?;
    same(moved.hear().await?, "ring 1", "the alarm in its new place")?;
    let seen = rings(first(moved.keep(vec![Keep::Rings]).await?)?)?;
    same(seen.len(), 2, "how often it rang")?;
    in_time(&seen[1], due)?;
    same(gaps(&mut taken).await?.len(), 0, "rings after the one that failed")
}
