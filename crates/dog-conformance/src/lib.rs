//! The conformance suite: the same scenarios, over real WebSockets and HTTP, for every host of Durable Object Groups.
//!
//! Each scenario holds one or more of the promises of DESIGN.md. A host runs [`app::TestApp`], says where it listens,
//! and passes when [`run`] does:
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
//! `DOG_SCENARIO=name` in the environment runs that one alone. Without the feature `client` there is only the test
//! App, which builds for wasm.
//!
//! # The files, in reading order
//! - `app`: the test App; `app::protocol`: what its clients can make it do, and what it tells them
//! - `harness`: [`Harness`], what a host gives; `runner`: [`run`]
//! - `client`: [`Client`], one WebSocket of a client; `stage`: [`Stage`], what a scenario is given
//! - `check`: [`Trouble`], how a scenario says what is wrong, and waits without waiting for ever
//! - `scenarios`: the scenarios, one file for what belongs together

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
    check::{Outcome, Trouble},
    client::{Client, Ending, Streamed, get},
    harness::{Capability, Harness, Lack},
    runner::{ONLY, Summary, run},
    scenarios::{Scenario, all},
    stage::{Place, Stage},
};
