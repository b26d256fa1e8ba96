//! Promise 11: what an object keeps. That it outlives the process is each host's own test.

use super::script::{NO_TEXT, Owner, all, delete, entries, get, put, text, unawaited};
use super::{Scenario, scenario};
use crate::app::protocol::{Attached, Found, Keep, Range, Why};
use crate::check::{Outcome, ensure, same};
use crate::stage::{Place, Stage};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("storage_keeps_values_of_every_type", &[11], types),
        scenario("storage_keys_are_any_text", &[11], keys),
        scenario("storage_lists_by_prefix_and_range", &[11], lists),
        scenario("storage_delete_all_leaves_nothing", &[11], delete_all),
        scenario("storage_refuses_what_is_too_large", &[11, 12], too_large),
        scenario("storage_reads_what_was_just_written", &[11], just_written),
        scenario("storage_of_each_object_is_its_own", &[11], apart),
    ]
}

/// Typed; what is there as another type is an error, not nothing.
async fn types(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "types");
    let shape = Attached { name: "größe".into(), visits: u64::MAX, tags: vec![None, Some(String::new())] };
    for owner in Owner::BOTH {
        let steps = vec![
            get("a"),
            put("a", ""),
            get("a"),
            put("a", "one"),
            put("a", "two"),
            get("a"),
            Keep::PutShape("b".into(), shape.clone()),
            Keep::Shape("b".into()),
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
        same(owner.does(&place, steps).await?, wanted, "what a script has found")?;
        let misread = owner.does_one(&place, Keep::Number("b".into())).await?;
        ensure(matches!(misread, Found::Refused(Why::Encoding, _)), format!("read as another type: {misread:?}"))?;
        same(owner.does_one(&place, Keep::Shape("b".into())).await?, Found::Shape(Some(shape.clone())), "after that")?;
    }
    Ok(())
}

/// Unicode, controls and separators; each stands by itself, in the order of its bytes.
async fn keys(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "keys");
    let keys = ["\u{1}", " ", "/", "a", "a\u{1}", "a/", "a/b", "ab", "b%00", "größe", "z", "}"];
    for owner in Owner::BOTH {
        let mut steps: Vec<_> = keys.iter().rev().map(|key| put(key, key)).collect();
        steps.push(Keep::List(all()));
        let wanted: Vec<_> = keys.iter().map(|key| (*key, *key)).collect();
        let found = owner.does(&place, steps).await?;
        same(found.last(), Some(&entries(&wanted)), "all that was put")?;
        same(owner.does_one(&place, delete("a/")).await?, Found::Done, "a deletion")?;
        let found = owner.does(&place, keys.iter().map(|key| get(key)).collect()).await?;
        let wanted: Vec<_> = keys.iter().map(|key| if *key == "a/" { NO_TEXT } else { text(key) }).collect();
        same(found, wanted, "what is under each key")?;
    }
    // A Group of this App keeps nothing for itself, so that a list without bounds shows what is there; characters of
    // two, three and four bytes stand behind all others.
    let wide = ["ö", "犬", "🐕"];
    let mut steps: Vec<_> = wide.iter().map(|key| put(key, key)).collect();
    steps.push(Keep::List(Range { start: Some("}".into()), ..Range::default() }));
    let wanted = entries(&[("}", "}"), ("ö", "ö"), ("犬", "犬"), ("🐕", "🐕")]);
    same(Owner::Group.does(&place, steps).await?.last(), Some(&wanted), "the last of all")
}

fn range(prefix: &str, start: &str, end: &str, limit: Option<usize>, reverse: bool) -> Range {
    let bound = |key: &str| Some(key.to_owned()).filter(|key| !key.is_empty());
    Range { prefix: prefix.into(), start: bound(start), end: bound(end), limit, reverse }
}

/// What is asked of `j`, `k/1`, `k/2`, `k/3`, `k/30`, `k/4`, `k0`, `kk`, and what of it is found.
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

/// Every bound by itself and with others; what holds nothing is empty and no error.
async fn lists(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "lists");
    for owner in Owner::BOTH {
        let keys = ["kk", "k/30", "j", "k/2", "k/1", "k0", "k/4", "k/3"];
        owner.does(&place, keys.map(|key| put(key, key)).into()).await?;
        for (range, wanted) in &list_cases() {
            let wanted: Vec<_> = wanted.iter().map(|key| (*key, *key)).collect();
            let found = owner.does_one(&place, Keep::List(range.clone())).await?;
            same(found, entries(&wanted), &format!("{range:?}"))?;
            // The same before the disk has it: two entries are new, one is gone, one is another.
            let steps = vec![
                unawaited(put("k/25", "new")),
                unawaited(put("k/0", "new")),
                unawaited(delete("k/3")),
                unawaited(put("k/4", "k/4")),
                Keep::List(range.clone()),
                delete("k/25"),
                delete("k/0"),
                put("k/3", "k/3"),
                Keep::List(range.clone()),
            ];
            let found = owner.does(&place, steps).await?;
            same(&found[4], &overlaid(range), &format!("{range:?} over writes on their way"))?;
            same(&found[8], &entries(&wanted), &format!("{range:?} after these"))?;
            // The same within a transaction that makes these changes, and changes them back.
            let steps = vec![
                put("k/25", "new"),
                put("k/0", "new"),
                delete("k/3"),
                put("k/4", "k/4"),
                Keep::List(range.clone()),
                delete("k/25"),
                delete("k/0"),
                put("k/3", "k/3"),
                Keep::List(range.clone()),
            ];
            let Found::Made(1, found) = owner.does_one(&place, Keep::Transaction(steps)).await? else {
                return Err(crate::check::Trouble::new("a transaction that nobody overtook did not run once"));
            };
            same(&found[4], &overlaid(range), &format!("{range:?} over the transaction's own writes"))?;
            same(&found[8], &entries(&wanted), &format!("{range:?} over writes that change nothing"))?;
        }
    }
    Ok(())
}

/// What a list of [`lists`] finds while writes are on their way.
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

/// Everything is gone at once, what was on its way too; what is put after it stays, and so does the alarm.
async fn delete_all(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "clear");
    for owner in Owner::BOTH {
        let set = owner.does(&place, vec![put("a", "1"), put("b", "1"), Keep::MoveAlarm(3_600_000)]).await?;
        let steps = vec![
            unawaited(put("c", "1")),
            unawaited(Keep::DeleteAll),
            get("a"),
            get("c"),
            Keep::List(all()),
            unawaited(put("c", "2")),
            Keep::List(all()),
            Keep::DeleteAll,
            put("d", "3"),
            Keep::List(all()),
            Keep::Alarm,
        ];
        let mut found = owner.does(&place, steps).await?;
        same(found.pop(), set.last().cloned(), "when the alarm is set for")?;
        same(&found[2..5], [NO_TEXT, NO_TEXT, entries(&[])], "what is there while it is deleted")?;
        same(&found[6], &entries(&[("c", "2")]), "what is there of what was put after that")?;
        same(&found[9], &entries(&[("d", "3")]), "what is there at the end")?;
        same(owner.does_one(&place, Keep::List(all())).await?, entries(&[("d", "3")]), "and later")?;
        same(owner.does_one(&place, Keep::DeleteAlarm).await?, Found::Done, "taking the alarm back")?;
    }
    Ok(())
}

fn is_too_large(found: &Found, limit: &str) -> Outcome {
    let Found::Refused(Why::TooLarge, words) = found else {
        return Err(crate::check::Trouble::new(format!("what is too large was answered with {found:?}")));
    };
    ensure(words.contains(limit), format!("it does not say that {limit} is the most: {words}"))
}

/// The largest key and value are taken; one byte more is refused, says so, and leaves what was there.
async fn too_large(stage: Stage) -> Outcome {
    // MessagePack puts five bytes before a string of this length.
    const LARGEST: usize = dog::MAX_VALUE - 5;
    let place = stage.pinned("hall", "large");
    let (longest, longer) = ("k".repeat(dog::MAX_KEY), "k".repeat(dog::MAX_KEY + 1));
    let (key_limit, value_limit) = (dog::MAX_KEY.to_string(), dog::MAX_VALUE.to_string());
    for owner in Owner::BOTH {
        let large = |length| Keep::PutBytes("large".into(), length);
        let steps =
            vec![large(LARGEST), large(LARGEST + 1), Keep::Measure("large".into()), put(&longest, "1"), get(&longest)];
        let found = owner.does(&place, steps).await?;
        is_too_large(&found[1], &value_limit)?;
        same(&found[2], &Found::Length(Some(LARGEST)), "the largest value")?;
        same(&found[4], &text("1"), "what is under the longest key")?;
        for step in [put(&longer, "1"), get(&longer), delete(&longer), Keep::Transaction(vec![put(&longer, "1")])] {
            is_too_large(&owner.does_one(&place, step).await?, &key_limit)?;
        }
        let steps = vec![put("small", "kept"), large(LARGEST + 1)];
        is_too_large(&owner.does_one(&place, Keep::Transaction(steps)).await?, &value_limit)?;
        same(owner.does_one(&place, get("small")).await?, NO_TEXT, "what a refused transaction has put")?;
    }
    Ok(())
}

/// A write counts from the moment it is called: for whoever reads next, and though nobody waits for it.
async fn just_written(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "just");
    for owner in Owner::BOTH {
        let mut steps = vec![put("a", "0")];
        for number in 1..=50 {
            steps.extend([unawaited(put("a", &number.to_string())), get("a"), unawaited(delete("a")), get("a")]);
            steps.extend([unawaited(put("a", "again")), Keep::Transaction(vec![get("a")])]);
        }
        let found = owner.does(&place, steps).await?;
        for (number, found) in (1..=50).zip(found[1..].chunks(6)) {
            same(&found[1], &text(&number.to_string()), "what was just put")?;
            same(&found[3], &NO_TEXT, "what was just deleted")?;
            same(&found[5], &Found::Made(1, vec![text("again")]), "what was just put, in a transaction")?;
        }
        // By another handler, in another life if the object has left memory meanwhile.
        for number in 0..20 {
            let number = number.to_string();
            owner.does_one(&place, unawaited(put("b", &number))).await?;
            same(owner.does_one(&place, get("b")).await?, text(&number), "what nobody waited for")?;
        }
    }
    Ok(())
}

/// Replicas of one Group, the Group itself, Groups of one class and of others: each has its own.
async fn apart(stage: Stage) -> Outcome {
    let place = stage.pinned("single", "ours");
    let mut clients = place.join_each(["a", "b", "c"]).await?;
    let groups: [Place; 3] = [place.of_class("single"), place.of_class("pair"), stage.pinned("single", "theirs")];
    for (number, client) in clients.iter_mut().enumerate() {
        same(client.keep(vec![get("who")]).await?, [NO_TEXT], "before anything is put")?;
        client.keep(vec![put("who", &format!("replica {number}"))]).await?;
    }
    for (number, group) in groups.iter().enumerate() {
        same(Owner::Group.does_one(group, get("who")).await?, NO_TEXT, "before anything is put")?;
        Owner::Group.does_one(group, put("who", &format!("group {number}"))).await?;
    }
    clients[1].keep(vec![Keep::DeleteAll]).await?;
    let of_replicas = [text("replica 0"), NO_TEXT, text("replica 2")];
    for (client, wanted) in clients.iter_mut().zip(of_replicas) {
        same(client.keep(vec![get("who")]).await?, [wanted], "what a Replica keeps")?;
    }
    for (number, group) in groups.iter().enumerate() {
        same(Owner::Group.does_one(group, get("who")).await?, text(&format!("group {number}")), "what a Group keeps")?;
    }
    Ok(())
}
