//! Property tests of promises 1 to 4 and 8: a Group's books and the seats of several Replicas, in a model world. There,
//! messages are late, lost, doubled and out of order, and objects crash. After each step, the books are compared with
//! expected books, which are computed in the simplest possible way.

#[path = "properties/checks.rs"]
mod checks;
#[path = "properties/clients.rs"]
mod clients;
#[path = "properties/expected.rs"]
mod expected;
#[path = "properties/membership.rs"]
mod membership;
#[path = "properties/messages.rs"]
mod messages;
#[path = "properties/objects.rs"]
mod objects;
#[path = "properties/quiet.rs"]
mod quiet;
#[path = "properties/run.rs"]
mod run;
#[path = "properties/world.rs"]
mod world;

use std::time::Duration;

use dog::{Placement, Policy};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use run::{Op, Ops, run};

fn op() -> impl Strategy<Value = Op> {
    let n = any::<u8>;
    let client = 0..6_u8;
    prop_oneof![
        10 => (client, prop::bool::weighted(0.15)).prop_map(|(client, refused)| Op::Identify { client, refused }),
        10 => n().prop_map(|ticket| Op::Come { ticket }),
        2 => n().prop_map(|ticket| Op::Abandon { ticket }),
        5 => n().prop_map(|request| Op::Open { request }),
        3 => n().prop_map(|request| Op::End { request }),
        4 => n().prop_map(|socket| Op::Close { socket }),
        8 => n().prop_map(|replica| Op::Report { replica }),
        12 => n().prop_map(|message| Op::Deliver { message }),
        3 => n().prop_map(|message| Op::Double { message }),
        3 => n().prop_map(|message| Op::Lose { message }),
        5 => Just(Op::Settle),
        5 => n().prop_map(|replica| Op::Join { replica }),
        1 => n().prop_map(|replica| Op::FailJoin { replica }),
        2 => n().prop_map(|replica| Op::Forget { replica }),
        1 => n().prop_map(|replica| Op::Wake { replica }),
        3 => (n(), any::<bool>()).prop_map(|(replica, farewell)| Op::Crash { replica, farewell }),
        2 => n().prop_map(|replica| Op::Suspect { replica }),
        2 => n().prop_map(|replica| Op::Recount { replica }),
        3 => (n(), any::<bool>()).prop_map(|(replica, closes)| Op::SetDoor { replica, closes }),
        2 => Just(Op::Restart),
        4 => (1..30_u8).prop_map(|seconds| Op::Pass { seconds }),
        2 => Just(Op::PassToDeadline),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    // All combinations of times that are shorter and longer than the lifetime of a ticket.
    let seconds = || prop_oneof![Just(5), Just(12), Just(40)].prop_map(Duration::from_secs);
    let placement = prop_oneof![Just(Placement::LeastUsed), Just(Placement::FillFirst)];
    (seconds(), seconds(), placement).prop_map(|(sticky_for, park_after, placement)| Policy {
        sticky_for,
        park_after,
        placement,
        ..Policy::default()
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        // The environment variable PROPTEST_CASES overrides the number.
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/properties.regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_books_keep_their_promises(
        limit in 1..=3_u32,
        policy in policy(),
        ops in prop::collection::vec(op(), 1..100).prop_map(Ops),
    ) {
        run(limit, policy, &ops).map_err(TestCaseError::fail)?;
    }
}

/// Runs that once broke a promise, or would if a check were missing, reduced to the necessary steps.
#[test]
fn runs_that_once_went_wrong() {
    use Op::*;
    let identify = |client| Identify { client, refused: false };
    let (come, report, deliver) = (Come { ticket: 0 }, Report { replica: 0 }, Deliver { message: 0 });
    let crash = |farewell| Crash { replica: 0, farewell };
    let pass = |seconds| Pass { seconds };
    let runs: [(&str, Vec<Op>); 12] = [
        (
            "a Replica that became empty while it was joining is never parked",
            vec![identify(0), identify(0), pass(15), pass(5)],
        ),
        (
            "a Replica that was joining when the Group restarted serves before its sibling knows it",
            vec![identify(0), Settle, identify(0), Restart, Wake { replica: 0 }, identify(0)],
        ),
        (
            "a parked Replica begins a new life with the call to join: its reports seem old",
            vec![
                identify(0),
                Settle,
                come.clone(),
                End { request: 0 },
                report.clone(),
                Settle,
                pass(20),
                crash(false),
                identify(1),
                Join { replica: 0 },
                Come { ticket: 1 },
                report.clone(),
                Settle,
            ],
        ),
        (
            "a suspect that was not counted reports its changes, and they are taken for a census",
            vec![
                identify(0),
                Settle,
                come.clone(),
                report.clone(),
                Settle,
                identify(1),
                Settle,
                Restart,
                Suspect { replica: 0 },
                Come { ticket: 1 },
                report.clone(),
                Deliver { message: 1 },
            ],
        ),
        (
            "a Replica that was parked as empty has seats",
            vec![identify(0), Settle, Restart, Settle, come.clone(), pass(5), report.clone(), Settle],
        ),
        (
            "a report from before the restart gives seats to a parked Replica that is empty",
            vec![
                identify(0),
                Settle,
                come.clone(),
                report.clone(),
                End { request: 0 },
                report.clone(),
                Deliver { message: 1 },
                pass(5),
                Restart,
                Settle,
            ],
        ),
        (
            "the seats of an unknown Replica are never acknowledged",
            vec![
                identify(0),
                Settle,
                Restart,
                Double { message: 0 },
                Deliver { message: 1 },
                pass(5),
                identify(1),
                FailJoin { replica: 0 },
                deliver.clone(),
                come.clone(),
                report.clone(),
                Settle,
            ],
        ),
        (
            "a report of an earlier life is acknowledged to a later one",
            vec![
                identify(0),
                Settle,
                come.clone(),
                report,
                deliver.clone(),
                crash(false),
                come.clone(),
                deliver.clone(),
            ],
        ),
        (
            "a Replica that was parked before the restart and has woken since: its first seat is not acknowledged, though it has enrolled without seats",
            vec![
                identify(0),
                come.clone(),
                Settle,
                identify(0),
                Restart,
                Open { request: 0 },
                Join { replica: 0 },
                come.clone(),
                Close { socket: 0 },
                Settle,
                identify(0),
                identify(0),
                identify(0),
                Settle,
                Restart,
                Settle,
                Crash { replica: 71, farewell: false },
                PassToDeadline,
                Restart,
                Come { ticket: 11 },
                identify(0),
            ],
        ),
        (
            "two Replicas that join wait for each other, and neither will be told the view",
            vec![
                identify(0),
                identify(0),
                PassToDeadline,
                identify(0),
                Settle,
                Restart,
                Settle,
                crash(false),
                crash(false),
                pass(5),
                Come { ticket: 1 },
                identify(0),
                deliver.clone(),
                identify(0),
                Lose { message: 0 },
                Lose { message: 0 },
            ],
        ),
        (
            "a Replica that woke while it was parked has missed views, and is joining again",
            vec![
                identify(0),
                identify(0),
                identify(0),
                Settle,
                PassToDeadline,
                Crash { replica: 29, farewell: false },
                pass(5),
                pass(7),
                Come { ticket: 29 },
                identify(0),
                identify(0),
                Restart,
                Settle,
                identify(0),
                pass(1),
                identify(0),
                identify(0),
                identify(0),
                identify(0),
                PassToDeadline,
                identify(0),
            ],
        ),
        (
            "a Replica is forgotten while it has a seat that it has not reported",
            vec![
                identify(0),
                Settle,
                come.clone(),
                pass(20),
                Forget { replica: 0 },
                identify(1),
                Settle,
                Report { replica: 0 },
                Settle,
            ],
        ),
    ];
    for (what, ops) in runs {
        for (limit, park_after) in [(1, 5), (2, 5), (1, 12), (2, 12)] {
            let seconds = Duration::from_secs;
            let policy = Policy { sticky_for: seconds(5), park_after: seconds(park_after), ..Policy::default() };
            let ran = run(limit, policy, &Ops(ops.clone()));
            assert_eq!(ran, Ok(()), "{what}, with {limit} seats, parked after {park_after} s:{:?}", Ops(ops));
        }
    }
}
