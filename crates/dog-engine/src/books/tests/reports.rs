//! Reports, tickets and the census (promise 8).

use super::{Desk, at, census, client, name, replica, report};
use crate::books::MemberState;
use crate::message::Report;
use dog::Epoch;
use dog::internal::Door;

#[test]
fn a_ticket_counts_until_it_is_taken_and_then_the_seat_does() {
    let mut desk = Desk::new(5, &["a"]);
    desk.identify("ann");
    desk.identify("bob");
    assert_eq!((desk.seats("a"), desk.books.totals().tickets), (2, 2));
    assert!(desk.seat("a", 2, &[("ann", 1), ("bob", 1)]));
    assert_eq!((desk.seats("a"), desk.books.totals().tickets), (2, 0));
    assert_eq!(desk.books.totals().occupied, 2);
}

#[test]
fn an_unused_ticket_expires_some_time_after_the_replica_refuses_it() {
    let mut desk = Desk::new(5, &["a"]);
    desk.identify("ann");
    assert_eq!(desk.ticket().expires, at(10));
    assert_eq!(desk.books.next_deadline(), Some(at(15)));
    desk.pass_to(14);
    assert_eq!((desk.seats("a"), desk.locate("ann")), (1, vec!["a".into()]), "a report may be on its way");
    desk.pass_to(15);
    assert_eq!((desk.seats("a"), desk.locate("ann")), (0, vec![]));
}

#[test]
fn a_released_ticket_gives_its_seat_back_at_once_and_only_once() {
    let mut desk = Desk::new(5, &["a"]);
    desk.identify("ann");
    desk.identify("bob");
    let released = desk.tickets[0].id;
    for _ in 0..2 {
        desk.books.release(released, desk.now);
        assert_eq!((desk.seats("a"), desk.locate("ann")), (1, vec![]));
    }
    desk.pass_to(15);
    assert_eq!(desk.seats("a"), 0, "nor does it expire once more");
}

#[test]
fn which_reports_count_and_which_are_acknowledged() {
    let first = report("a", 3, 7, &[("ann", 2)]);
    let ann_left = |epoch, sequence| report("a", epoch, sequence, &[("ann", 0)]);
    for (case, second, acknowledged, seats) in [
        ("later", ann_left(3, 8), true, 0),
        ("the same again", first.clone(), true, 2),
        ("of the same number", ann_left(3, 7), true, 2),
        ("earlier", ann_left(3, 6), true, 2),
        ("of an earlier life", ann_left(2, 9), false, 2),
        ("a census of an earlier life", census("a", 2, 9, &[]), false, 2),
        ("a census that is newer", census("a", 3, 8, &[]), true, 0),
        ("a census of the same number", census("a", 3, 7, &[("bob", 1)]), true, 1),
        ("a census that is late", census("a", 3, 6, &[]), true, 2),
        ("of a stranger without seats", report("x", 9, 9, &[("ann", 0)]), true, 2),
    ] {
        let mut desk = Desk::new(5, &[]);
        desk.admit("a");
        desk.join("a", 3);
        assert!(desk.report(&first));
        assert_eq!(desk.report(&second), acknowledged, "{case}");
        assert_eq!(desk.seats("a"), seats, "{case}");
    }
}

#[test]
fn a_new_life_begins_without_the_seats_of_the_last_one() {
    let mut desk = Desk::new(5, &["a"]);
    desk.report(&report("a", 1, 9, &[("ann", 1), ("bob", 1)]));
    // Its seats are asked for and not guessed: this life may have seats that it has not reported yet.
    assert!(desk.report(&report("a", 2, 1, &[("cid", 1)])));
    assert_eq!((desk.seats("a"), desk.books.totals().occupied), (1, 1));
    let places = ["ann", "bob", "cid"].map(|who| desk.locate(who).len());
    assert_eq!(places, [0, 0, 1]);
    assert!(!desk.report(&report("a", 1, 10, &[("ann", 1)])), "a word from the grave");
    assert_eq!(desk.seats("a"), 1);
}

#[test]
fn a_parked_replica_comes_back_in_another_life_whose_reports_begin_anew() {
    let mut desk = Desk::new(5, &["a"]);
    desk.report(&report("a", 1, 1, &[("ann", 1)]));
    desk.report(&report("a", 1, 20, &[("ann", 0)]));
    assert_eq!(desk.pass_to(100), ["a"]);
    desk.admit("a");
    desk.join("a", 2);
    assert!(desk.report(&report("a", 2, 1, &[("bob", 1)])));
    assert_eq!((desk.seats("a"), desk.locate("bob")), (1, vec!["a".into()]));
}

#[test]
fn a_farewell_ends_what_was_known_of_that_life_and_of_none_after_it() {
    for (life, left) in [(1, 2), (2, 0), (3, 0)] {
        let mut desk = Desk::new(5, &[]);
        desk.admit("a");
        desk.join("a", 2);
        desk.report(&report("a", 2, 1, &[("ann", 2)]));
        desk.books.lost(replica("a"), Epoch::from_raw(life), desk.now);
        let located = if left == 0 { vec![] } else { vec!["a".to_owned()] };
        assert_eq!((desk.seats("a"), desk.locate("ann")), (left, located), "the farewell of life {life}");
        assert_eq!(desk.books.state(replica("a")), Some(MemberState::Active), "it is still a member");
    }
}

#[test]
fn tickets_outlive_the_life_in_which_they_were_given() {
    let mut desk = Desk::new(5, &["a"]);
    desk.identify("ann");
    desk.books.lost(replica("a"), Epoch::from_raw(1), desk.now);
    assert_eq!((desk.seats("a"), desk.locate("ann")), (1, vec!["a".into()]));
}

#[test]
fn a_census_names_all_clients_and_so_removes_the_others() {
    let mut desk = Desk::new(5, &["a"]);
    desk.report(&report("a", 1, 2, &[("ann", 1), ("bob", 1)]));
    assert!(desk.report(&census("a", 1, 3, &[("bob", 1)])));
    assert_eq!((desk.seats("a"), desk.locate("ann"), desk.locate("bob")), (1, vec![], vec!["a".into()]));
}

#[test]
fn a_restarted_group_counts_nothing_before_the_census() {
    let mut desk = Desk::new(5, &["a", "b"]).restarted();
    let mut uncounted: Vec<String> = desk.books.uncounted().into_iter().map(name).collect();
    uncounted.sort_unstable();
    assert_eq!(uncounted, ["a", "b"]);
    // Bob has come. Ann, whom the last life of the Group had acknowledged, is not named again.
    let change = Report { occupied: 2, ..report("a", 1, 5, &[("bob", 1)]) };
    for suspected in [false, true] {
        if suspected {
            desk.books.suspect(replica("a"));
        }
        assert!(!desk.report(&change), "suspected: {suspected}");
        assert_eq!(desk.seats("a"), 0);
        assert!(desk.books.uncounted().contains(&replica("a")), "suspected: {suspected}");
    }
    assert!(desk.report(&census("a", 1, 5, &[("ann", 1), ("bob", 1)])));
    assert_eq!((desk.seats("a"), desk.locate("ann")), (2, vec!["a".into()]));
    assert_eq!(desk.books.state(replica("a")), Some(MemberState::Active));
    assert!(desk.report(&report("a", 1, 6, &[("ann", 0)])), "from now on, reports of changes are enough");
    assert_eq!(desk.books.last(&client("bob")), Some(replica("a")), "he would be placed there again");
}

#[test]
fn a_late_report_does_not_fill_a_replica_that_was_parked_before_the_restart() {
    let mut desk = Desk::new(5, &["a"]);
    assert_eq!(desk.pass_to(100), ["a"]);
    let mut desk = desk.restarted();
    assert!(!desk.report(&report("a", 1, 1, &[("ann", 1)])));
    assert_eq!((desk.seats("a"), desk.books.state(replica("a"))), (0, Some(MemberState::Joining)));
    desk.books.joined(&census("a", 1, 2, &[]), desk.now);
    assert!(desk.report(&report("a", 1, 1, &[("ann", 1)])), "it is acknowledged and changes nothing");
    assert_eq!(desk.seats("a"), 0);
}

#[test]
fn a_parked_or_unknown_replica_with_seats_joins() {
    for member in ["a", "x"] {
        let mut desk = Desk::new(5, &["a"]);
        assert_eq!(desk.pass_to(100), ["a"]);
        let before = desk.books.view().version;
        desk.report(&report(member, 1, 1, &[("ann", 1)]));
        assert_eq!(desk.books.state(replica(member)), Some(MemberState::Joining), "{member}");
        assert!(desk.books.view().version > before && desk.view() == [member], "{:?}", desk.view());
        desk.books.joined(&census(member, 1, 1, &[("ann", 1)]), desk.now);
        assert_eq!(desk.locate("ann"), [member]);
    }
}

#[test]
fn locate_names_every_replica_with_a_seat_or_a_ticket_of_the_client() {
    let mut desk = Desk::new(5, &["a", "b", "c"]);
    desk.report(&report("a", 1, 1, &[("ann", 2), ("bob", 1)]));
    desk.report(&report("b", 1, 1, &[("ann", 1)]));
    assert_eq!(desk.identify_refused("ann", Some("a")), "c");
    for (who, places) in [("ann", vec!["a", "b", "c"]), ("bob", vec!["a"]), ("cid", vec![])] {
        assert_eq!(desk.locate(who), places, "{who}");
    }
    desk.report(&report("b", 1, 2, &[("ann", 0)]));
    desk.pass_to(15);
    assert_eq!(desk.locate("ann"), ["a"]);
}

#[test]
fn a_closed_replica_gets_those_who_are_known_there_and_no_newcomers() {
    let mut desk = Desk::new(3, &["a", "b"]);
    assert_eq!(desk.identify("ann"), "a");
    desk.seat("a", 1, &[("ann", 1)]);
    desk.report(&Report { door: Door::Closed, ..report("a", 1, 2, &[("ann", 1)]) });
    assert_eq!((desk.identify("ann"), desk.ticket().newcomer), ("a".into(), false));
    for who in ["bob", "cid", "dan"] {
        assert_eq!((desk.identify(who), desk.ticket().newcomer), ("b".into(), true));
    }
    assert_eq!(desk.identify("eve"), "grow", "`a` has room and is closed");
    assert_eq!(desk.books.identify_anywhere(&client("eve"), desk.now), None);
    assert!(desk.report(&report("a", 1, 1, &[("ann", 1)])), "an old report opens nothing");
    assert_eq!(desk.identify("eve"), "grow");
    desk.report(&report("a", 1, 3, &[("ann", 1)]));
    assert_eq!(desk.identify("eve"), "a", "open again");
}

#[test]
fn a_group_that_wakes_learns_of_closed_doors_with_the_census() {
    let mut desk = Desk::new(3, &["a"]);
    desk.report(&Report { door: Door::Closed, ..report("a", 1, 1, &[("ann", 1)]) });
    let mut desk = desk.restarted();
    desk.report(&Report { door: Door::Closed, ..census("a", 1, 1, &[("ann", 1)]) });
    assert_eq!((desk.identify("bob"), desk.identify("ann")), ("grow".into(), "a".into()));
}

#[test]
fn a_door_opens_with_the_next_life_and_with_parking() {
    let closed = |epoch| Report { door: Door::Closed, ..census("a", epoch, 1, &[]) };
    let mut desk = Desk::new(3, &["a"]);
    desk.report(&closed(1));
    assert_eq!(desk.identify("ann"), "grow");
    desk.books.lost(replica("a"), Epoch::from_raw(1), desk.now);
    assert_eq!(desk.identify("ann"), "a");
    let mut desk = Desk::new(3, &["a"]);
    desk.report(&closed(1));
    assert_eq!(desk.pass_to(100), ["a"], "it is empty");
    desk.report(&Report { sequence: 2, ..closed(1) });
    assert_eq!(desk.identify("ann"), "unpark a");
    desk.admit("a");
    assert_eq!(desk.identify("ann"), "a, joining");
}
