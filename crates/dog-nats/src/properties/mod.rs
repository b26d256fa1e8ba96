//! Property tests: nodes over a simulated JetStream, with random faults from a seed. The rules are checked on the
//! history of the streams, and on a log of what the nodes did at which virtual time. A failed run prints its seed. Set
//! `DOG_SEED` to that number to repeat the run.
//!
//! - `setting`: the kind of a run, and what its processes share
//! - `world`: a run with its processes and faults
//! - `process`: one process: a node, an application that owns objects, writes and rings alarms, and a witness that acts
//!   whenever the node may
//! - `log`: the log of what the applications did
//! - `judge`: the rules
//! - `planted`: breaks each rule on purpose, to show that a run finds it

mod judge;
mod log;
mod planted;
mod process;
mod setting;
mod world;

use judge::violations;
use setting::{Mishap, Profile};
use world::run;

/// The number of runs per test.
const SEEDS: u64 = 200;

/// Runs the seeds. Fails at the first run that violates a rule.
fn holds(profile: &Profile) {
    let given = std::env::var("DOG_SEED").ok().map(|seed| seed.parse::<u64>().expect("DOG_SEED: a number"));
    let seeds = given.map_or(0..SEEDS, |seed| seed..seed + 1);
    let mut done = log::Totals::default();
    for seed in seeds {
        let outcome = run(profile, seed);
        let found = violations(&outcome);
        assert!(found.is_empty(), "seed {seed}: {}", found.join("\n"));
        done.add(&outcome);
    }
    println!("{done}");
    if given.is_none() {
        done.assert_not_idle();
    }
}

/// A node acts only before its lease can be deleted, despite wrong clock speeds, pauses and lost answers.
#[test]
fn a_node_stops_acting_before_another_node_may_act() {
    holds(&Profile::of(&[Mishap::Suspend, Mishap::CutOff, Mishap::Kill]));
}

/// An object moves to another node only if the lease of its owner is gone or its owner has released it.
#[test]
fn an_object_has_one_owner_at_a_time() {
    holds(&Profile {
        objects: 2,
        ..Profile::of(&[Mishap::Suspend, Mishap::CutOff, Mishap::Kill, Mishap::ChangeLeader])
    });
}

/// No write of an earlier claim is stored after a later claim, and each acknowledged write is stored.
#[test]
fn a_write_of_an_earlier_life_is_never_stored_after_a_later_one_began() {
    holds(&Profile { objects: 2, writes: 0.9, ..Profile::of(&[Mishap::Suspend, Mishap::ChangeLeader]) });
}

/// An alarm rings at least once even if its object's owner is gone. All nodes agree on the caretaker of an object.
#[test]
fn an_alarm_rings_at_least_once_after_a_takeover() {
    holds(&Profile { alarms: 0.5, ..Profile::of(&[Mishap::Kill, Mishap::CutOff, Mishap::ChangeLeader]) });
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let profile = Profile::of(&[Mishap::Suspend, Mishap::CutOff, Mishap::Kill, Mishap::ChangeLeader]);
    let [one, other] = [7, 7].map(|seed| run(&profile, seed).summary());
    assert_eq!(one, other);
    assert_ne!(one, run(&profile, 8).summary());
}
