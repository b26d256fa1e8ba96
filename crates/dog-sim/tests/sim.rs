//! Runs the simulation with thousands of seeds, and with planted bugs that it must find. `cargo xtask sim` runs more
//! seeds.

use std::thread::available_parallelism;

use dog_sim::{Bug, Options, explore, explore_many, explore_with_trace};

/// The number of seeds, unless `DOG_SEEDS` is set.
const SEEDS: u64 = 2_000;

/// Each bug is found within this many seeds.
const BUG_SEEDS: u64 = 2_000;

/// Seeds that have failed before, each with the cause. When the engine or the simulation changes, a seed gives a
/// different run. So each cause also has a regression test where possible (`crates/dog-testing/tests/lives.rs`).
const FAILED_BEFORE: &[(u64, &str)] = &[
    (48_390, "a Group had crashed before it told its members about a new sibling, and nothing woke it"),
    (80_562, "the same, with a node cut off"),
    (44, "a Replica stayed in memory because the report of its last seat was acknowledged after it had hibernated"),
    (3_540, "a Group that woke waited without end for a member that had answered in an earlier life"),
    (5_877, "a Replica crashed when it had reported a connection and not yet its seat, and the connection never ended"),
    (9_003, "the same, with a report that was late"),
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
    if let Some(seed) = summary.findings.keys().next() {
        let finding = explore_with_trace(*seed, Options::default()).err();
        match finding {
            Some(finding) => panic!("{finding}"),
            None => panic!("seed {seed} failed, but not when it was repeated"),
        }
    }
    for promise in (1..=14).chain(17..=22) {
        assert!(summary.checks.of(promise) > 0, "promise {promise} was never checked: {}", summary.checks);
    }
}

#[test]
fn seeds_that_failed_before_pass() {
    for (seed, what) in FAILED_BEFORE {
        if let Err(finding) = explore_with_trace(*seed, Options::default()) {
            panic!("the cause was once: {what}\n{finding}");
        }
    }
}

/// Returns the promises that a bug may break in the first run that finds it. There may be several, because a seed gives
/// a different run when the engine changes.
fn broken_by(bug: Bug) -> &'static [u8] {
    match bug {
        Bug::ForgottenBooks => &[4, 6, 8, 9],
        // A verb may close a socket whose client has vanished, and whose attachment has gone with it.
        Bug::LeakedSeat => &[8, 13],
        Bug::UnawaitedJoin => &[4],
        Bug::AllOrNothing => &[6],
        Bug::DoubleClose => &[7],
        Bug::UnfencedWrite | Bug::UnfencedMessage => &[10],
        // What a life sends after its node was struck off is refused, so its messages are missed.
        Bug::UncheckedLease => &[6, 10],
        Bug::UnfencedReport => &[8],
        Bug::UnfencedView => &[4, 6, 9],
        Bug::OutlivingTask => &[21],
        // A publication for such a topic is missed, too.
        Bug::ForgottenTopics => &[17, 20],
        // The Group does not know where to whisper yet.
        Bug::UnawaitedAssignment => &[6],
        Bug::DoubledHand => &[7],
        Bug::RepeatedCall => &[14],
        Bug::SparedSocket => &[6],
        // What the client of an event stream says goes the same way.
        Bug::UntoldMember => &[6, 7],
        // A confirmed publication names them, too.
        Bug::UnnamedReplica => &[6, 7, 17],
        Bug::MissedSocket | Bug::SkippedClient | Bug::KeptTicket => &[8],
        Bug::IgnoredClosing => &[3],
        Bug::LimitlessClient => &[22],
        Bug::UnawaitedSubscription => &[20],
        Bug::UnnoticedGap | Bug::UnrepeatedHead | Bug::GateThatDrops | Bug::UncountedSocket => &[17],
        Bug::ForgottenPurge | Bug::OffsetTwice | Bug::SeenBeforeDurable => &[18],
        Bug::LostLeave | Bug::RestartedPresence | Bug::LostTopicLeave => &[19],
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
fn the_same_seed_gives_the_same_run() {
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
fn a_finding_contains_its_trace_and_the_command_that_repeats_it() {
    let options = Options::default().bug(Bug::LeakedSeat);
    let finding = (0..BUG_SEEDS).find_map(|seed| explore_with_trace(seed, options).err()).expect("the bug is found");
    let text = finding.to_string();
    assert!(text.lines().count() > 10, "{text}");
    assert!(text.ends_with(&format!("again: cargo xtask sim --seed {} --bug leaked-seat", finding.seed)), "{text}");
}
