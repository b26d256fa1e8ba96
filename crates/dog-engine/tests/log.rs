//! Property tests of promises 17 and 18. The first compares a durable log and its records with a naive model, while writes fail,
//! have an unknown outcome, or are followed by a crash, and the clock goes back. The second runs a Group, its Replicas and their sockets while messages are late, lost,
//! duplicated and out of order: every socket sees one order without gaps or duplicates, or is told why it cannot.

#[path = "log/expected.rs"]
mod expected;
#[path = "log/group.rs"]
mod group;
#[path = "log/naive.rs"]
mod naive;
#[path = "log/ops.rs"]
mod ops;
#[path = "log/replica.rs"]
mod replica;
#[path = "log/storms.rs"]
mod storms;
#[path = "log/world.rs"]
mod world;

use std::time::Duration;

use bytes::Bytes;
use dog::Message;
use dog::internal::{LogBounds, LogEpoch};
use dog_engine::log::NewPublication;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

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

fn epoch(number: u64) -> LogEpoch {
    LogEpoch::new(format!("epoch-{number}")).expect("a name of an epoch")
}

/// A publication whose text nobody else has, of about this many bytes.
fn publication(number: u64, bytes: usize, key: Option<u8>) -> NewPublication {
    NewPublication {
        message: Message::text(format!("{number:06}{}", ".".repeat(bytes))),
        metadata: Bytes::new(),
        key: key.map(|key| Bytes::from(vec![key])),
    }
}

fn bounds() -> impl Strategy<Value = LogBounds> {
    let publications = prop_oneof![Just(0), Just(1), Just(5), Just(2000)];
    let bytes = prop_oneof![Just(30), Just(300), Just(1_000_000)];
    let age = prop_oneof![Just(300), Just(3000), Just(600_000)].prop_map(Duration::from_millis);
    (publications, bytes, age).prop_map(|(publications, bytes, age)| LogBounds { publications, bytes, age })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        // The environment variable PROPTEST_CASES overrides the number.
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/log.regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_log_answers_like_the_simplest_one(
        bounds in bounds(),
        memory in ops::memory(),
        ops in prop::collection::vec(ops::op(), 1..80),
    ) {
        expected::run(bounds, memory, &ops).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn every_socket_sees_one_order_without_gap_or_double(
        bounds in bounds(),
        ops in prop::collection::vec(storms::op(), 1..150),
    ) {
        storms::run(bounds, &ops).map_err(TestCaseError::fail)?;
    }
}
