//! Which Replica serves a client (promises 1, 2 and 3).

use dog::{Anonymous, ClientId, Placement, Policy};

use super::{Desk, census, client, policy, replica, report};
use crate::address::NodeId;
use crate::books::Decision;
use crate::message::Report;

#[test]
fn the_first_client_makes_the_first_replica_and_waits_until_it_has_joined() {
    let mut desk = Desk::new(2, &[]);
    assert_eq!(desk.identify("ann"), "grow");
    desk.admit("a");
    assert_eq!(desk.identify("ann"), "a, joining");
    desk.join("a", 1);
    assert_eq!(desk.identify("ann"), "a");
}

#[test]
fn a_client_that_is_not_known_is_not_sticky_and_not_remembered() {
    let mut desk = Desk::new(2, &["a", "b"]);
    let ids = [0, 1].map(|_| desk.books.with_id(ClientId::to_be_generated(Anonymous::UntilAssigned)));
    assert_ne!(ids[0], ids[1], "each has another id");
    assert_eq!(desk.books.with_id(ids[0].clone()), ids[0], "it is generated once");
    assert_eq!(desk.books.with_id(client("ann")), client("ann"));
    let Decision::Placed { ticket, .. } = desk.books.identify(&ids[0], None, desk.now) else { panic!("no seat") };
    assert_eq!(ticket.replica, replica("a"));
    let Decision::Placed { ticket: second, .. } = desk.books.identify(&ids[0], None, desk.now) else {
        panic!("no seat")
    };
    assert_eq!(second.replica, replica("b"), "the least used, not the one before");
    for ticket in [ticket.id, second.id] {
        desk.books.release(ticket, desk.now);
    }
    assert_eq!((desk.books.totals().clients, desk.books.last(&ids[0])), (0, None));
    assert!(desk.books.client_records(desk.now).is_empty());
}

#[test]
fn it_grows_when_all_are_full_and_not_before() {
    let mut desk = Desk::new(2, &["a", "b"]);
    for (who, expected) in [("ann", "a"), ("bob", "b"), ("cid", "a"), ("dan", "b"), ("eve", "grow")] {
        assert_eq!(desk.identify(who), expected, "{who}");
    }
    assert_eq!((desk.seats("a"), desk.seats("b")), (2, 2), "a ticket counts as a seat");
}

#[test]
fn others_go_to_the_least_used_and_among_equals_to_the_oldest() {
    // The order of joining decides, not the order of names.
    for (sitting, expected) in [
        ([("c", 0), ("a", 0), ("b", 0)], "c"),
        ([("c", 2), ("a", 1), ("b", 1)], "a"),
        ([("c", 2), ("a", 2), ("b", 1)], "b"),
        ([("c", 3), ("a", 2), ("b", 3)], "a"),
        ([("c", 3), ("a", 3), ("b", 3)], "grow"),
    ] {
        let mut desk = Desk::new(3, &["c", "a", "b"]);
        for (member, seats) in sitting {
            desk.report(&report(member, 1, 1, &[("others", seats)]));
        }
        assert_eq!(desk.identify("ann"), expected, "{sitting:?}");
    }
}

#[test]
fn fill_first_takes_the_most_used_with_room_and_among_equals_the_oldest() {
    for (sitting, expected, after_it) in [
        ([("c", 0), ("a", 0), ("b", 0)], "c", "a"),
        ([("c", 2), ("a", 1), ("b", 1)], "c", "a"),
        ([("c", 0), ("a", 1), ("b", 2)], "b", "a"),
        ([("c", 3), ("a", 1), ("b", 1)], "a", "b"),
        ([("c", 3), ("a", 3), ("b", 2)], "b", "grow"),
        ([("c", 3), ("a", 3), ("b", 3)], "grow", "grow"),
        // Over the limit: it may have been lowered.
        ([("c", 4), ("a", 0), ("b", 5)], "a", "grow"),
    ] {
        let mut desk = Desk::with_policy(3, &["c", "a", "b"], Policy { placement: Placement::FillFirst, ..policy() });
        for (member, seats) in sitting {
            desk.report(&report(member, 1, 1, &[("others", seats)]));
        }
        assert_eq!(desk.identify("ann"), expected, "{sitting:?}");
        if expected != "grow" {
            desk.books.release(desk.ticket().id, desk.now);
            assert_eq!(desk.identify_refused("bob", Some(expected)), after_it, "{sitting:?}, refused by {expected}");
        }
    }
}

#[test]
fn fill_first_fills_one_after_the_other_and_keeps_clients_where_they_are() {
    let mut desk = Desk::with_policy(2, &["a", "b"], Policy { placement: Placement::FillFirst, ..policy() });
    for (who, expected) in [("ann", "a"), ("bob", "a"), ("cid", "b")] {
        assert_eq!(desk.identify(who), expected, "{who}");
    }
    desk.books.release(desk.tickets[0].id, desk.now);
    assert_eq!(desk.identify("cid"), "b", "where she is");
    assert_eq!(desk.identify("dan"), "a", "the only one with room");
    assert_eq!(desk.identify("eve"), "grow");
}

#[test]
fn a_client_returns_to_its_replica_however_full_and_others_do_not() {
    let mut desk = Desk::new(3, &["a", "b"]);
    assert_eq!(desk.identify("ann"), "a");
    desk.seat("a", 1, &[("ann", 1), ("others", 1)]);
    assert_eq!(desk.identify("bob"), "b", "least used");
    assert_eq!(desk.identify("ann"), "a", "she was on `a` before");
    assert_eq!(desk.identify("ann"), "b", "`a` is full now");
    assert_eq!(desk.locate("ann"), ["a", "b"]);
}

#[test]
fn the_last_replica_is_the_one_that_counts() {
    let mut desk = Desk::new(2, &["a", "b"]);
    assert_eq!(desk.identify("ann"), "a");
    assert_eq!(desk.identify_refused("ann", Some("a")), "b");
    assert_eq!(desk.identify("ann"), "b");
}

#[test]
fn a_client_is_remembered_for_the_grace_after_its_last_seat_and_no_longer() {
    for (returning, expected) in [(49, "b"), (50, "a")] {
        let mut desk = Desk::new(3, &["a", "b"]);
        desk.report(&report("a", 1, 1, &[("others", 1)]));
        assert_eq!(desk.identify("ann"), "b");
        desk.seat("b", 1, &[("ann", 1)]);
        desk.pass_to(20);
        // She leaves and another client comes. If the Group did not remember her, it would place her on `a`.
        desk.report(&report("b", 1, 2, &[("ann", 0), ("more", 2)]));
        desk.pass_to(returning);
        assert_eq!(desk.identify("ann"), expected, "at {returning} s");
    }
}

#[test]
fn a_client_that_was_assigned_elsewhere_comes_back_to_where_it_was_last() {
    let mut desk = Desk::new(2, &["a", "b"]);
    assert_eq!(desk.identify("ann"), "a");
    desk.seat("a", 1, &[("ann", 1)]);
    desk.report(&report("a", 1, 2, &[("ann", 0)]));
    // Without a ticket in its name.
    desk.report(&report("b", 1, 1, &[("ann", 1)]));
    desk.report(&report("b", 1, 2, &[("ann", 0)]));
    assert_eq!(desk.identify("ann"), "b");
    desk.seat("b", 3, &[("ann", 1)]);
    desk.report(&report("a", 1, 3, &[("ann", 1)]));
    assert_eq!(desk.identify("ann"), "b", "it is still there");
}

#[test]
fn the_grace_begins_again_with_each_visit() {
    let mut desk = Desk::new(2, &["a", "b"]);
    assert_eq!(desk.identify("ann"), "a");
    desk.seat("a", 1, &[("ann", 1)]);
    for (sequence, leaving) in [(2, 10), (4, 35), (6, 60)] {
        desk.pass_to(leaving);
        desk.report(&report("a", 1, sequence, &[("ann", 0)]));
        desk.pass_to(leaving + 20);
        desk.report(&report("a", 1, sequence + 1, &[("ann", 1)]));
    }
    desk.report(&report("a", 1, 8, &[("ann", 0), ("others", 1)]));
    desk.pass_to(109);
    assert_eq!(desk.identify("ann"), "a");
}

#[test]
fn a_refused_client_goes_elsewhere() {
    let mut desk = Desk::new(2, &["a", "b"]);
    assert_eq!(desk.identify("ann"), "a");
    assert_eq!(desk.identify_refused("ann", Some("a")), "b", "neither her last Replica nor an equally full one");
    let mut desk = Desk::new(2, &["a"]);
    assert_eq!(desk.identify("ann"), "a");
    assert_eq!(desk.identify_refused("ann", Some("a")), "grow");
}

/// Returns books in which `a` and `b` are parked. `b` has been parked for longer.
fn two_parked() -> Desk {
    let mut desk = Desk::new(1, &["a", "b"]);
    assert_eq!(desk.identify("ann"), "a");
    desk.books.release(desk.ticket().id, desk.now);
    desk.pass_to(5);
    assert_eq!(desk.identify("ann"), "a");
    desk.books.release(desk.ticket().id, desk.now);
    assert_eq!(desk.pass_to(100), ["b"]);
    assert_eq!(desk.pass_to(105), ["a"]);
    desk
}

#[test]
fn a_parked_replica_is_used_before_a_new_one_the_longest_parked_first() {
    let mut desk = two_parked();
    assert_eq!(desk.identify("bob"), "unpark b");
    desk.admit("b");
    assert_eq!(desk.identify("bob"), "b, joining");
    assert_eq!(desk.identify("cid"), "unpark a");
    desk.admit("a");
    assert_eq!(desk.identify("cid"), "a, joining");
    assert_eq!(desk.identify("dan"), "grow");
}

#[test]
fn a_parked_replica_is_not_used_for_a_client_that_it_refused() {
    let mut desk = two_parked();
    assert_eq!(desk.identify_refused("bob", Some("b")), "unpark a");
    desk.admit("a");
    desk.join("a", 1);
    desk.report(&report("a", 1, 1, &[("others", 1)]));
    assert_eq!(desk.identify_refused("bob", Some("b")), "grow");
}

#[test]
fn a_client_of_a_parked_replica_has_it_used_again() {
    let mut desk = Desk::new(1, &["a", "b"]);
    desk.report(&report("a", 1, 1, &[("others", 1)]));
    assert_eq!(desk.identify("ann"), "b");
    desk.books.release(desk.ticket().id, desk.now);
    // Clients are remembered for longer than it takes to park a Replica.
    desk.books.policy.sticky_for = std::time::Duration::from_secs(1000);
    assert_eq!(desk.pass_to(100), ["b"]);
    desk.report(&report("a", 1, 2, &[("others", 0)]));
    assert_eq!(desk.identify("ann"), "unpark b", "though `a` has room");
    assert_eq!(desk.identify("bob"), "a");
}

#[test]
fn no_client_is_sent_to_a_suspect_until_it_is_heard_again() {
    let mut desk = Desk::new(2, &["a", "b"]);
    assert_eq!(desk.identify("ann"), "a");
    desk.seat("a", 1, &[("ann", 1)]);
    desk.books.suspect(replica("a"));
    assert_eq!(desk.identify("ann"), "b");
    assert_eq!(desk.view(), ["a", "b"], "it is still a member");
    desk.report(&report("a", 1, 2, &[("ann", 0)]));
    assert_eq!(desk.identify("bob"), "a");
}

#[test]
fn after_a_restart_clients_wait_until_all_members_are_counted_or_suspected() {
    let mut desk = Desk::new(1, &["a", "b", "c"]).restarted();
    assert_eq!(desk.identify("ann"), "wait");
    desk.report(&census("a", 1, 1, &[("bob", 1)]));
    desk.report(&census("b", 1, 0, &[]));
    assert_eq!(desk.identify("ann"), "wait", "`c` may not know its siblings yet");
    desk.books.suspect(replica("c"));
    assert_eq!(desk.identify("ann"), "b");
    assert_eq!(desk.identify("bob"), "grow", "he is at `a`, which is full");
}

#[test]
fn a_restart_of_the_host_does_not_change_how_long_clients_are_known() {
    // Clients are remembered for 30 s. Ann left at 5 s and Bob at 10 s. Cid is connected when the host shuts down at 20
    // s. Dan left and came back.
    let mut desk = Desk::new(2, &["a", "b"]);
    for (who, member) in [("ann", "a"), ("bob", "b"), ("cid", "a"), ("dan", "b")] {
        assert_eq!(desk.identify(who), member);
    }
    desk.report(&report("b", 1, 1, &[("bob", 1), ("dan", 1)]));
    desk.seat("a", 1, &[("ann", 1), ("cid", 1)]);
    desk.pass_to(5);
    desk.report(&report("a", 1, 2, &[("ann", 0), ("cid", 1)]));
    desk.pass_to(10);
    desk.report(&report("b", 1, 2, &[("bob", 0), ("dan", 1)]));
    desk.pass_to(12);
    desk.report(&report("b", 1, 3, &[("dan", 0)]));
    desk.identify("dan");
    desk.pass_to(20);
    let records = desk.books.client_records(desk.now);
    let told: Vec<_> = records.iter().map(|record| (record.client.as_str(), record.since.as_millis() / 1000)).collect();
    assert_eq!(told, [("ann", 5), ("bob", 10), ("cid", 20), ("dan", 20)]);

    let next_life = |seconds| {
        let mut desk = Desk::new(2, &["a", "b"]).restarted();
        desk.now = super::at(seconds);
        desk.books.restore_clients(records.clone(), desk.now);
        let last = |who| desk.books.last(&super::client(who)).map(super::name).unwrap_or_default();
        ["ann", "bob", "cid", "dan"].map(last).concat()
    };
    assert_eq!(next_life(34), "abab");
    assert_eq!(next_life(35), "bab", "ann is forgotten after 30 s, as without a restart");
    assert_eq!(next_life(40), "ab");
    assert_eq!(next_life(50), "");
    // A clock that was set back does not extend this time.
    assert_eq!(next_life(1), "abab");
}

#[test]
fn a_restored_client_returns_to_its_replica_and_is_forgotten_in_time() {
    let mut desk = Desk::new(1, &["a", "b"]);
    assert_eq!((desk.identify("ann"), desk.identify("bob")), ("a".into(), "b".into()));
    let records = desk.books.client_records(desk.now);
    let mut desk = desk.restarted();
    desk.books.restore_clients(records, desk.now);
    assert_eq!(desk.identify("bob"), "wait");
    desk.report(&census("a", 2, 0, &[]));
    desk.report(&census("b", 2, 0, &[]));
    // Without the record, the client would be placed on the oldest Replica.
    assert_eq!(desk.identify("bob"), "b");
    assert_eq!(desk.books.next_deadline(), Some(super::at(15)), "of bob's ticket");
    desk.pass_to(30);
    assert_eq!(desk.books.last(&super::client("ann")), None);
}

#[test]
fn clients_of_a_node_use_replicas_on_that_node_even_if_others_have_room() {
    let (here, there) = (NodeId::from_raw(1), NodeId::from_raw(2));
    let mut desk = Desk::new(2, &[]);
    assert_eq!(desk.identify_near("ann", here), "grow");
    assert!(desk.books.admit_at(replica("a"), here, desk.now));
    desk.books.joined(&Report { node: here, ..census("a", 1, 0, &[]) }, desk.now);
    assert_eq!(desk.identify_near("ann", here), "a");
    assert_eq!(desk.identify_near("bob", there), "grow", "each node has its own Replica");
    assert_eq!(desk.identify_near("ann", there), "a", "she was on `a` before");
    let anywhere = desk.books.identify_anywhere(&client("bob"), desk.now);
    assert_eq!(anywhere, None, "it is full");
    // It reports itself where it lives.
    assert!(desk.books.admit_at(replica("b"), there, desk.now));
    desk.books.joined(&Report { node: here, ..census("b", 1, 0, &[]) }, desk.now);
    assert_eq!((desk.identify_near("cid", there), desk.identify_near("cid", here)), ("grow".into(), "b".into()));
    assert_eq!(desk.books.seated_at(here), [replica("a"), replica("b")]);
}
