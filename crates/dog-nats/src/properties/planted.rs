//! Breaks each rule on purpose: a run must find it.

use super::judge::violations;
use super::setting::{Mishap, Profile};
use super::world::run;
use crate::faults::{Fault, plant};
use crate::stream::fake::Weather;

/// The number of runs that must find a planted fault.
const SEEDS: u64 = 200;

/// Plants a fault. Fails unless a run reports a violation with one of these texts.
fn is_found(fault: Fault, profile: &Profile, expected: &[&str]) {
    plant(Some(fault));
    let is_expected = |what: &String| expected.iter().any(|expected| what.contains(expected));
    let first =
        (0..SEEDS).find_map(|seed| Some((seed, violations(&run(profile, seed)).into_iter().find(is_expected)?)));
    plant(None);
    let (seed, what) = first.unwrap_or_else(|| panic!("{SEEDS} runs have not found {fault:?}"));
    println!("{fault:?}: found by seed {seed}: {what}");
}

/// Returns a profile with all kinds of faults.
fn storm() -> Profile {
    Profile::of(&[Mishap::Suspend, Mishap::CutOff, Mishap::Kill, Mishap::ChangeLeader])
}

#[test]
fn a_node_that_uses_its_lease_to_the_end_is_found() {
    is_found(Fault::UsesTheWholeLease, &storm(), &["after its lease was deleted"]);
}

#[test]
fn a_node_that_counts_its_lease_from_the_answer_is_found() {
    // To show this fault, an answer must be late, and the node must be cut off before it renews the lease again.
    let weather = Weather { late: 0.5, ..Weather::default() };
    let profile = Profile { weather: Some(weather), ..Profile::of(&[Mishap::CutOff]) };
    is_found(Fault::CountsFromTheAnswer, &profile, &["after its lease was deleted"]);
}

#[test]
fn a_node_that_deletes_renewed_leases_is_found() {
    is_found(Fault::DeletesRenewedLeases, &storm(), &["lease was deleted", "renewed after its deletion"]);
}

#[test]
fn a_node_that_takes_over_without_asking_for_the_lease_is_found() {
    is_found(Fault::BelievesWhatItHasNotHeard, &storm(), &["had its lease"]);
}

#[test]
fn a_claim_that_expects_no_message_is_found() {
    is_found(Fault::ClaimsWithoutExpectation, &storm(), &["had its lease", "was stored after claim"]);
}

#[test]
fn a_write_that_expects_no_message_is_found() {
    is_found(Fault::WritesWithoutExpectation, &storm(), &["was stored after claim", "had its lease"]);
}

#[test]
fn a_node_that_takes_any_batch_for_its_own_is_found() {
    is_found(Fault::TakesAnyBatchForItsOwn, &storm(), &["is not stored"]);
}

#[test]
fn a_node_that_follows_the_alarms_once_is_found() {
    is_found(Fault::FollowsAlarmsOnce, &Profile { alarms: 0.5, ..storm() }, &["is still set"]);
}

#[test]
fn nodes_that_choose_different_caretakers_are_found() {
    is_found(Fault::HashesDifferentlyInEachProcess, &storm(), &["name"]);
}

#[test]
fn a_claim_that_outlives_the_lease_under_which_it_was_made_is_found() {
    is_found(Fault::KeepsClaimsOfAnEarlierLease, &storm(), &["acted for"]);
}
