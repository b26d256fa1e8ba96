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
        scenario("alarm_set_by_its_handler_for_now_rings", &[11], set_for_now),
        scenario("alarm_set_or_taken_back_before_a_retry_replaces_it", &[11], replaces_retry),
    ]
}

/// So far off that no disk is slow enough for it to ring while a script runs.
const FAR_OFF: u64 = 3_600_000;

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

/// How long after its time it rings is the machine's affair, as long as somebody who waits hears of it.
fn not_before(ring: &Ring, due: u64) -> Outcome {
    ensure(ring.at >= due, format!("it rang {} ms before its time", due.saturating_sub(ring.at)))
}

/// Not before, once, and then it is not set any more; for its handler it is not either.
async fn at_its_time(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "time");
    for owner in Owner::BOTH {
        same(owner.does_one(&place, Keep::Alarm).await?, Found::Alarm(None), "before it is set")?;
        let set = owner.does(&place, vec![set_alarm(FAR_OFF, &[]), Keep::Alarm]).await?;
        same(time(&set[1])?, time(&set[0])?, "when it is set for")?;
        let due = time(&owner.does_one(&place, Keep::MoveAlarm(400)).await?)?;
        let seen = rung(owner, &place, 1).await?;
        not_before(&seen[0], due)?;
        same(seen[0].next, None, "what its handler is told of the next")?;
        same(owner.does_one(&place, Keep::Alarm).await?, Found::Alarm(None), "after it has rung")?;
        // One in the past rings at once.
        let past = owner.does_one(&place, Keep::MoveAlarm(0)).await?;
        not_before(&rung(owner, &place, 2).await?[1], time(&past)?)?;
    }
    Ok(())
}

/// Only the last one counts, be it later or earlier. The first one may ring before it is replaced, for each step waits
/// for the disk; after that it may not.
async fn set_again(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "again");
    for owner in Owner::BOTH {
        let steps = vec![set_alarm(100, &[]), Keep::MoveAlarm(FAR_OFF), Keep::Alarm, Keep::Rings, Keep::MoveAlarm(600)];
        let mut set = owner.does(&place, steps).await?;
        same(time(&set[2])?, time(&set[1])?, "when it is set for")?;
        let due = time(&set[4])?;
        let before = rings(set.swap_remove(3))?.len();
        let seen = rung(owner, &place, before + 1).await?;
        same(seen.len(), before + 1, "how often it rang")?;
        not_before(&seen[before], due)?;
    }
    Ok(())
}

/// Neither the one that was set first, nor the one in its place, unless it has rung before that.
async fn taken_back(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "back");
    let mut before = Vec::new();
    for owner in Owner::BOTH {
        let steps = vec![
            set_alarm(300, &[]),
            Keep::MoveAlarm(200),
            Keep::DeleteAlarm,
            Keep::Alarm,
            Keep::Rings,
            Keep::DeleteAlarm,
        ];
        let mut found = owner.does(&place, steps).await?;
        same(&found[3], &Found::Alarm(None), "after it was taken back")?;
        before.push((owner, rings(found.swap_remove(4))?));
    }
    pass_time(&stage, "clock", 600).await?;
    for (owner, before) in before {
        let times = before.len();
        same(owner.does_one(&place, Keep::Rings).await?, Found::Rings(before), "rings after it was taken back")?;
        owner.does_one(&place, Keep::MoveAlarm(1)).await?;
        same(rung(owner, &place, times + 1).await?.len(), times + 1, "rings of what was set after that")?;
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
    Owner::Group.does_one(&place, set_alarm(FAR_OFF, &[])).await?;
    for (client, due) in clients.iter_mut().zip(due) {
        same(client.hear().await?, "ring 0", "the alarm")?;
        let seen = rings(first(client.keep(vec![Keep::Rings]).await?)?)?;
        same(seen.len(), 1, "how often it rang")?;
        not_before(&seen[0], due)?;
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
    same(client.keep(vec![Keep::Alarm]).await?, [Found::Alarm(None)], "when it is set for, after that")?;
    same(client.report().await?.open, vec![client.id().clone()], "who is there")
}

/// The object's sockets end with 1011, its siblings go on, what it kept is there in its next life, and it rings there.
async fn panics(stage: Stage) -> Outcome {
    let place = stage.pinned("single", "panics");
    let [mut client, mut sibling] = place.join_each(["client", "sibling"]).await?;
    // It may ring before the disk has it: then the socket ends before there is an answer.
    client.tell(Act::Keep { steps: vec![put("a", "kept"), set_alarm(10, &[Then::Panic, Then::Succeed])] }).await?;
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

/// Each ring sets the next for now: for the very time, perhaps, of the one that rings.
async fn set_for_now(stage: Stage) -> Outcome {
    const TIMES: usize = 100;
    let mut client = stage.pinned("hall", "now").join("client").await?;
    let mut rings = vec![Then::SetAgain(0); TIMES];
    rings.push(Then::Succeed);
    client.keep(vec![set_alarm(10, &rings)]).await?;
    for number in 0..=TIMES {
        same(client.hear().await?, format!("ring {number}"), "the alarm")?;
    }
    Ok(())
}

/// An alarm that has failed, and is to ring again, is one alarm with the one that is set now. It fails three times, so
/// that there are four seconds to replace it in; what rings before that is counted.
async fn replaces_retry(stage: Stage) -> Outcome {
    let place = stage.pinned("single", "retry");
    let [mut moved, mut taken] = place.join_each(["moved", "taken"]).await?;
    let moves = vec![Keep::Rings, Keep::MoveAlarm(5_000)];
    let takes_back = vec![Keep::Rings, Keep::DeleteAlarm, Keep::Alarm];
    let done = futures_util::try_join!(fail_then(&mut moved, moves), fail_then(&mut taken, takes_back));
    let (mut set, mut deleted) = done?;
    let due = time(&set[1])?;
    same(&deleted[2], &Found::Alarm(None), "after it was taken back")?;
    let before = rings(set.swap_remove(0))?.len();
    moved.hear_until(&format!("ring {before}")).await?;
    let seen = rings(first(moved.keep(vec![Keep::Rings]).await?)?)?;
    same(seen.len(), before + 1, "how often it rang")?;
    not_before(&seen[before], due)?;
    let rung = deleted.swap_remove(0);
    same(first(taken.keep(vec![Keep::Rings]).await?)?, rung, "rings after it was taken back")
}

/// Has an alarm fail three times, then does `steps`.
async fn fail_then(client: &mut Client, steps: Vec<Keep>) -> Outcome<Vec<Found>> {
    client.keep(vec![set_alarm(10, &[Then::Fail, Then::Fail, Then::Fail])]).await?;
    for number in 0..3 {
        same(client.hear().await?, format!("ring {number}"), "the alarm")?;
    }
    client.keep(steps).await
}
