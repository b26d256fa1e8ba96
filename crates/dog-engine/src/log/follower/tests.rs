use bytes::Bytes;
use dog::Message;
use dog::internal::LogBounds;

use super::*;
use crate::log::PageOrder;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn epoch(name: &str) -> LogEpoch {
    LogEpoch::new(name).unwrap()
}

fn position(offset: u64) -> Position {
    Position::new(epoch("e"), offset)
}

fn recorded(offset: u64) -> Recorded {
    Recorded { offset, at: at(offset), message: Message::text("m"), metadata: Bytes::new() }
}

fn bounds() -> LogBounds {
    LogBounds { publications: 3000, bytes: u32::MAX, age: Duration::from_secs(60) }
}

/// A log with this many publications, as its Group has it.
fn log(count: u64) -> Window {
    let mut window = Window::new(&LogHead { position: position(0), bounds: bounds() });
    (1..=count).for_each(|offset| assert!(window.push(recorded(offset))));
    window
}

fn follower(offset: u64) -> Follower {
    Follower::new(&LogHead { position: position(offset), bounds: bounds() })
}

fn advanced(follower: &mut Follower) -> Vec<u64> {
    std::iter::from_fn(|| follower.advance(at(0))).map(|publication| publication.offset).collect()
}

fn missed(log: &Window, since: &Position) -> Missed {
    let page = log.page(Some(since), PageOrder::OldestFirst, AnswerBounds::RECOVERY, at(0));
    Missed { head: log.head(), page }
}

#[test]
fn what_comes_early_waits_and_what_is_missing_is_fetched_once() {
    let mut follower = follower(6);
    assert_eq!(follower.came(&epoch("e"), &recorded(7), at(0)), Arrival::InOrder);
    assert_eq!(follower.came(&epoch("e"), &recorded(7), at(0)), Arrival::Known);
    assert_eq!(follower.begin_fetch(), None);
    assert_eq!(follower.came(&epoch("e"), &recorded(9), at(0)), Arrival::Ahead);
    assert_eq!((follower.begin_fetch(), follower.begin_fetch()), (Some(position(7)), None));
    follower.fetch_failed();
    let since = follower.begin_fetch().unwrap();
    follower.fetched(missed(&log(10), &since), at(0)).unwrap();
    assert_eq!((advanced(&mut follower), follower.begin_fetch()), (vec![8, 9, 10], None));
    assert!(follower.ahead.is_empty() && follower.ahead_bytes == 0);
}

#[test]
fn what_the_log_has_dropped_is_not_lost_if_it_comes_after_all() {
    let mut follower = follower(6);
    let lost = || Missed { head: log(9).head(), page: Err(Unrecovered::Expired) };
    follower.came(&epoch("e"), &recorded(8), at(0));
    assert_eq!(follower.begin_fetch(), Some(position(6)));
    follower.came(&epoch("e"), &recorded(7), at(0));
    assert_eq!(advanced(&mut follower), [8]);
    assert_eq!(follower.fetched(lost(), at(0)), Ok(()));
    follower.told(&position(9), at(0));
    assert_eq!(follower.begin_fetch(), Some(position(8)));
    assert_eq!(follower.fetched(lost(), at(0)), Err(Unrecovered::Expired));
    assert_eq!(follower.came(&epoch("e"), &recorded(10), at(0)), Arrival::InOrder);
}

#[test]
fn what_comes_early_is_bounded_and_fetched_if_it_has_no_room() {
    let mut follower = follower(0);
    for offset in 2..=400 {
        assert_eq!(follower.came(&epoch("e"), &recorded(offset), at(0)), Arrival::Ahead);
    }
    assert_eq!(follower.ahead.len(), 256);
    assert_eq!(follower.came(&epoch("e"), &recorded(1), at(0)), Arrival::InOrder);
    assert_eq!(advanced(&mut follower).len(), 256);
    assert_eq!(follower.begin_fetch(), Some(position(257)));
}

#[test]
fn a_repeated_end_shows_what_was_lost_and_is_acknowledged() {
    let mut follower = follower(6);
    follower.came(&epoch("e"), &recorded(7), at(0));
    assert_eq!((follower.acknowledge_at(), follower.acknowledgement(at(99))), (Some(at(100)), None));
    assert_eq!(follower.acknowledgement(at(100)), Some(position(7)));
    follower.told(&position(7), at(200));
    assert_eq!((follower.begin_fetch(), follower.acknowledgement(at(200))), (None, Some(position(7))));
    follower.told(&position(8), at(300));
    assert_eq!(follower.begin_fetch(), Some(position(7)));
}

#[test]
fn another_epoch_is_believed_when_the_group_says_so() {
    let mut follower = follower(2);
    assert_eq!(follower.came(&epoch("f"), &recorded(1), at(0)), Arrival::OtherEpoch);
    let since = follower.begin_fetch().unwrap();
    follower.fetched(missed(&log(2), &since), at(0)).unwrap();
    assert_eq!(follower.begin_fetch(), None, "it was a late message of an earlier epoch");
    follower.told(&Position::new(epoch("f"), 1), at(0));
    follower.begin_fetch().unwrap();
    let mut now = Window::new(&LogHead { position: Position::new(epoch("f"), 0), bounds: bounds() });
    assert!(now.push(recorded(1)));
    let lost = follower.fetched(missed(&now, &position(2)), at(0));
    assert_eq!(lost, Err(Unrecovered::EpochUnknown));
    let since = follower.begin_fetch();
    assert_eq!(since, Some(Position::new(epoch("f"), 0)), "what the new epoch has had before it was noticed");
    follower.fetched(missed(&now, &since.unwrap()), at(0)).unwrap();
    assert_eq!((advanced(&mut follower), follower.begin_fetch()), (vec![1], None));
    assert_eq!(follower.acknowledgement(at(0)), Some(now.position()), "the Group need not repeat it");
    assert_eq!(follower.came(&epoch("f"), &recorded(2), at(0)), Arrival::InOrder);
    assert_eq!(follower.recover(&position(1), at(0)), Recovery::Known(Err(Unrecovered::EpochUnknown)));
}

#[test]
fn one_question_answers_all_sockets_that_come_back() {
    let (log, mut follower) = (log(2500), follower(2400));
    for offset in 2401..=2500 {
        follower.came(&epoch("e"), &recorded(offset), at(0));
    }
    assert_eq!(follower.recover(&position(2400), at(0)), Recovery::Known(Ok(100)));
    assert_eq!(follower.recover(&position(2399), at(0)), Recovery::AskGroup);
    follower.fill(log.tail(AnswerBounds::RECOVERY, at(0)), at(0));
    for since in 0..=2500 {
        let expected = log.recover(&position(since), AnswerBounds::RECOVERY, at(0));
        assert_eq!(follower.recover(&position(since), at(0)), Recovery::Known(expected), "{since}");
    }
    assert_eq!(follower.recover(&position(2501), at(0)), Recovery::AskGroup);
    assert_eq!(follower.recover_now(&position(2501), at(0)), Recovery::Known(Err(Unrecovered::Future)));
    let other = Position::new(epoch("x"), 1);
    assert_eq!(follower.recover(&other, at(0)), Recovery::AskGroup);
    assert_eq!(follower.recover_now(&other, at(0)), Recovery::Known(Err(Unrecovered::EpochUnknown)));
    assert_eq!(follower.recover(&other, at(0)), Recovery::Known(Err(Unrecovered::EpochUnknown)));
}

#[test]
fn a_socket_can_be_ahead_of_its_replica() {
    let mut follower = follower(5);
    follower.told(&position(7), at(0));
    assert_eq!(follower.recover(&position(6), at(0)), Recovery::Known(Ok(0)));
    assert_eq!(follower.recover(&position(8), at(0)), Recovery::AskGroup);
}

#[test]
fn what_is_removed_for_memory_is_asked_for_and_what_expires_is_not() {
    let (log, mut follower) = (log(20), follower(0));
    for offset in 1..=20 {
        assert_eq!(follower.came(&epoch("e"), &recorded(offset), at(0)), Arrival::InOrder);
    }
    follower.shrink(5);
    assert_eq!((follower.window().first(), follower.recover(&position(3), at(0))), (16, Recovery::AskGroup));
    follower.fill(log.tail(AnswerBounds::RECOVERY, at(0)), at(0));
    assert_eq!(follower.recover(&position(3), at(0)), Recovery::Known(Ok(17)));
    let later = at(10 + 60_000);
    follower.expire(8, later);
    assert_eq!(follower.window().first(), 8, "a socket waits for it");
    follower.expire(u64::MAX, later);
    assert_eq!(follower.window().first(), 11);
    assert_eq!(follower.recover(&position(9), later), Recovery::Known(Err(Unrecovered::Expired)));
    assert_eq!(follower.recover(&position(10), later), Recovery::Known(Ok(10)));
}

#[test]
fn an_answer_that_does_not_reach_up_to_what_is_here_is_asked_for_again() {
    let mut follower = follower(5);
    assert_eq!(follower.recover(&position(0), at(0)), Recovery::AskGroup);
    let answer = log(5).tail(AnswerBounds::RECOVERY, at(0));
    assert_eq!(follower.came(&epoch("e"), &recorded(6), at(0)), Arrival::InOrder);
    follower.shrink(0);
    follower.fill(answer, at(0));
    assert_eq!(follower.recover_now(&position(0), at(0)), Recovery::AskGroup);
    follower.fill(log(6).tail(AnswerBounds::RECOVERY, at(0)), at(0));
    assert_eq!(follower.recover_now(&position(0), at(0)), Recovery::Known(Ok(6)));
}
