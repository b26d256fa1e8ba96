//! Parking, deadlines, and queues that stay short.

use super::{Desk, at, census, replica, report};
use crate::books::MemberState;

#[test]
fn a_replica_is_parked_after_it_has_been_empty_for_long_and_not_when_it_was_used_in_between() {
    for (used_at, parked_at) in [(None, 100), (Some(50), 150), (Some(99), 199)] {
        let mut desk = Desk::new(2, &["a"]);
        if let Some(used_at) = used_at {
            assert_eq!(desk.pass_to(used_at), [""; 0]);
            desk.identify("ann");
            desk.books.release(desk.ticket().id, desk.now);
        }
        assert_eq!(desk.pass_to(parked_at - 1), [""; 0], "used at {used_at:?}");
        assert_eq!(desk.pass_to(parked_at), ["a"], "used at {used_at:?}");
    }
}

#[test]
fn neither_a_seat_nor_a_ticket_lets_a_replica_be_parked() {
    let mut desk = Desk::new(2, &["a", "b"]);
    desk.report(&report("a", 1, 1, &[("ann", 1)]));
    desk.pass_to(90);
    assert_eq!(desk.identify("bob"), "b");
    assert_eq!(desk.pass_to(105), [""; 0], "Bob's ticket counted until now");
    assert_eq!(desk.pass_to(204), [""; 0]);
    assert_eq!(desk.pass_to(205), ["b"]);
}

#[test]
fn a_renewed_ticket_keeps_its_seat_for_a_full_lifetime() {
    let mut desk = Desk::new(1, &["a"]);
    desk.identify("ann");
    desk.pass_to(8);
    let renewed = desk.books.renew(&desk.ticket(), desk.now).expect("its seat is kept");
    assert_eq!((renewed.replica, renewed.expires), (replica("a"), at(18)));
    assert!(desk.books.renew(&desk.ticket(), desk.now).is_none(), "the renewed ticket cannot be used again");
    desk.pass_to(22);
    assert_eq!((desk.seats("a"), desk.identify("bob")), (1, "grow".into()));
    desk.pass_to(23);
    assert_eq!(desk.seats("a"), 0);
    assert!(desk.books.renew(&renewed, desk.now).is_none(), "another client may have its seat");
}

/// Its state when it becomes empty does not matter.
#[test]
fn an_empty_replica_is_parked_in_the_end() {
    type Arrange = fn(&mut Desk);
    let cases: [(&str, Arrange); 4] = [
        ("suspected meanwhile", |desk| {
            desk.books.suspect(replica("a"));
            desk.pass_to(200);
            desk.report(&census("a", 1, 1, &[]));
        }),
        ("joining meanwhile", |desk| {
            desk.books.remove(replica("a"), desk.now);
            desk.admit("a");
            desk.pass_to(200);
            desk.join("a", 1);
        }),
        ("parked meanwhile, and used again", |desk| {
            desk.pass_to(150);
            desk.admit("a");
            desk.join("a", 2);
            desk.pass_to(200);
        }),
        ("suspected, then a new life", |desk| {
            desk.books.suspect(replica("a"));
            desk.pass_to(200);
            desk.books.enrolled(&census("a", 2, 0, &[]), desk.now);
        }),
    ];
    for (case, arrange) in cases {
        let mut desk = Desk::new(2, &["a"]);
        arrange(&mut desk);
        assert_eq!(desk.books.state(replica("a")), Some(MemberState::Active), "{case}");
        desk.pass_to(300);
        assert_eq!(desk.books.state(replica("a")), Some(MemberState::Parked), "{case}");
    }
}

#[test]
fn advancing_from_deadline_to_deadline_ends_and_leaves_nothing() {
    let mut desk = Desk::new(2, &["a", "b", "c"]);
    for who in ["ann", "bob", "cid", "dan"] {
        desk.pass_to(desk.now.as_millis() / 1000 + 3);
        desk.identify(who);
    }
    desk.books.suspect(replica("b"));
    let mut steps = 0;
    while let Some(deadline) = desk.books.next_deadline() {
        assert!(deadline > desk.now, "{deadline:?} at {:?}", desk.now);
        desk.now = deadline;
        desk.books.advance(desk.now);
        steps += 1;
        assert!(steps < 30, "the deadlines do not end");
    }
    let totals = desk.books.totals();
    assert_eq!((totals.tickets, totals.clients, totals.occupied), (0, 0, 0));
    assert_eq!((totals.members, totals.parked), (1, 2), "the suspected member stays");
}

#[test]
fn a_deadline_is_never_too_late() {
    let mut desk = Desk::new(1, &["a"]);
    assert_eq!(desk.books.next_deadline(), Some(at(100)), "parking");
    desk.identify("ann");
    assert_eq!(desk.books.next_deadline(), Some(at(15)), "the ticket");
    desk.pass_to(15);
    assert_eq!(desk.books.next_deadline(), Some(at(45)), "Ann's grace");
}

/// After 100,000 clients have come and left, the queues are no longer than after a few.
#[test]
fn queues_stay_short_under_churn() {
    let mut desk = Desk::new(5, &["a", "b"]);
    for number in 0..100_000_u64 {
        if number % 1000 == 0 {
            desk.now = at(number / 1000);
        }
        // The same forty clients come again and again. Each of them is remembered once.
        desk.identify(&format!("client {}", number % 40));
        let ticket = desk.tickets.pop().unwrap();
        desk.books.release(ticket.id, desk.now);
        let books = &desk.books;
        let lengths = [books.tickets.queue_length(), books.members.queue_length(), books.clients.queue_length()];
        assert!(lengths.iter().all(|length| *length <= 64 + 2 * 41), "{lengths:?} after {number}");
    }
    let totals = desk.books.totals();
    assert_eq!((totals.tickets, totals.clients, totals.occupied), (0, 40, 0));
}

/// With liveness checks on demand, no deadline keeps the Group in memory. A client that comes causes the Group to ask
/// members that were silent for long.
#[test]
fn on_demand_only_members_with_seats_that_were_silent_for_long_are_asked_once_per_lease() {
    let mut desk = Desk::new(2, &["a", "b", "c"]);
    desk.books.check_on_demand();
    desk.report(&report("a", 1, 1, &[("ann", 1)]));
    desk.report(&report("b", 1, 1, &[("bob", 1)]));
    desk.pass_to(1000);
    assert_eq!(desk.books.next_deadline(), None, "two have seats, and the third is parked");
    assert_eq!(desk.books.to_ask(desk.now), []);

    desk.report(&report("b", 1, 2, &[("bob", 2)]));
    desk.books.check_silent(desk.now);
    assert_eq!(desk.books.next_deadline(), Some(desk.now));
    assert_eq!(desk.books.to_ask(desk.now), [replica("a")], "b has just been heard, c is parked");

    desk.report(&census("a", 1, 2, &[("ann", 1)]));
    desk.pass_to(1003);
    assert_eq!(desk.books.to_ask(desk.now), [], "a has answered");
    assert_eq!(desk.books.next_deadline(), None);
    desk.pass_to(1029);
    desk.books.check_silent(desk.now);
    assert_eq!(desk.books.to_ask(desk.now), [], "members are asked at most once per lease time");
    desk.pass_to(1030);
    desk.books.check_silent(desk.now);
    let mut asked = desk.books.to_ask(desk.now);
    asked.sort_unstable();
    let mut silent = [replica("a"), replica("b")];
    silent.sort_unstable();
    assert_eq!(asked, silent);
}

#[test]
fn what_is_stale_leaves_no_deadline() {
    let mut desk = Desk::new(2, &["a"]);
    // With checks by timer, the end of the lease would be a deadline.
    desk.books.check_on_demand();
    desk.identify("ann");
    desk.seat("a", 1, &[("ann", 1)]);
    assert_eq!(desk.books.next_deadline(), None, "the ticket was used, and the Replica is no longer empty");
    desk.report(&report("a", 1, 2, &[("ann", 0)]));
    assert_eq!(desk.books.next_deadline(), Some(at(30)), "Ann's grace");
    desk.report(&report("a", 1, 3, &[("ann", 1)]));
    assert_eq!(desk.books.next_deadline(), None, "she is back");
}
