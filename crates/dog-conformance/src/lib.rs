//! The conformance suite: the same scenarios, over real WebSockets and HTTP, for every host of Durable Object Groups.
//!
//! Each scenario tests one or more of the promises in DESIGN.md. A host runs [`app::TestApp`], tells the suite where it
//! listens, and conforms if [`run`] succeeds:
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn conforms() {
//! use std::net::SocketAddr;
//!
//! struct MyHost;
//! impl dog_conformance::Harness for MyHost {
//!     fn name(&self) -> String {
//!         "my host".to_owned()
//!     }
//!     fn entries(&self) -> Vec<SocketAddr> {
//!         vec![([127, 0, 0, 1], 8787).into()]
//!     }
//! }
//!
//! if let Err(summary) = dog_conformance::run(&MyHost).await {
//!     panic!("{summary}");
//! }
//! # }
//! ```
//!
//! `DOG_SCENARIO=name` in the environment runs one scenario. Without the feature `client` the crate contains only the test
//! App, which builds for wasm.
//!
//! # The files, in reading order
//! - `app`: the test App; `app::protocol`: the commands of its clients, and their replies
//! - `check`: [`ScenarioFailure`], and checks with deadlines
//! - `client`: [`Client`], one WebSocket of a client
//! - `harness`: [`Harness`], what the suite needs from a host; `stage`: [`Stage`], what a scenario gets
//! - `scenarios`: the scenarios, one file per subject; `runner`: [`run`]

pub mod app;

#[cfg(feature = "client")]
mod check;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod harness;
#[cfg(feature = "client")]
mod runner;
#[cfg(feature = "client")]
mod scenarios;
#[cfg(feature = "client")]
mod stage;

#[cfg(feature = "client")]
pub use self::{
    check::{Outcome, ScenarioFailure},
    client::{Client, Ending, Events, Streamed, get},
    harness::{Capability, Harness, Lack},
    runner::{ONLY, Summary, run},
    scenarios::{Scenario, all},
    stage::{Stage, TestGroup},
};
