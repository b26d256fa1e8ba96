//! Tests of the test kit. `kit` has a test of each of its methods; the others are about what an App sees on a virtual clock, to the
//! millisecond, and about faults that only the kit can inject.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod alarms;
mod calls;
mod forgetting;
mod formats;
mod group_verbs;
mod kit;
mod lives;
mod log;
mod log_lives;
mod named_alarms;
mod opening;
mod presence;
mod presence_topics;
mod purges;
mod resume;
mod tasks;
mod tickets;
mod topics;
mod transactions;
