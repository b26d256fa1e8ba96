//! Backpressure: what one client does, reads or leaves unread reaches that client, and nobody else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod app;
mod busy;
mod client;
mod flood;
mod reading;
mod stuck;

/// Longer than anything here takes; reached only by what hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
