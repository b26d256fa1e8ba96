//! Tests of the decisions about alarms.

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn loaded() -> AlarmBook {
    let mut book = AlarmBook::new(Alarms::get().unwrap());
    book.load([]);
    book
}

fn set(book: &mut AlarmBook, name: &str, due: u64, now: u64) -> AlarmWrites {
    let alarm =
        NewAlarm { at: at(due), payload: Bytes::from(format!("{name} {due}")), feature: Alarms::get().unwrap() };
    book.write(BTreeMap::from([(name.to_owned(), Some(alarm))]), at(now))
}

fn delete(book: &mut AlarmBook, name: &str, now: u64) -> AlarmWrites {
    book.write(BTreeMap::from([(name.to_owned(), None)]), at(now))
}

fn begin(book: &mut AlarmBook, now: u64) -> Vec<(String, u64)> {
    std::iter::from_fn(|| book.begin_next(at(now))).map(|due| (due.name, due.number)).collect()
}

fn names(begun: Vec<(String, u64)>) -> Vec<String> {
    begun.into_iter().map(|(name, _)| name).collect()
}

fn number(book: &AlarmBook, name: &str) -> u64 {
    book.set[name].attempt.number
}

/// What a later life would load.
fn stored(writes: &AlarmWrites) -> Vec<(String, AlarmRecord)> {
    let record = |(key, value): &(Vec<u8>, Option<Bytes>)| {
        let record = AlarmRecord::decode(value.as_ref()?).unwrap();
        Some((String::from_utf8(key.clone()).unwrap(), record))
    };
    writes.entries.iter().filter_map(record).collect()
}

#[test]
fn due_alarms_begin_in_the_order_of_their_times() {
    let mut book = loaded();
    for (name, due) in [("late", 30), ("b", 10), ("a", 20), ("c", 10)] {
        set(&mut book, name, due, 0);
    }
    assert_eq!(names(begin(&mut book, 9)), [""; 0]);
    assert_eq!(names(begin(&mut book, 20)), ["b", "c", "a"]);
    assert_eq!(book.next_time(), Some(at(30)));
    assert_eq!(names(begin(&mut book, 20)), [""; 0], "they run already");
}

/// The simulation has found an old life that asked for such an alarm again and again, without a pause.
#[test]
fn an_alarm_that_a_later_life_has_cleared_is_forgotten() {
    let mut book = loaded();
    set(&mut book, "a", 10, 0);
    let begun = begin(&mut book, 10);
    book.is_missing("a", begun[0].1);
    assert_eq!((names(begin(&mut book, 10)), book.next_time(), book.is_busy()), (vec![], None, false));

    set(&mut book, "a", 10, 0);
    let begun = begin(&mut book, 10);
    set(&mut book, "a", 20, 10);
    book.is_missing("a", begun[0].1);
    assert_eq!(book.next_time(), Some(at(20)), "it was set again meanwhile");
}

#[test]
fn the_host_is_told_when_the_earliest_time_changes_and_of_nothing_else() {
    let mut book = loaded();
    assert_eq!(set(&mut book, "b", 20, 0).alarm, Some(AlarmChange::Set(at(20))));
    assert_eq!(set(&mut book, "c", 30, 0).alarm, None);
    assert_eq!(set(&mut book, "a", 10, 0).alarm, Some(AlarmChange::Set(at(10))));
    assert_eq!(delete(&mut book, "a", 0).alarm, Some(AlarmChange::Set(at(20))));
    assert_eq!(delete(&mut book, "a", 0), AlarmWrites::default(), "it is not set");
    let begun = begin(&mut book, 20);
    assert_eq!(set(&mut book, "d", 5, 21).alarm, Some(AlarmChange::Set(at(5))));
    assert_eq!(names(begin(&mut book, 21)), ["d"]);
    assert_eq!(book.succeeded("d", number(&book, "d"), at(22)).unwrap().alarm, None, "b runs");
    book.end("d");
    let writes = book.succeeded("b", begun[0].1, at(22)).unwrap();
    assert_eq!(
        writes,
        AlarmWrites { entries: vec![(b"b".to_vec(), None)], alarm: Some(AlarmChange::Set(at(30))), pending: vec![] }
    );
    book.end("b");
    assert_eq!(delete(&mut book, "c", 23).alarm, Some(AlarmChange::Clear));
}

#[test]
fn one_that_fails_is_tried_again_alone_and_later_each_time() {
    let mut book = loaded();
    set(&mut book, "a", 10, 0);
    set(&mut book, "b", 11, 0);
    let mut now = 10;
    for (failed, delay) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].into_iter().enumerate() {
        let due = book.begin_next(at(now)).unwrap();
        assert_eq!((due.name.as_str(), due.failed as usize, due.due), ("a", failed, at(10)));
        book.note_payload("a", &Bytes::from_static(b"p"));
        let writes = book.failed("a", due.number, at(now)).unwrap();
        book.end("a");
        now += delay;
        let record = &stored(&writes)[0].1;
        assert_eq!((record.next, record.failed as usize, record.due), (at(now), failed + 1, at(10)));
        assert_eq!(book.due("a"), Some(at(10)), "it keeps its time");
        if failed == 0 {
            assert_eq!(names(begin(&mut book, 11)), ["a", "b"], "the other is not delayed");
            book.succeeded("b", number(&book, "b"), at(11));
            book.end("b");
            book.end("a");
        }
    }
}

#[test]
fn one_that_is_replaced_while_it_runs_is_neither_cleared_nor_retried() {
    for succeeds in [true, false] {
        let mut book = loaded();
        set(&mut book, "a", 10, 0);
        let begun = begin(&mut book, 10);
        assert_eq!(book.due("a"), None, "it does not count while it runs");
        set(&mut book, "a", 11, 10);
        assert_eq!(book.due("a"), Some(at(11)));
        assert_eq!(names(begin(&mut book, 12)), [""; 0], "handlers of one name run one after the other");
        let outcome =
            if succeeds { book.succeeded("a", begun[0].1, at(12)) } else { book.failed("a", begun[0].1, at(12)) };
        assert_eq!(outcome, None);
        book.end("a");
        let due = book.begin_next(at(12)).unwrap();
        assert_eq!((due.failed, due.due, due.payload.as_deref()), (0, at(11), Some(&b"a 11"[..])));
    }
}

#[test]
fn one_that_is_deleted_while_it_runs_does_not_come_back() {
    let mut book = loaded();
    set(&mut book, "a", 10, 0);
    let begun = begin(&mut book, 10);
    assert_eq!(delete(&mut book, "a", 10).alarm, Some(AlarmChange::Clear));
    assert_eq!(book.failed("a", begun[0].1, at(10)), None);
    book.end("a");
    assert!(!book.is_busy() && book.next_time().is_none());
}

#[test]
fn so_many_run_at_once_and_the_next_begins_when_one_ends() {
    let mut book = loaded();
    for alarm in 0..MAX_RUNNING + 2 {
        set(&mut book, &format!("{alarm:03}"), 10, 0);
    }
    let begun = begin(&mut book, 10);
    assert_eq!((begun.len(), book.next_time()), (MAX_RUNNING, None));
    book.succeeded("000", begun[0].1, at(10));
    assert_eq!(names(begin(&mut book, 10)), [""; 0], "its success is not durable yet");
    book.end("000");
    assert_eq!(names(begin(&mut book, 10)), [format!("{MAX_RUNNING:03}")]);
}

#[test]
fn ten_thousand_have_room() {
    let mut book = loaded();
    let all = (0..MAX_ALARMS).map(|alarm| alarm.to_string());
    book.load(all.map(|name| {
        let record = AlarmRecord { due: at(5), next: at(5), number: 1, failed: 0, payload: Bytes::new() };
        (name, record)
    }));
    let change = |names: &[(&str, bool)]| {
        let alarm =
            |sets: bool| sets.then(|| NewAlarm { at: at(1), payload: Bytes::new(), feature: Alarms::get().unwrap() });
        names.iter().map(|(name, sets)| ((*name).to_owned(), alarm(*sets))).collect()
    };
    assert!(!book.has_room(&change(&[("one more", true)])));
    assert!(book.has_room(&change(&[("0", true), ("1", true)])), "they replace others");
    assert!(book.has_room(&change(&[("one more", true), ("0", false)])));
    assert!(!book.has_room(&change(&[("one more", true), ("not set", false)])));
}

#[test]
fn the_end_of_a_life_counts_as_a_failure_of_what_runs() {
    let mut book = loaded();
    set(&mut book, "runs", 10, 0);
    set(&mut book, "waits", 20, 0);
    assert_eq!(book.end_of_life(at(5), false), None);
    begin(&mut book, 10);
    let writes = book.end_of_life(at(12), false).unwrap();
    assert_eq!(writes.alarm, Some(AlarmChange::Set(at(13))));
    let (name, record) = &stored(&writes)[0];
    assert_eq!((name.as_str(), record.next, record.failed), ("runs", at(13), 1));
}

#[test]
fn a_life_that_ends_before_it_has_looked_is_woken_again() {
    let mut book = AlarmBook::new(Alarms::get().unwrap());
    assert_eq!(book.end_of_life(at(10), true).unwrap().alarm, Some(AlarmChange::Set(at(11))));
    let mut book = loaded();
    set(&mut book, "due", 10, 0);
    assert_eq!(book.end_of_life(at(10), false).unwrap().alarm, Some(AlarmChange::Set(at(11))), "it had not begun");
    let mut book = loaded();
    assert_eq!(book.end_of_life(at(10), true).unwrap().alarm, Some(AlarmChange::Clear));
}

#[test]
fn an_outcome_that_was_not_written_is_tried_again_later_by_this_life() {
    let mut book = loaded();
    let record = stored(&set(&mut book, "a", 10, 0));
    let begun = begin(&mut book, 10);
    book.succeeded("a", begun[0].1, at(10));
    book.unload();
    book.hold("a", at(10));
    book.end("a");
    assert!(book.is_busy() && !book.is_loaded());
    book.load(record.clone());
    assert_eq!(book.next_time(), Some(at(11)));
    assert_eq!(names(begin(&mut book, 10)), [""; 0]);
    let due = book.begin_next(at(11)).unwrap();
    assert_eq!((due.failed, due.payload), (1, None), "the payload is in the storage");
    book.succeeded("a", due.number, at(11));
    book.end("a");
    assert!(!book.is_busy());
    // If another was stored meanwhile, that one counts.
    book.unload();
    let other = (record[0].0.clone(), AlarmRecord { number: 99, ..record[0].1.clone() });
    book.load([other]);
    assert_eq!((book.due("a"), set(&mut book, "b", 1, 0).pending), (Some(at(10)), vec![("b".into(), 100)]));
}

#[test]
fn names_are_listed_in_order_and_those_that_run_are_left_out() {
    let mut book = loaded();
    for (name, due) in [("k1", 30), ("k2", 10), ("k3", 40), ("x", 40)] {
        set(&mut book, name, due, 0);
    }
    begin(&mut book, 10);
    let names = |list: List| book.list(&list).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(List::prefix("k")), ["k1", "k3"]);
    assert_eq!(names(List::all().reverse().limit(2)), ["x", "k3"]);
    assert_eq!(names(List::all().limit(2)), ["k1", "k3"]);
}
