//! The simulation: thousands of seeds, and the bugs that it has to find. `cargo xtask sim` runs more.

use std::thread::available_parallelism;

use dog_sim::{Bug, Options, explore, explore_and_tell, explore_many};

/// How many seeds are run unless `DOG_SEEDS` says so.
const SEEDS: u64 = 2_000;

/// Each bug is found within so many seeds.
const BUG_SEEDS: u64 = 2_000;

/// Seeds that have failed before, with what was wrong. What a seed leads to changes with the engine and the simulation, so
/// each was also put plainly where that could be done (`tests/lives.rs`).
const FAILED_BEFORE: &[(u64, &str)] = &[
    (48_390, "a Group had crashed, owed its members the news of a sibling, and nobody woke it"),
    (80_562, "the same, with a node cut off"),
    (
        44,
        "a Replica stayed in memory because the news of its last seat's end was acknowledged after it had gone to rest",
    ),
    (3_540, "a Group that woke waited for ever for a member that had answered in a life which was over"),
];

fn seeds() -> u64 {
    match std::env::var("DOG_SEEDS") {
        Ok(seeds) => seeds.parse().expect("DOG_SEEDS is a number"),
        Err(_) => SEEDS,
    }
}

#[test]
fn no_promise_is_broken() {
    let threads = available_parallelism().map_or(1, usize::from);
    let summary = explore_many(0..seeds(), Options::default(), threads);
    println!("sim: {summary}");
    if let Some(seed) = summary.failures.keys().next() {
        let failure = explore_and_tell(*seed, Options::default()).err();
        panic!("{}", failure.map_or_else(|| format!("seed {seed} fails now and then"), |failure| failure.to_string()));
    }
    for promise in (1..=11).chain([13, 14]) {
        assert!(summary.checks.of(promise) > 0, "promise {promise} was never checked: {}", summary.checks);
    }
}

#[test]
fn seeds_that_have_failed_before() {
    for (seed, what) in FAILED_BEFORE {
        if let Err(failure) = explore_and_tell(*seed, Options::default()) {
            panic!("once it was: {what}\n{failure}");
        }
    }
}

/// Which promises a bug breaks where it is first found: not always the same, as what a seed leads to changes with the
/// engine.
fn broken_by(bug: Bug) -> &'static [u8] {
    match bug {
        Bug::ForgottenBooks => &[4, 6, 8, 9],
        Bug::LeakedSeat => &[8],
        Bug::UnawaitedJoin => &[4],
        Bug::AllOrNothing => &[6],
        Bug::DoubleClose => &[7],
        _ => &[],
    }
}

#[test]
fn every_bug_is_found() {
    for bug in Bug::ALL {
        let found = (0..BUG_SEEDS).find_map(|seed| explore(seed, Options::default().bug(bug)).err());
        let found = found.unwrap_or_else(|| panic!("{bug} is not found within {BUG_SEEDS} seeds"));
        println!("bug: {bug} is found at seed {} by promise {}: {}", found.seed, found.promise, found.what);
        assert!(broken_by(bug).contains(&found.promise), "{bug} is found by promise {}", found.promise);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let run = || explore(seed, Options::default().trace());
        let (once, again) = (run().expect("seed passes"), run().expect("seed passes"));
        assert!(!once.trace.is_empty());
        for (line, other) in once.trace.iter().zip(&again.trace) {
            assert_eq!(line, other, "seed {seed}");
        }
        assert_eq!((once.trace.len(), once.steps), (again.trace.len(), again.steps), "seed {seed}");
    }
}

#[test]
fn a_failure_tells_its_trace_and_how_to_see_it_again() {
    let options = Options::default().bug(Bug::LeakedSeat);
    let failure = (0..BUG_SEEDS).find_map(|seed| explore_and_tell(seed, options).err()).expect("it is found");
    let text = failure.to_string();
    assert!(text.lines().count() > 10, "{text}");
    assert!(text.ends_with(&format!("again: cargo xtask sim --seed {} --bug leaked-seat", failure.seed)), "{text}");
}
