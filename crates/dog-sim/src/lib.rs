//! The simulation of this project: the engine on simulated nodes, with random work and random faults that follow from a
//! seed. After every step it checks whether a promise of DESIGN.md is broken. A [`Bug`] can be planted, to show that the
//! simulation finds it. `cargo xtask sim` runs many seeds.
//!
//! It runs on the simulated world of the test kit (`crates/dog-testing`). Users test their own Apps with the kit; nothing in
//! this crate is of use to them.
//!
//! # The files, in reading order
//! - `explore`: one run; `plan`: what a run is like; `app`: the App it runs; `workload`: what happens in it
//! - `ledger`: what the App's handlers write down; `keeping`: what they store; `watch`: what the host sees
//! - `settle`: what must be true once all is healed; `placing`: where newcomers are put then
//! - `checks`: how often each promise was checked; `many`: runs side by side
//!
//! | promise | its checker | when |
//! |---|---|---|
//! | 1 | `Ledger::check_limit`; `Watch::lets_in`: no ticket twice, none that has expired | with every seat |
//! | 2, 3 | `check_sticky`, `check_least_used` in `placing` | when all is healed |
//! | 4 | `Watch::owe`, `Watch::check_owed`: a speaker knows all Replicas with sockets | with every message, twice a second |
//! | 5 | `Watch::check_order` | with every message that a client gets |
//! | 6 | `Watch::check_order` (at most once), `Watch::receives` (who is left out), `Watch::check_owed` | the same |
//! | 7 | `Ledger::begins`, `Ledger::command`; `check_handlers` in `settle`: none is missing or hangs | with every handler; when all is healed |
//! | 8 | `check_books` in `settle`: the books are what is open | when all is healed |
//! | 9 | `check_books`, `check_lives` in `settle`; the messages of `speak_up` | when all is healed |
//! | 10 | `Watch::check_life`, `Ledger::kept`, `check_lives` in `settle` | with every message, every count; when all is healed |
//! | 11 | `Ledger::found` (whole, and what was acknowledged), `Ledger::check_alarm` | whenever an object wakes; when all is healed |
//! | 13 | `Ledger::finds_attached`; `check_hibernation` in `settle` | with every handler; when all is healed |
//! | 14 | `Watch::panics`, `Run::go_safely`: no panic but those that were asked for | with every panic |

mod app;
mod checks;
mod explore;
mod keeping;
mod ledger;
mod many;
mod placing;
mod plan;
mod settle;
mod watch;
mod workload;

pub use checks::Checks;
pub use dog_testing::world::Bug;
pub use explore::{Failure, Options, Outcome, explore, explore_and_tell};
pub use many::{Summary, explore_many};
