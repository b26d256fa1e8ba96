//! The scenarios: one file per subject. Each scenario names the promises that it tests.
//!
//! - `scenario`: what a scenario is; `all`: the list of all scenarios
//! - `script`, `seats`: what several scenarios use

mod alarms;
mod all;
mod apart;
mod attachments;
mod bad_input;
mod calls;
mod closing;
mod contained;
mod counts;
mod delivery;
mod events;
mod formats;
mod gossip;
mod group_verbs;
mod handlers;
mod hibernation;
mod joining;
mod late_identity;
mod limit;
mod lives;
mod log;
mod log_recovery;
mod log_refusals;
mod log_resets;
mod log_storage;
mod messages;
mod naming;
mod order;
mod per_client;
mod placement;
mod presence;
mod presence_topics;
mod rates;
mod reentry;
mod refusals;
mod requests;
mod restarts;
mod scenario;
mod script;
mod seats;
mod slow;
mod storage;
mod tasks;
mod tickets;
mod topics;
mod transactions;
mod whisper;

pub use all::all;
pub use scenario::Scenario;
