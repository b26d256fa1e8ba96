//! How many seats one client may have.

use dog::Policy;

use super::{Desk, policy, report};

fn desk(most: u32) -> Desk {
    let policy = Policy { max_seats_per_client: Some(most), ..policy() };
    Desk::with_policy(1, &["a", "b", "c"], policy)
}

#[test]
fn a_client_has_so_many_seats_on_all_replicas_together() {
    let mut desk = desk(2);
    assert_eq!(desk.identify("ann"), "a");
    assert!(desk.seat("a", 1, &[("ann", 1)]));
    assert_eq!(desk.identify("ann"), "b");
    assert_eq!(desk.identify("ann"), "refuse", "a ticket counts as a seat");
    assert!(desk.seat("b", 1, &[("ann", 1)]));
    assert_eq!(desk.identify("ann"), "refuse");
    assert_eq!(desk.identify("bob"), "c", "others are not concerned");
    desk.report(&report("a", 1, 2, &[("ann", 0)]));
    assert_eq!(desk.identify("ann"), "a");
}

#[test]
fn a_ticket_that_is_given_back_or_expires_is_no_seat() {
    let mut desk = desk(1);
    assert_eq!(desk.identify("ann"), "a");
    assert_eq!(desk.identify("ann"), "refuse");
    let ticket = desk.ticket().id;
    desk.books.release(ticket, desk.now);
    assert_eq!(desk.identify("ann"), "a");
    assert_eq!(desk.identify("ann"), "refuse");
    desk.pass_to(20);
    assert_eq!(desk.identify("ann"), "a");
}

#[test]
fn a_client_that_a_replica_has_refused_is_placed_again() {
    let mut desk = desk(1);
    assert_eq!(desk.identify("ann"), "a");
    assert_eq!(desk.identify_refused("ann", Some("a")), "b");
    assert_eq!(desk.identify("ann"), "refuse");
}
