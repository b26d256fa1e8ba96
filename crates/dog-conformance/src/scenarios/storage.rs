//! Promise 11: what an object stores. Each host tests by itself that it survives the process.

use super::scenario::{Scenario, scenario};
use super::script::{NO_TEXT, Owner, all, delete, entries, get, put, text, unawaited};
use crate::app::protocol::{Attached, Found, Range, StorageStep, Why};
use crate::check::{Outcome, ensure, same};
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("storage_keeps_values_of_every_type", &[11], types),
        scenario("storage_keys_are_any_text", &[11], keys),
        scenario("storage_lists_by_prefix_and_range", &[11], lists),
        scenario("storage_delete_all_leaves_nothing", &[11], delete_all),
        scenario("storage_deletes_a_prefix_and_nothing_else", &[11], delete_prefix),
        scenario("storage_keeps_bytes_as_they_are", &[11], raw_bytes),
        scenario("storage_refuses_what_is_too_large", &[11, 12], too_large),
        scenario("storage_reads_what_was_just_written", &[11], just_written),
        scenario("storage_of_objects_is_separate", &[11], apart),
    ]
}

/// Values are typed. Reading one as another type is an error, not `None`.
async fn types(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "types");
    let shape = Attached { name: "größe".into(), visits: u64::MAX, tags: vec![None, Some(String::new())] };
    for owner in Owner::BOTH {
        let steps = vec![
            get("a"),
            put("a", ""),
            get("a"),
            put("a", "one"),
            put("a", "two"),
            get("a"),
            StorageStep::PutShape("b".into(), shape.clone()),
            StorageStep::Shape("b".into()),
            delete("a"),
            delete("a"),
            get("a"),
        ];
        let done = Found::Done;
        let wanted = vec![
            NO_TEXT,
            done.clone(),
            text(""),
            done.clone(),
            done.clone(),
            text("two"),
            done.clone(),
            Found::Shape(Some(shape.clone())),
            done.clone(),
            done,
            NO_TEXT,
        ];
        same(owner.does(&group, steps).await?, wanted, "what a script has found")?;
        let misread = owner.does_one(&group, StorageStep::Number("b".into())).await?;
        ensure(matches!(misread, Found::Refused(Why::Encoding, _)), format!("read as another type: {misread:?}"))?;
        same(
            owner.does_one(&group, StorageStep::Shape("b".into())).await?,
            Found::Shape(Some(shape.clone())),
            "after that",
        )?;
    }
    Ok(())
}

/// Unicode, control characters and separators. Keys are ordered by their bytes.
async fn keys(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "keys");
    let keys = ["\u{1}", " ", "/", "a", "a\u{1}", "a/", "a/b", "ab", "b%00", "größe", "z", "}"];
    for owner in Owner::BOTH {
        let mut steps: Vec<_> = keys.iter().rev().map(|key| put(key, key)).collect();
        steps.push(StorageStep::List(all()));
        let wanted: Vec<_> = keys.iter().map(|key| (*key, *key)).collect();
        let found = owner.does(&group, steps).await?;
        same(found.last(), Some(&entries(&wanted)), "all that was put")?;
        same(owner.does_one(&group, delete("a/")).await?, Found::Done, "a deletion")?;
        let found = owner.does(&group, keys.iter().map(|key| get(key)).collect()).await?;
        let wanted: Vec<_> = keys.iter().map(|key| if *key == "a/" { NO_TEXT } else { text(key) }).collect();
        same(found, wanted, "what is under each key")?;
    }
    // A Group of this App stores nothing for itself, so a list without bounds returns only these entries. Characters of two, three
    // and four bytes sort after all others.
    let wide = ["ö", "犬", "🐕"];
    let mut steps: Vec<_> = wide.iter().map(|key| put(key, key)).collect();
    steps.push(StorageStep::List(Range { start: Some("}".into()), ..Range::default() }));
    let wanted = entries(&[("}", "}"), ("ö", "ö"), ("犬", "犬"), ("🐕", "🐕")]);
    same(Owner::Group.does(&group, steps).await?.last(), Some(&wanted), "the last of all")
}

fn range(prefix: &str, start: &str, end: &str, limit: Option<usize>, reverse: bool) -> Range {
    let bound = |key: &str| Some(key.to_owned()).filter(|key| !key.is_empty());
    Range { prefix: prefix.into(), start: bound(start), end: bound(end), limit, reverse }
}

/// Lists over `j`, `k/1`, `k/2`, `k/3`, `k/30`, `k/4`, `k0`, `kk`, and their expected results.
fn list_cases() -> [(Range, &'static [&'static str]); 16] {
    [
        (range("k/", "", "", None, false), &["k/1", "k/2", "k/3", "k/30", "k/4"]),
        (range("k/3", "", "", None, false), &["k/3", "k/30"]),
        (range("k/", "k/2", "", None, false), &["k/2", "k/3", "k/30", "k/4"]),
        (range("k/", "", "k/3", None, false), &["k/1", "k/2"]),
        (range("k/", "k/2", "k/30", None, false), &["k/2", "k/3"]),
        (range("k/", "", "", Some(2), false), &["k/1", "k/2"]),
        (range("k/", "", "", Some(99), true), &["k/4", "k/30", "k/3", "k/2", "k/1"]),
        (range("k/", "k/2", "", Some(2), true), &["k/4", "k/30"]),
        (range("k/", "k/2", "k/4", Some(2), true), &["k/30", "k/3"]),
        (range("", "k0", "~", None, false), &["k0", "kk"]),
        (range("", "", "k/2", None, false), &["j", "k/1"]),
        (range("k/", "a", "z", Some(1), false), &["k/1"]),
        (range("k/", "", "", Some(0), false), &[]),
        (range("k/5", "", "", None, false), &[]),
        (range("k/", "k/4", "k/2", None, false), &[]),
        (range("k/", "z", "", None, true), &[]),
    ]
}

/// Every bound alone and with others. An empty range is not an error.
async fn lists(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "lists");
    for owner in Owner::BOTH {
        let keys = ["kk", "k/30", "j", "k/2", "k/1", "k0", "k/4", "k/3"];
        owner.does(&group, keys.map(|key| put(key, key)).into()).await?;
        for (range, wanted) in &list_cases() {
            let wanted: Vec<_> = wanted.iter().map(|key| (*key, *key)).collect();
            let found = owner.does_one(&group, StorageStep::List(range.clone())).await?;
            same(found, entries(&wanted), &format!("{range:?}"))?;
            // The same before the writes are acknowledged: two entries are new, one is deleted, one is changed.
            let steps = vec![
                unawaited(put("k/25", "new")),
                unawaited(put("k/0", "new")),
                unawaited(delete("k/3")),
                unawaited(put("k/4", "k/4")),
                StorageStep::List(range.clone()),
                delete("k/25"),
                delete("k/0"),
                put("k/3", "k/3"),
                StorageStep::List(range.clone()),
            ];
            let found = owner.does(&group, steps).await?;
            same(&found[4], &overlaid(range), &format!("{range:?} over writes on their way"))?;
            same(&found[8], &entries(&wanted), &format!("{range:?} after these"))?;
            // The same within a transaction that makes these changes and reverts them.
            let steps = vec![
                put("k/25", "new"),
                put("k/0", "new"),
                delete("k/3"),
                put("k/4", "k/4"),
                StorageStep::List(range.clone()),
                delete("k/25"),
                delete("k/0"),
                put("k/3", "k/3"),
                StorageStep::List(range.clone()),
            ];
            let Found::Made(1, found) = owner.does_one(&group, StorageStep::Transaction(steps)).await? else {
                return Err(crate::check::ScenarioFailure::new("a transaction that nobody overtook did not run once"));
            };
            same(&found[4], &overlaid(range), &format!("{range:?} over the transaction's own writes"))?;
            same(&found[8], &entries(&wanted), &format!("{range:?} over writes that change nothing"))?;
        }
    }
    Ok(())
}

/// The result of a list of [`lists`] while writes are on their way.
fn overlaid(range: &Range) -> Found {
    let now = ["j", "k/0", "k/1", "k/2", "k/25", "k/30", "k/4", "k0", "kk"];
    let within = |key: &&str| {
        key.starts_with(&range.prefix)
            && range.start.as_deref().is_none_or(|start| *key >= start)
            && range.end.as_deref().is_none_or(|end| *key < end)
    };
    let mut keys: Vec<_> = now.into_iter().filter(within).collect();
    if range.reverse {
        keys.reverse();
    }
    keys.truncate(range.limit.unwrap_or(usize::MAX));
    let value = |key| if ["k/0", "k/25"].contains(&key) { "new" } else { key };
    entries(&keys.into_iter().map(|key| (key, value(key))).collect::<Vec<_>>())
}

/// All entries are gone at once, also those whose write was on its way. Later entries stay, and so does the alarm.
async fn delete_all(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "clear");
    for owner in Owner::BOTH {
        let set = owner.does(&group, vec![put("a", "1"), put("b", "1"), StorageStep::MoveAlarm(3_600_000)]).await?;
        let steps = vec![
            unawaited(put("c", "1")),
            unawaited(StorageStep::DeleteAll),
            get("a"),
            get("c"),
            StorageStep::List(all()),
            unawaited(put("c", "2")),
            StorageStep::List(all()),
            StorageStep::DeleteAll,
            put("d", "3"),
            StorageStep::List(all()),
            StorageStep::Alarm,
        ];
        let mut found = owner.does(&group, steps).await?;
        same(found.pop(), set.last().cloned(), "when the alarm is set for")?;
        same(&found[2..5], [NO_TEXT, NO_TEXT, entries(&[])], "what is there while it is deleted")?;
        same(&found[6], &entries(&[("c", "2")]), "what is there of what was put after that")?;
        same(&found[9], &entries(&[("d", "3")]), "what is there at the end")?;
        same(owner.does_one(&group, StorageStep::List(all())).await?, entries(&[("d", "3")]), "and later")?;
        same(owner.does_one(&group, StorageStep::DeleteAlarm).await?, Found::Done, "taking the alarm back")?;
    }
    Ok(())
}

fn key_names(range: Range) -> StorageStep {
    StorageStep::Keys(range)
}

fn names(names: &[&str]) -> Found {
    Found::Names(names.iter().map(|name| (*name).to_owned()).collect())
}

/// Keys alone are listed like entries. A prefix is deleted as one, with what was just written, and in a transaction only if
/// that is made.
async fn delete_prefix(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "prefix");
    let within = |prefix: &str| Range { prefix: prefix.into(), ..Range::default() };
    for owner in Owner::BOTH {
        let mut steps: Vec<_> = ["p/1", "p/2", "p/3", "p", "q/1", "o"].map(|key| put(key, key)).to_vec();
        steps.extend([
            key_names(within("p/")),
            key_names(Range { reverse: true, limit: Some(2), ..within("p") }),
            key_names(Range { start: Some("p/2".into()), end: Some("q/1".into()), ..Range::default() }),
            key_names(Range { limit: Some(0), ..Range::default() }),
        ]);
        let found = owner.does(&group, steps).await?;
        let expected = [names(&["p/1", "p/2", "p/3"]), names(&["p/3", "p/2"]), names(&["p/2", "p/3"]), names(&[])];
        same(&found[6..], &expected, "the keys")?;
        let deletion = StorageStep::DeletePrefix("p/".into());
        let failing = vec![deletion.clone(), key_names(within("p/")), StorageStep::Fail];
        same(
            owner.does_one(&group, StorageStep::Transaction(failing)).await?,
            Found::Failed(1),
            "a failing transaction",
        )?;
        let steps = vec![
            key_names(within("p/")),
            unawaited(put("p/4", "new")),
            deletion,
            key_names(within("p/")),
            key_names(all()),
        ];
        let found = owner.does(&group, steps).await?;
        same(&found[0], &names(&["p/1", "p/2", "p/3"]), "after a transaction that failed")?;
        same(&found[3..], &[names(&[]), names(&["o", "p", "q/1"])], "after the deletion")?;
        let made =
            vec![put("q/2", "new"), StorageStep::DeletePrefix("q/".into()), key_names(within("q/")), put("q/3", "3")];
        match owner.does_one(&group, StorageStep::Transaction(made)).await? {
            Found::Made(_, found) => same(&found[2], &names(&[]), "what the transaction sees after its deletion")?,
            other => return Err(crate::check::ScenarioFailure::new(format!("expected a transaction, got {other:?}"))),
        }
        same(owner.does_one(&group, key_names(all())).await?, names(&["o", "p", "q/3"]), "after the transaction")?;
    }
    Ok(())
}

/// Bytes are read as they were stored, whichever bytes they are. A value of another type is an error.
async fn raw_bytes(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "bytes");
    let (all_bytes, raw) = ((0..=u8::MAX).collect::<Vec<_>>(), |key: &str| StorageStep::GetRaw(key.into()));
    let store = |key: &str, bytes: &[u8]| StorageStep::PutRaw(key.into(), bytes.to_vec());
    for owner in Owner::BOTH {
        let steps = vec![
            store("a", &all_bytes),
            raw("a"),
            store("empty", &[]),
            raw("empty"),
            raw("none"),
            put("t", "text"),
            raw("t"),
        ];
        let found = owner.does(&group, steps).await?;
        same(&found[1], &Found::Raw(Some(all_bytes.clone())), "all bytes")?;
        same(&found[3], &Found::Raw(Some(vec![])), "no bytes")?;
        same(&found[4], &Found::Raw(None), "what is not there")?;
        same(matches!(found[6], Found::Refused(Why::Encoding, _)), true, "a text read as bytes is refused")?;
        let steps = vec![store("a", &[1, 2]), raw("a"), raw("empty")];
        match owner.does_one(&group, StorageStep::Transaction(steps)).await? {
            Found::Made(_, found) => {
                same(&found[1..], &[Found::Raw(Some(vec![1, 2])), Found::Raw(Some(vec![]))], "in a transaction")?;
            }
            other => return Err(crate::check::ScenarioFailure::new(format!("expected a transaction, got {other:?}"))),
        }
        same(owner.does_one(&group, raw("a")).await?, Found::Raw(Some(vec![1, 2])), "after the transaction")?;
    }
    Ok(())
}

fn is_too_large(found: &Found, limit: &str) -> Outcome {
    let Found::Refused(Why::TooLarge, words) = found else {
        return Err(crate::check::ScenarioFailure::new(format!("what is too large was answered with {found:?}")));
    };
    ensure(words.contains(limit), format!("it does not say that {limit} is the most: {words}"))
}

/// The largest key and value are accepted. One byte more is an error, and the earlier value stays.
async fn too_large(stage: Stage) -> Outcome {
    // MessagePack puts five bytes before a string of this length.
    const LARGEST: usize = dog::MAX_VALUE - 5;
    let group = stage.pinned("hall", "large");
    let (longest, longer) = ("k".repeat(dog::MAX_KEY), "k".repeat(dog::MAX_KEY + 1));
    let (key_limit, value_limit) = (dog::MAX_KEY.to_string(), dog::MAX_VALUE.to_string());
    for owner in Owner::BOTH {
        let large = |length| StorageStep::PutBytes("large".into(), length);
        let steps = vec![
            large(LARGEST),
            large(LARGEST + 1),
            StorageStep::Measure("large".into()),
            put(&longest, "1"),
            get(&longest),
        ];
        let found = owner.does(&group, steps).await?;
        is_too_large(&found[1], &value_limit)?;
        same(&found[2], &Found::Length(Some(LARGEST)), "the largest value")?;
        same(&found[4], &text("1"), "what is under the longest key")?;
        for step in
            [put(&longer, "1"), get(&longer), delete(&longer), StorageStep::Transaction(vec![put(&longer, "1")])]
        {
            is_too_large(&owner.does_one(&group, step).await?, &key_limit)?;
        }
        let steps = vec![put("small", "kept"), large(LARGEST + 1)];
        is_too_large(&owner.does_one(&group, StorageStep::Transaction(steps)).await?, &value_limit)?;
        same(owner.does_one(&group, get("small")).await?, NO_TEXT, "what a refused transaction has put")?;
    }
    Ok(())
}

/// A write is visible from the call on, for the next reader, even if nobody awaits it.
async fn just_written(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "just");
    for owner in Owner::BOTH {
        let mut steps = vec![put("a", "0")];
        for number in 1..=50 {
            steps.extend([unawaited(put("a", &number.to_string())), get("a"), unawaited(delete("a")), get("a")]);
            steps.extend([unawaited(put("a", "again")), StorageStep::Transaction(vec![get("a")])]);
        }
        let found = owner.does(&group, steps).await?;
        for (number, found) in (1..=50).zip(found[1..].chunks(6)) {
            same(&found[1], &text(&number.to_string()), "what was just put")?;
            same(&found[3], &NO_TEXT, "what was just deleted")?;
            same(&found[5], &Found::Made(1, vec![text("again")]), "what was just put, in a transaction")?;
        }
        // Another handler reads it, in another life if the object has hibernated meanwhile.
        for number in 0..20 {
            let number = number.to_string();
            owner.does_one(&group, unawaited(put("b", &number))).await?;
            same(owner.does_one(&group, get("b")).await?, text(&number), "what nobody waited for")?;
        }
    }
    Ok(())
}

/// Replicas of one Group, the Group itself, and other Groups have separate storage.
async fn apart(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "ours");
    let mut clients = group.join_each(["a", "b", "c"]).await?;
    let groups: [TestGroup; 3] = [group.of_class("single"), group.of_class("pair"), stage.pinned("single", "theirs")];
    for (number, client) in clients.iter_mut().enumerate() {
        same(client.keep(vec![get("who")]).await?, [NO_TEXT], "before anything is put")?;
        client.keep(vec![put("who", &format!("replica {number}"))]).await?;
    }
    for (number, group) in groups.iter().enumerate() {
        same(Owner::Group.does_one(group, get("who")).await?, NO_TEXT, "before anything is put")?;
        Owner::Group.does_one(group, put("who", &format!("group {number}"))).await?;
    }
    clients[1].keep(vec![StorageStep::DeleteAll]).await?;
    let of_replicas = [text("replica 0"), NO_TEXT, text("replica 2")];
    for (client, wanted) in clients.iter_mut().zip(of_replicas) {
        same(client.keep(vec![get("who")]).await?, [wanted], "what a Replica keeps")?;
    }
    for (number, group) in groups.iter().enumerate() {
        same(Owner::Group.does_one(group, get("who")).await?, text(&format!("group {number}")), "what a Group keeps")?;
    }
    Ok(())
}
