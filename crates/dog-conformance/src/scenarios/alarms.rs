//! Alarms: one per name, not before their time, in order, and again until the handler succeeds.

use super::scenario::{Scenario, scenario};
use super::script::{Owner, first, get, put};
use crate::app::protocol::{Act, AlarmAction, Found, Range, Ring, StorageStep, Why, waiting};
use crate::check::{Outcome, ScenarioFailure, ensure, eventually, same};
use crate::client::Client;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("alarm_rings_at_its_time", &[11], at_its_time),
        scenario("alarm_set_again_replaces_the_first", &[11], set_again),
        scenario("alarm_that_was_deleted_does_not_ring", &[11], taken_back),
        scenario("alarms_of_objects_are_separate", &[11], of_each),
        scenario("alarm_that_fails_rings_again_later", &[11, 14], fails),
        scenario("alarm_that_panics_costs_its_object_and_rings_again", &[11, 14], panics),
        scenario("alarm_set_by_its_handler_rings", &[11], set_in_handler),
        scenario("alarm_set_by_its_handler_for_now_rings", &[11], set_for_now),
        scenario("alarm_set_or_deleted_before_a_retry_replaces_it", &[11], replaces_retry),
        scenario("alarms_of_one_object_begin_in_the_order_of_their_times", &[11, 21], in_order),
        scenario("alarm_that_fails_or_hangs_delays_no_other", &[11, 21], delays_no_other),
        scenario("alarm_in_a_transaction_is_set_with_its_entries_or_not_at_all", &[11, 21], in_transaction),
        scenario("alarms_outlive_the_life_that_has_set_them", &[11, 21], outlives),
        scenario("alarms_have_limits", &[11, 12], limits),
    ]
}

/// Far enough in the future that it does not ring while a script runs, on any disk.
const FAR_OFF: u64 = 3_600_000;

pub(super) fn set_alarm(millis: u64, plan: &[AlarmAction]) -> StorageStep {
    StorageStep::SetAlarm(millis, plan.to_vec())
}

fn time(found: &Found) -> Outcome<u64> {
    match found {
        Found::Alarm(Some(at)) => Ok(*at),
        other => Err(ScenarioFailure::new(format!("expected an alarm, got {other:?}"))),
    }
}

fn rings(found: Found) -> Outcome<Vec<Ring>> {
    match found {
        Found::Rings(rings) => Ok(rings),
        other => Err(ScenarioFailure::new(format!("expected the times of rings, got {other:?}"))),
    }
}

/// The times at which the alarm of an object has rung, once it has rung this often.
async fn rung(owner: Owner, group: &TestGroup, times: usize) -> Outcome<Vec<Ring>> {
    let mut seen = Vec::new();
    eventually("the alarm rings", async || {
        seen = rings(owner.does_one(group, StorageStep::Rings).await?)?;
        Ok(seen.len() >= times)
    })
    .await?;
    Ok(seen)
}

/// Waits, by the alarm of another object.
async fn pass_time(stage: &Stage, name: &str, millis: u64) -> Outcome {
    let mut clock = stage.pinned("hall", name).join("clock").await?;
    clock.keep(vec![set_alarm(millis, &[])]).await?;
    same(clock.hear().await?, "ring 0", "the clock")
}

/// An alarm may be late on a busy machine, so only the order is checked.
fn not_before(ring: &Ring, due: u64) -> Outcome {
    ensure(ring.at >= due, format!("it rang {} ms before its time", due.saturating_sub(ring.at)))
}

/// An alarm rings once and not before its time. It is not set any more then, neither for its handler.
async fn at_its_time(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "time");
    for owner in Owner::BOTH {
        same(owner.does_one(&group, StorageStep::Alarm).await?, Found::Alarm(None), "before it is set")?;
        let set = owner.does(&group, vec![set_alarm(FAR_OFF, &[]), StorageStep::Alarm]).await?;
        same(time(&set[1])?, time(&set[0])?, "when it is set for")?;
        let due = time(&owner.does_one(&group, StorageStep::MoveAlarm(400)).await?)?;
        let seen = rung(owner, &group, 1).await?;
        not_before(&seen[0], due)?;
        same(seen[0].next, None, "what its handler is told of the next")?;
        same(owner.does_one(&group, StorageStep::Alarm).await?, Found::Alarm(None), "after it has rung")?;
        // An alarm in the past rings at once.
        let past = owner.does_one(&group, StorageStep::MoveAlarm(0)).await?;
        not_before(&rung(owner, &group, 2).await?[1], time(&past)?)?;
    }
    Ok(())
}

/// Only the last alarm counts, whether it is later or earlier. The first one may ring before it is replaced, because each
/// step waits for the disk, but not afterwards.
async fn set_again(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "again");
    for owner in Owner::BOTH {
        let steps = vec![
            set_alarm(100, &[]),
            StorageStep::MoveAlarm(FAR_OFF),
            StorageStep::Alarm,
            StorageStep::Rings,
            StorageStep::MoveAlarm(600),
        ];
        let mut set = owner.does(&group, steps).await?;
        same(time(&set[2])?, time(&set[1])?, "when it is set for")?;
        let due = time(&set[4])?;
        let before = rings(set.swap_remove(3))?.len();
        let seen = rung(owner, &group, before + 1).await?;
        same(seen.len(), before + 1, "how often it rang")?;
        not_before(&seen[before], due)?;
    }
    Ok(())
}

/// Neither the first alarm nor its replacement rings, unless it has rung before it is deleted.
async fn taken_back(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "back");
    let mut before = Vec::new();
    for owner in Owner::BOTH {
        let steps = vec![
            set_alarm(300, &[]),
            StorageStep::MoveAlarm(200),
            StorageStep::DeleteAlarm,
            StorageStep::Alarm,
            StorageStep::Rings,
            StorageStep::DeleteAlarm,
        ];
        let mut found = owner.does(&group, steps).await?;
        same(&found[3], &Found::Alarm(None), "after it was taken back")?;
        before.push((owner, rings(found.swap_remove(4))?));
    }
    pass_time(&stage, "clock", 600).await?;
    for (owner, before) in before {
        let times = before.len();
        same(owner.does_one(&group, StorageStep::Rings).await?, Found::Rings(before), "rings after it was taken back")?;
        owner.does_one(&group, StorageStep::MoveAlarm(1)).await?;
        same(rung(owner, &group, times + 1).await?.len(), times + 1, "rings of what was set after that")?;
    }
    Ok(())
}

/// Replicas of one Group and the Group itself have separate alarms.
async fn of_each(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "each");
    let mut clients = group.join_each(["a", "b", "c"]).await?;
    let mut due = Vec::new();
    for (client, millis) in clients.iter_mut().zip([600, 300, 450]) {
        due.push(time(&first(client.keep(vec![set_alarm(millis, &[])]).await?)?)?);
    }
    Owner::Group.does_one(&group, set_alarm(FAR_OFF, &[])).await?;
    for (client, due) in clients.iter_mut().zip(due) {
        same(client.hear().await?, "ring 0", "the alarm")?;
        let seen = rings(first(client.keep(vec![StorageStep::Rings]).await?)?)?;
        same(seen.len(), 1, "how often it rang")?;
        not_before(&seen[0], due)?;
    }
    same(Owner::Group.does_one(&group, StorageStep::Rings).await?, Found::Rings(vec![]), "the Group's")?;
    same(Owner::Group.does_one(&group, StorageStep::DeleteAlarm).await?, Found::Done, "taking it back")
}

async fn gaps(client: &mut Client) -> Outcome<Vec<u64>> {
    let seen = rings(first(client.keep(vec![StorageStep::Rings]).await?)?)?;
    Ok(seen.windows(2).map(|two| two[1].at - two[0].at).collect())
}

/// It rings again after 1 s and after 2 s. No socket is closed. Then it succeeds.
async fn fails(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "fails").join("client").await?;
    client.keep(vec![set_alarm(10, &[AlarmAction::Fail, AlarmAction::Fail, AlarmAction::Succeed])]).await?;
    for number in 0..3 {
        same(client.hear().await?, format!("ring {number}"), "the alarm")?;
    }
    let gaps = gaps(&mut client).await?;
    ensure(gaps[0] >= 1_000 && gaps[1] >= 2_000, format!("the delays before it rang again: {gaps:?}"))?;
    same(client.keep(vec![StorageStep::Alarm]).await?, [Found::Alarm(None)], "when it is set for, after that")?;
    same(client.report().await?.open, vec![client.id().clone()], "who is there")
}

/// The object's sockets end with 1011, and its siblings go on. What it has stored is there in its next life, where the alarm
/// rings again.
async fn panics(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "panics");
    let [mut client, mut sibling] = group.join_each(["client", "sibling"]).await?;
    // The alarm may ring before the write is acknowledged. Then the socket ends before there is a reply.
    client
        .tell(Act::Storage {
            steps: vec![put("a", "kept"), set_alarm(10, &[AlarmAction::Panic, AlarmAction::Succeed])],
        })
        .await?;
    let ending = client.ended().await?;
    same(ending.code, 1011, "how the sockets of an object end whose alarm panicked")?;
    ensure(!ending.reason.contains("secret"), "the close tells of the inside")?;
    same(client.hear().await?, "ring 0", "what they heard before that")?;
    let mut again = group.join("client").await?;
    same(again.replica(), client.replica(), "where the client comes back to")?;
    eventually("the alarm rings again", async || Ok(gaps(&mut again).await?.len() == 1)).await?;
    ensure(gaps(&mut again).await?[0] >= 1_000, "it rang again at once")?;
    same(&again.keep(vec![get("a"), StorageStep::Alarm]).await?[1], &Found::Alarm(None), "when it is set for")?;
    sibling.broadcast("on we go").await?;
    same(again.hear_until("on we go").await?.len() <= 1, true, "no more than the alarm before that")
}

/// A handler sets the alarm again. It rings again, even if its time comes while the handler still runs.
async fn set_in_handler(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "handler").join("client").await?;
    let gate = AlarmAction::SetAgainAndPass(0, "gate".into());
    client.keep(vec![set_alarm(10, &[AlarmAction::SetAgain(200), gate, AlarmAction::Succeed])]).await?;
    for number in 0..2 {
        same(client.hear().await?, format!("ring {number}"), "the alarm")?;
    }
    ensure(gaps(&mut client).await?[0] >= 200, "it rang before its time")?;
    same(client.hear().await?, waiting("gate"), "the handler, when it has set the alarm")?;
    time(&first(client.keep(vec![StorageStep::Alarm]).await?)?)?;
    pass_time(&stage, "clock", 300).await?;
    client.obey(Act::Open { gate: "gate".into() }).await?;
    same(client.hear().await?, "ring 2", "the alarm whose time came while its handler ran")?;
    pass_time(&stage, "later", 300).await?;
    same(gaps(&mut client).await?.len(), 2, "rings after the first")?;
    same(client.keep(vec![StorageStep::Alarm]).await?, [Found::Alarm(None)], "when it is set for, after that")
}

/// Each handler sets the next alarm to now, which may be the time of the alarm that rings.
async fn set_for_now(stage: Stage) -> Outcome {
    const TIMES: usize = 100;
    let mut client = stage.pinned("hall", "now").join("client").await?;
    let mut rings = vec![AlarmAction::SetAgain(0); TIMES];
    rings.push(AlarmAction::Succeed);
    client.keep(vec![set_alarm(10, &rings)]).await?;
    for number in 0..=TIMES {
        same(client.hear().await?, format!("ring {number}"), "the alarm")?;
    }
    Ok(())
}

/// Setting an alarm replaces the retry of an alarm that has failed. It fails three times, so that there are 4 s to replace it.
/// Rings before that are counted.
async fn replaces_retry(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "retry");
    let [mut moved, mut taken] = group.join_each(["moved", "taken"]).await?;
    let moves = vec![StorageStep::Rings, StorageStep::MoveAlarm(5_000)];
    let takes_back = vec![StorageStep::Rings, StorageStep::DeleteAlarm, StorageStep::Alarm];
    let done = futures_util::try_join!(fail_then(&mut moved, moves), fail_then(&mut taken, takes_back));
    let (mut set, mut deleted) = done?;
    let due = time(&set[1])?;
    same(&deleted[2], &Found::Alarm(None), "after it was taken back")?;
    let before = rings(set.swap_remove(0))?.len();
    moved.hear_until(&format!("ring {before}")).await?;
    let seen = rings(first(moved.keep(vec![StorageStep::Rings]).await?)?)?;
    same(seen.len(), before + 1, "how often it rang")?;
    not_before(&seen[before], due)?;
    let rung = deleted.swap_remove(0);
    same(first(taken.keep(vec![StorageStep::Rings]).await?)?, rung, "rings after it was taken back")
}

/// Lets an alarm fail three times, then runs `steps`.
async fn fail_then(client: &mut Client, steps: Vec<StorageStep>) -> Outcome<Vec<Found>> {
    client.keep(vec![set_alarm(10, &[AlarmAction::Fail, AlarmAction::Fail, AlarmAction::Fail])]).await?;
    for number in 0..3 {
        same(client.hear().await?, format!("ring {number}"), "the alarm")?;
    }
    client.keep(steps).await
}

fn named(name: &str, millis: u64, plan: &[AlarmAction]) -> StorageStep {
    StorageStep::SetNamed(name.into(), millis, plan.to_vec())
}

fn all_names() -> StorageStep {
    StorageStep::Alarms(Range::default())
}

/// A transaction sets them, so that none is due before all are set.
async fn set_together(client: &mut Client, steps: Vec<StorageStep>) -> Outcome {
    match first(client.keep(vec![StorageStep::Transaction(steps)]).await?)? {
        Found::Made(..) => Ok(()),
        other => Err(ScenarioFailure::new(format!("expected a transaction, got {other:?}"))),
    }
}

/// Each has its name and its own payload. Each is set for itself: one that is set again or deleted leaves the others.
async fn in_order(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "order").join("client").await?;
    let twice = [AlarmAction::SetAgain(0), AlarmAction::Succeed];
    let steps = vec![
        named("late", 130, &[]),
        named("first", 0, &[]),
        named("deleted", 90, &[]),
        named("third", 100, &twice),
        named("second", 500, &[]),
        named("second", 60, &[]),
        StorageStep::DeleteNamed("deleted".into()),
        named("far", FAR_OFF, &[]),
    ];
    set_together(&mut client, steps).await?;
    for name in ["first", "second", "third"] {
        same(client.hear().await?, format!("{name} 1"), "the next alarm")?;
    }
    let mut last = [client.hear().await?, client.hear().await?];
    last.sort();
    same(
        last,
        ["late 1", "third 1"].map(str::to_owned),
        "the last alarms, one of which its own handler has set again",
    )?;
    eventually("their handlers end", async || {
        Ok(client.keep(vec![all_names()]).await? == [Found::Names(vec!["far".into()])])
    })
    .await?;
    same(client.keep(vec![StorageStep::DeleteNamed("far".into())]).await?, [Found::Done], "taking it back")
}

/// While one fails again and again and another never ends, a third rings at its time.
async fn delays_no_other(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "delays").join("client").await?;
    let steps = vec![
        named("fails", 0, &[AlarmAction::Fail, AlarmAction::Succeed]),
        named("hangs", 10, &[AlarmAction::Pass("gate".into())]),
        named("other", 20, &[]),
        named("at rest", FAR_OFF, &[]),
    ];
    set_together(&mut client, steps).await?;
    let mut heard = vec![client.hear().await?];
    same(&heard[0], "fails 1", "the first alarm")?;
    while heard.len() < 4 {
        heard.push(client.hear().await?);
    }
    heard.sort();
    let expected = ["fails 1", "hangs 1", "other 1", &waiting("gate")].map(str::to_owned);
    let mut expected = expected.to_vec();
    expected.sort();
    same(heard, expected, "what rings before one is tried again")?;
    same(client.hear().await?, "fails 2", "the alarm that failed")?;
    let set = client.keep(vec![StorageStep::Named("hangs".into()), StorageStep::Named("at rest".into())]).await?;
    same(&set[0], &Found::Alarm(None), "when an alarm is set for whose handler runs")?;
    time(&set[1])?;
    client.obey(Act::Open { gate: "gate".into() }).await?;
    eventually("the handlers end", async || {
        Ok(client.keep(vec![all_names()]).await? == [Found::Names(vec!["at rest".into()])])
    })
    .await?;
    same(client.keep(vec![StorageStep::DeleteNamed("at rest".into())]).await?, [Found::Done], "taking it back")
}

/// A transaction that fails sets and deletes no alarm. It sees what it has set and deleted itself.
async fn in_transaction(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "transaction");
    let read = |name: &str| StorageStep::Named(name.into());
    for owner in Owner::BOTH {
        owner.does_one(&group, named("kept", FAR_OFF, &[])).await?;
        let failing = vec![
            put("a", "1"),
            named("new", FAR_OFF, &[]),
            StorageStep::DeleteNamed("kept".into()),
            read("new"),
            read("kept"),
            StorageStep::Fail,
        ];
        let failed = owner.does_one(&group, StorageStep::Transaction(failing)).await?;
        same(failed, Found::Failed(1), "a transaction that was told to fail")?;
        let after = owner.does(&group, vec![get("a"), all_names()]).await?;
        same(after, vec![Found::Text(None), Found::Names(vec!["kept".into()])], "after it has failed")?;
        let steps = vec![
            put("a", "1"),
            named("new", FAR_OFF, &[]),
            StorageStep::DeleteNamed("kept".into()),
            read("kept"),
            read("new"),
        ];
        match owner.does_one(&group, StorageStep::Transaction(steps)).await? {
            Found::Made(_, found) => {
                same(&found[3], &Found::Alarm(None), "what it sees of the one that it deletes")?;
                same(&found[4], &found[1], "what it sees of the one that it sets")?;
            }
            other => return Err(ScenarioFailure::new(format!("expected a transaction, got {other:?}"))),
        }
        let after = owner.does(&group, vec![get("a"), all_names(), StorageStep::DeleteAll, all_names()]).await?;
        let names = Found::Names(vec!["new".into()]);
        let expected = vec![Found::Text(Some("1".into())), names.clone(), Found::Done, names];
        same(after, expected, "after a transaction, and after all entries were deleted")?;
        owner.does_one(&group, StorageStep::DeleteNamed("new".into())).await?;
    }
    Ok(())
}

/// A life that panics leaves its alarms to the next one, which lists and rings them. The one that panicked is tried again.
async fn outlives(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "outlives");
    let mut client = group.join("client").await?;
    let steps = vec![named("b", FAR_OFF, &[]), named("a", FAR_OFF, &[]), named("soon", 0, &[AlarmAction::Panic])];
    // The life ends before there is a reply.
    client.tell(Act::Storage { steps: vec![StorageStep::Transaction(steps)] }).await?;
    same(client.ended().await?.code, 1011, "how the sockets of an object end whose alarm panicked")?;
    let mut again = group.join("client").await?;
    let by_name = |range: Range| StorageStep::Alarms(range);
    eventually("the alarm is tried again", async || {
        Ok(again.keep(vec![all_names()]).await? == [Found::Names(vec!["a".into(), "b".into()])])
    })
    .await?;
    let last = Range { reverse: true, limit: Some(1), ..Range::default() };
    let from_b = Range { start: Some("b".into()), ..Range::default() };
    let found = again.keep(vec![by_name(last), by_name(from_b), named("b", 0, &[])]).await?;
    same(&found[..2], &[Found::Names(vec!["b".into()]), Found::Names(vec!["b".into()])], "ranges of names")?;
    same(again.hear_until("b 1").await?.len() <= 1, true, "at most the alarm that was tried again before that")?;
    same(again.keep(vec![StorageStep::DeleteNamed("a".into())]).await?, [Found::Done], "taking it back")
}

/// A name has 1 to 256 bytes, a payload at most 16 KiB. What is refused sets nothing.
async fn limits(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "limits");
    for owner in Owner::BOTH {
        let cases = [(0, 10, Why::InvalidName), (257, 10, Why::InvalidName), (1, 16 * 1024 + 1, Why::TooLarge)];
        for (name, payload, why) in cases {
            match owner.does_one(&group, StorageStep::SetSized(name, payload)).await? {
                Found::Refused(found, _) => same(found, why, "why it is refused")?,
                other => return Err(ScenarioFailure::new(format!("an alarm over the limit was set: {other:?}"))),
            }
        }
        same(owner.does_one(&group, StorageStep::SetSized(256, 16 * 1024)).await?, Found::Done, "the largest")?;
        let longest = "n".repeat(256);
        let steps = vec![all_names(), StorageStep::DeleteNamed(longest.clone()), all_names()];
        let found = owner.does(&group, steps).await?;
        let expected = vec![Found::Names(vec![longest]), Found::Done, Found::Names(vec![])];
        same(found, expected, "the alarms that are set, before and after the last is deleted")?;
    }
    Ok(())
}
