//! Attacks on a real server with a door, and what its other clients see meanwhile: `cargo xtask test door`.
//!
//! The server runs in a process of its own, so that its memory can be measured. Another client is answered, in order, each
//! time within 20 s, which is longer than a busy machine stands still. How long it has waited is printed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod app;
mod cluster;
mod floods;
mod served;
mod steady;
mod tls;
mod tokens;

#[tokio::test]
#[ignore = "it is the server of the other tests"]
async fn a_server_for_the_other_tests() {
    served::run().await;
}
