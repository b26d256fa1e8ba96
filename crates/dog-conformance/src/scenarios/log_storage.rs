//! Promise 11 for the records of logs, which have a key space of their own. The names of their keys are those of the engine: a
//! topic, a zero byte and eight more bytes.

use dog::internal::MAX_LOG_RECORD;

use super::restarts::kill_the_group;
use super::scenario::{Scenario, scenario};
use super::script::{NO_TEXT, Owner, get, put, text};
use crate::app::protocol::{Found, StorageStep};
use crate::check::{Outcome, ensure, same};
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("log_records_are_written_with_entries_and_alarms_or_not_at_all", &[11], as_one),
        scenario("log_records_are_read_by_topic_in_the_order_of_their_keys", &[11], ranges),
        scenario("log_records_outlive_delete_all", &[11], delete_all),
        scenario("log_records_of_the_largest_size_are_stored", &[11], largest),
        scenario("log_records_outlive_their_group", &[11], crash).needing(&[Capability::GroupRestart]),
    ]
}

fn write(key: &str, length: usize) -> StorageStep {
    StorageStep::WriteRecord(key.into(), Some(length))
}

fn erase(key: &str) -> StorageStep {
    StorageStep::WriteRecord(key.into(), None)
}

fn read(from: &str, until: &str, most: usize, reverse: bool) -> StorageStep {
    StorageStep::Records { from: from.into(), until: until.into(), most, reverse }
}

/// The records of the topic `t`.
fn of_topic() -> StorageStep {
    read("t\0", "t\0~", 100, false)
}

fn records(records: &[(&str, usize)]) -> Found {
    Found::Records(records.iter().map(|(key, length)| ((*key).into(), *length)).collect())
}

fn in_transaction(steps: Vec<StorageStep>) -> StorageStep {
    StorageStep::Transaction(steps)
}

const HOUR: u64 = 3_600_000;

/// A transaction that fails writes neither; one that is made writes all three.
async fn as_one(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "log");
    for owner in Owner::BOTH {
        let alarm = StorageStep::SetNamed("outbox".into(), HOUR, vec![]);
        let mut steps = vec![put("a", "1"), alarm, write("t\x0000000001", 7), write("t\x0000000002", 0)];
        let looked = vec![get("a"), StorageStep::Named("outbox".into()), of_topic()];
        steps.push(StorageStep::Fail);
        same(owner.does_one(&group, in_transaction(steps.clone())).await?, Found::Failed(1), "one that fails")?;
        let nothing = vec![NO_TEXT, Found::Alarm(None), records(&[])];
        same(owner.does(&group, looked.clone()).await?, nothing, "what it leaves")?;
        steps.pop();
        let made = owner.does_one(&group, in_transaction(steps)).await?;
        ensure(matches!(made, Found::Made(1, _)), format!("a transaction was answered with {made:?}"))?;
        let found = owner.does(&group, looked).await?;
        ensure(matches!(found[1], Found::Alarm(Some(_))), "there is no alarm")?;
        let wanted = (&text("1"), &records(&[("t\x0000000001", 7), ("t\x0000000002", 0)]));
        same((&found[0], &found[2]), wanted, "what is there")?;
        // A log grows and expires in one batch.
        let steps = vec![erase("t\x0000000001"), erase("t\x0000000009"), write("t\x0000000003", 300)];
        let found = owner.does(&group, vec![in_transaction(steps), of_topic()]).await?;
        same(&found[1], &records(&[("t\x0000000002", 0), ("t\x0000000003", 300)]), "after that")?;
        let taken_back = StorageStep::DeleteNamed("outbox".into());
        same(owner.does_one(&group, taken_back).await?, Found::Done, "taking the alarm back")?;
    }
    Ok(())
}

/// No topic sees the records of another one, also of one whose name begins alike.
async fn ranges(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "ranges");
    let topics = ["", "t", "tt", "t/1", "größe"];
    for owner in Owner::BOTH {
        let keys =
            |topic: &str| ["00000001", "00000002", "00000010", "00000300"].map(|offset| format!("{topic}\0{offset}"));
        let steps = topics.iter().flat_map(|topic| keys(topic)).rev().zip(1..).map(|(key, length)| write(&key, length));
        owner.does_one(&group, in_transaction(steps.collect())).await?;
        let mut all = Vec::new();
        for (index, topic) in topics.iter().enumerate() {
            let keys = keys(topic);
            let length = |at: usize| 4 * (topics.len() - index) - at;
            let wanted = |at: &[usize]| Found::Records(at.iter().map(|at| (keys[*at].clone(), length(*at))).collect());
            let (first, end) = (format!("{topic}\0"), format!("{topic}\0~"));
            let (steps, found): (Vec<_>, Vec<_>) = [
                (read(&first, &end, 100, false), wanted(&[0, 1, 2, 3])),
                (read(&first, &end, 2, false), wanted(&[0, 1])),
                (read(&first, &end, 3, true), wanted(&[3, 2, 1])),
                (read(&keys[1], &keys[3], 100, false), wanted(&[1, 2])),
                (read(&format!("{topic}\x0000000003"), &end, 1, false), wanted(&[2])),
                (read(&first, &format!("{topic}\x0000000009"), 1, true), wanted(&[1])),
                (read(&end, &first, 100, false), wanted(&[])),
                (read(&first, &end, 0, false), wanted(&[])),
            ]
            .into_iter()
            .unzip();
            same(owner.does(&group, steps).await?, found, &format!("the records of {topic:?}"))?;
            all.extend(keys.iter().enumerate().map(|(at, key)| (key.clone(), length(at))));
        }
        all.sort_unstable();
        same(owner.does_one(&group, read("", "\u{10ffff}", 100, false)).await?, Found::Records(all), "all records")?;
    }
    Ok(())
}

/// Deleting all entries leaves the log, and a transaction may follow at once.
async fn delete_all(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "clear");
    for owner in Owner::BOTH {
        let steps = vec![
            in_transaction(vec![put("a", "1"), write("t\x0000000001", 9)]),
            StorageStep::DeleteAll,
            get("a"),
            of_topic(),
            in_transaction(vec![put("a", "2"), write("t\x0000000002", 8)]),
            get("a"),
            of_topic(),
        ];
        let found = owner.does(&group, steps).await?;
        same(&found[2..4], [NO_TEXT, records(&[("t\x0000000001", 9)])], "after the deletion")?;
        let both = records(&[("t\x0000000001", 9), ("t\x0000000002", 8)]);
        same(&found[5..], [text("2"), both], "after the next transaction")?;
    }
    Ok(())
}

async fn largest(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "largest");
    // The longest topic, in four bytes a character.
    let key = format!("{}\x0000000001", "🐕".repeat(64));
    for owner in Owner::BOTH {
        let steps = vec![
            in_transaction(vec![put("a", "1"), write(&key, MAX_LOG_RECORD)]),
            read(&key, "\u{10ffff}", 1, false),
            in_transaction(vec![erase(&key)]),
            read(&key, "\u{10ffff}", 1, false),
        ];
        let found = owner.does(&group, steps).await?;
        same(&found[1], &records(&[(&key, MAX_LOG_RECORD)]), "the largest record")?;
        same(&found[3], &records(&[]), "after it was deleted")?;
    }
    Ok(())
}

/// What was acknowledged is there in the next life, with the entry that was written with it.
async fn crash(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "crash");
    for number in 1..=3 {
        let (key, count) = (format!("t\x000000000{number}"), number.to_string());
        Owner::Group.does_one(&group, in_transaction(vec![put("count", &count), write(&key, number)])).await?;
        kill_the_group(&group).await?;
        let found = Owner::Group.does(&group, vec![get("count"), of_topic()]).await?;
        let all: Vec<_> = (1..=number).map(|number| (format!("t\x000000000{number}"), number)).collect();
        same(found, [text(&count), Found::Records(all)], "what the next life reads")?;
    }
    Ok(())
}
