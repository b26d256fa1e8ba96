//! Membership and the view (promises 4 and 9).

use dog::Epoch;

use super::{Desk, census, replica, report};
use crate::books::{MemberRecord, MemberState};

#[test]
fn views_name_the_members_and_their_versions_grow() {
    let mut desk = Desk::new(1, &[]);
    let mut last = desk.books.view().version;
    let mut expect = |desk: &Desk, members: &[&str], what: &str| {
        assert_eq!(desk.view(), members, "{what}");
        let version = desk.books.view().version;
        assert!(version > last, "{what}: {version:?} after {last:?}");
        last = version;
    };
    desk.admit("b");
    expect(&desk, &["b"], "a joining member is already in the view");
    desk.join("b", 1);
    desk.admit("a");
    expect(&desk, &["b", "a"], "in the order of admission");
    desk.join("a", 1);
    desk.report(&report("b", 1, 1, &[("ann", 1)]));
    assert_eq!(desk.pass_to(100), ["a"]);
    expect(&desk, &["b"], "parked");
    desk.admit("a");
    expect(&desk, &["b", "a"], "back");
    desk.books.remove(replica("a"), desk.now);
    expect(&desk, &["b"], "removed");
    let desk = desk.restarted();
    expect(&desk, &["b"], "restarted");
}

#[test]
fn the_view_changes_only_with_the_membership() {
    let mut desk = Desk::new(2, &["a", "b"]);
    let version = desk.books.view().version;
    desk.identify("ann");
    desk.seat("a", 1, &[("ann", 1)]);
    desk.books.suspect(replica("a"));
    desk.books.lost(replica("a"), Epoch::from_raw(1), desk.now);
    desk.books.enrolled(&census("a", 2, 0, &[]), desk.now);
    desk.pass_to(50);
    assert!(!desk.books.admit(replica("a"), desk.now), "a member already");
    desk.books.remove(replica("x"), desk.now);
    assert_eq!(desk.books.view().version, version);
}

#[test]
fn a_restarted_group_keeps_its_members() {
    let mut desk = Desk::new(2, &["a", "b"]);
    desk.report(&report("b", 1, 1, &[("ann", 1)]));
    assert_eq!(desk.pass_to(100), ["a"]);
    let mut records: Vec<MemberRecord> = desk.books.records().collect();
    records.sort_unstable_by_key(|record| record.parked);
    let expected = [("b", false), ("a", true)];
    assert_eq!(records, expected.map(|(name, parked)| MemberRecord { replica: replica(name), parked }));
    let desk = desk.restarted();
    let states = ["a", "b", "x"].map(|name| desk.books.state(replica(name)));
    assert_eq!(states, [Some(MemberState::Parked), Some(MemberState::Uncounted), None]);
}

#[test]
fn sockets_that_outlive_a_life_are_seats_of_the_next() {
    let mut desk = Desk::new(2, &["a"]);
    desk.report(&report("a", 1, 2, &[("ann", 1), ("bob", 1)]));
    desk.books.enrolled(&census("a", 2, 1, &[("ann", 1)]), desk.now);
    assert_eq!((desk.seats("a"), desk.books.state(replica("a"))), (1, Some(MemberState::Active)));
    assert_eq!(desk.locate("ann"), ["a"]);
    assert!(desk.locate("bob").is_empty(), "the client left while the object was not in memory");
    let mut desk = desk.restarted();
    desk.books.enrolled(&census("a", 3, 1, &[("ann", 1)]), desk.now);
    assert_eq!((desk.seats("a"), desk.books.uncounted()), (1, vec![]), "the Group need not ask for a census");
}

#[test]
fn a_replica_that_wakes_by_itself_has_the_right_state() {
    let enrol = |desk: &mut Desk, name: &str, epoch: u64| {
        desk.books.enrolled(&census(name, epoch, 0, &[]), desk.now);
        desk.books.state(replica(name))
    };
    let mut desk = Desk::new(2, &["a"]);
    desk.report(&report("a", 1, 1, &[("ann", 1)]));
    assert_eq!(enrol(&mut desk, "a", 2), Some(MemberState::Active));
    assert_eq!(desk.seats("a"), 0, "the seats of its last life are gone");
    assert_eq!(enrol(&mut desk, "x", 1), Some(MemberState::Joining), "a stranger has to join");
    desk.books.suspect(replica("a"));
    assert_eq!(enrol(&mut desk, "a", 1), Some(MemberState::Suspected), "an earlier life does not count");
    assert_eq!(enrol(&mut desk, "a", 3), Some(MemberState::Active));
    assert_eq!(desk.pass_to(100), ["a"]);
    assert_eq!(enrol(&mut desk, "a", 4), Some(MemberState::Parked), "a parked Replica without seats stays parked");
    desk.books.enrolled(&census("a", 5, 1, &[("ann", 1)]), desk.now);
    assert_eq!(desk.books.state(replica("a")), Some(MemberState::Joining), "a parked Replica has to join, too");
    let mut desk = desk.restarted();
    assert_eq!(enrol(&mut desk, "a", 6), Some(MemberState::Active), "a life that begins has no seats to count");
}

#[test]
fn a_removed_replica_loses_its_seats_and_tickets() {
    let mut desk = Desk::new(2, &["a"]);
    desk.report(&report("a", 1, 1, &[("ann", 1)]));
    assert_eq!(desk.identify("bob"), "a");
    desk.books.remove(replica("a"), desk.now);
    let totals = desk.books.totals();
    assert_eq!((totals.members, totals.occupied, totals.tickets), (0, 0, 0));
    assert_eq!((desk.locate("ann").len(), desk.locate("bob").len()), (0, 0));
    assert_eq!(desk.identify("ann"), "grow");
}

#[test]
fn one_that_could_not_join_stays_a_member_if_it_has_said_that_it_has_seats() {
    let parked = || {
        let mut desk = Desk::new(2, &["a"]);
        desk.report(&report("a", 1, 1, &[("ann", 1)]));
        desk.report(&report("a", 1, 2, &[("ann", 0)]));
        assert_eq!(desk.pass_to(100), ["a"]);
        desk
    };
    for (case, mut desk, seats) in
        [("its seats are counted", parked(), 1), ("its seats are not counted", parked().restarted(), 0)]
    {
        desk.report(&report("a", 1, 3, &[("bob", 1)]));
        assert_eq!(desk.books.state(replica("a")), Some(MemberState::Joining), "{case}");
        assert_eq!(desk.identify("cid"), "a, joining");
        desk.books.could_not_join(replica("a"), desk.books.view().version, desk.now);
        assert_eq!(desk.books.state(replica("a")), Some(MemberState::Suspected), "{case}");
        assert_eq!((desk.seats("a"), desk.books.totals().tickets, desk.view()), (seats, 0, vec!["a".into()]), "{case}");
        let asked = desk.books.next_deadline().unwrap();
        assert_eq!(desk.books.to_ask(asked), [replica("a")], "{case}");
        assert!(desk.report(&census("a", 1, 3, &[("bob", 1)])), "{case}");
        assert_eq!((desk.seats("a"), desk.books.state(replica("a"))), (1, Some(MemberState::Active)), "{case}");
    }
    let mut desk = parked();
    desk.admit("a");
    desk.books.could_not_join(replica("a"), desk.books.view().version, desk.now);
    assert_eq!(desk.books.state(replica("a")), None, "it has said nothing");
}

#[test]
fn joining_counts_the_census_of_the_replica() {
    let mut desk = Desk::new(2, &[]);
    desk.admit("a");
    desk.books.joined(&census("a", 4, 9, &[("ann", 1)]), desk.now);
    assert_eq!((desk.seats("a"), desk.books.state(replica("a"))), (1, Some(MemberState::Active)));
    assert!(desk.report(&report("a", 4, 8, &[("ann", 2)])));
    assert_eq!(desk.seats("a"), 1, "an older report changes nothing");
    desk.books.joined(&census("x", 1, 1, &[]), desk.now);
    assert_eq!(desk.books.state(replica("x")), None, "a Replica that was removed meanwhile has not joined");
}

#[test]
fn the_view_is_in_the_order_of_admission_even_after_members_were_parked() {
    let mut desk = Desk::new(1, &["a", "b", "c"]);
    desk.pass_to(100);
    assert_eq!(desk.view(), [""; 0]);
    for member in ["c", "a"] {
        desk.admit(member);
        desk.join(member, 1);
    }
    desk.admit("d");
    assert_eq!(desk.view(), ["a", "c", "d"]);
    desk.books.remove(replica("c"), desk.now);
    assert_eq!(desk.view(), ["a", "d"]);
}

#[test]
fn the_census_ends_when_the_last_member_is_counted_suspected_or_removed() {
    let mut desk = Desk::new(1, &["a", "b", "c"]).restarted();
    assert!(desk.books.is_uncounted(replica("a")) && !desk.books.is_uncounted(replica("x")));
    assert!(desk.books.report(&census("a", 1, 0, &[]), desk.now) && desk.books.awaits_census());
    assert!(!desk.books.is_uncounted(replica("a")));
    desk.books.suspect(replica("b"));
    assert!(desk.books.awaits_census());
    desk.books.remove(replica("c"), desk.now);
    assert!(!desk.books.awaits_census());
}
