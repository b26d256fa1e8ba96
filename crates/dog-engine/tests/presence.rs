//! Property test of promise 19: a Group, three Replicas and their clients, while messages are late, lost, duplicated and out of
//! order, Replicas die or hibernate, and the Group dies and wakes.
//!
//! What the Group tells is compared with a naive model of what it has heard. What has the same version is the same everywhere.
//! What each Replica's code is told is legal and complete. When all has become quiet, everybody knows the truth.

#[path = "presence/group.rs"]
mod group;
#[path = "presence/model.rs"]
mod model;
#[path = "presence/replica.rs"]
mod replica;
#[path = "presence/storms.rs"]
mod storms;
#[path = "presence/world.rs"]
mod world;

use std::time::Duration;

use dog_engine::presence::{PresenceBounds, PresenceSettings};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use storms::Op;

/// The result of a check. The error describes the broken promise. It is not a panic, so that shrinking prints nothing.
type Checked<T = ()> = Result<T, String>;

/// Fails with the formatted text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use ensure;

/// Bounds of all sizes: lists and pages with one entry, and histories that forget at once.
fn settings() -> impl Strategy<Value = PresenceSettings> {
    let bounds = || {
        let changes = prop_oneof![Just(1), Just(3), Just(1000)];
        changes.prop_map(|changes| PresenceBounds { changes, bytes: 100_000 })
    };
    (bounds(), bounds(), 300..3000_u64).prop_map(|(list, history, grace)| PresenceSettings {
        grace: Duration::from_millis(grace),
        restart_grace: Duration::from_millis(4000),
        tick: Duration::from_millis(100),
        list,
        history,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        // The environment variable PROPTEST_CASES overrides the number.
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/presence.regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn joins_and_leaves_alternate_and_agree_with_what_is_open(
        settings in settings(),
        follows in prop::array::uniform3(prop::bool::weighted(0.8)),
        ops in prop::collection::vec(storms::op(), 1..150),
    ) {
        storms::run(settings, follows, &ops).map_err(TestCaseError::fail)?;
    }
}

/// A late report of an earlier life may be the first that a Group hears which has just woken. It counts the Replica all the same.
#[test]
fn a_late_report_of_an_earlier_life_of_a_replica_is_not_the_last_word() {
    let lose = || Op::Lose { message: 0 };
    let ops = [
        Op::Open { client: 0, replica: 0 },
        // The Group asks three Replicas, which cannot be heard, and they report by themselves.
        Op::Pass { millis: 50 },
        lose(),
        lose(),
        lose(),
        Op::Assign { socket: 0, client: 1 },
        Op::Hibernate { replica: 0 },
        Op::Pass { millis: 50 },
        // The next life has reported, and the Group has answered.
        Op::Deliver { message: 3 },
        Op::Deliver { message: 3 },
        Op::GroupDies,
    ];
    let settings = PresenceSettings { tick: Duration::from_millis(100), ..PresenceSettings::default() };
    storms::run(settings, [false; 3], &ops).unwrap();
}
