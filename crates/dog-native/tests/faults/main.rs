//! Faults: servers that are killed, full disks, damaged data folders, hostile clients, crowds that come and go, and a
//! shutdown by a signal.
//!
//! `cargo xtask test faults` runs the long versions. Each random test prints its seed, and `DOG_SEED` repeats a run
//! with that seed. Most servers here run in processes of their own, so that a test can kill them and measure their
//! memory: see `child`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod arena;
mod child;
mod contained;
mod crowd;
mod damage;
mod descriptors;
mod full_disk;
mod goodbye;
mod hostile;
mod kill;
mod leaving;
mod ledger;
mod paused;
mod steady;
mod storm;

/// The variable that says which server a child process runs.
const SERVER: &str = "DOG_TEST_SERVER";

/// The variable with the data folder of a child.
const DATA: &str = "DOG_TEST_DATA";

#[tokio::test]
#[ignore = "it is the server of the other tests"]
async fn a_server_for_the_other_tests() {
    match child::setting::<String>(SERVER).as_deref() {
        Some("ledger") => child::serve(ledger::server()).await,
        Some("arena") => child::serve(arena::server()).await,
        Some("storm") => storm::run().await,
        // Without the variable it is an ordinary run of all tests, ignored ones included.
        None => {}
        Some(other) => panic!("{SERVER} names an unknown server: {other}"),
    }
}
