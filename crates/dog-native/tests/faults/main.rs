//! Faults: servers that are killed, disks that are full, folders that were damaged, clients that mean harm, crowds that
//! come and go, an end by a signal.
//!
//! `cargo xtask test faults` runs all of it at length. `DOG_SEED` has a run again; a test prints its seed. Most servers
//! here are processes of their own, which can be killed and weighed: see `child`.
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

/// Which server a child is.
const SERVER: &str = "DOG_TEST_SERVER";

/// Where a child keeps its data.
const DATA: &str = "DOG_TEST_DATA";

#[tokio::test]
#[ignore = "it is the server of the other tests"]
async fn a_server_for_the_other_tests() {
    match child::setting::<String>(SERVER).as_deref() {
        Some("ledger") => child::serve(ledger::server()).await,
        Some("arena") => child::serve(arena::server()).await,
        Some("storm") => storm::run().await,
        // Somebody runs every test there is, this one too.
        None => {}
        Some(other) => panic!("what is {other}?"),
    }
}
