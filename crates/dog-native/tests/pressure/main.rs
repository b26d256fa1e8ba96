//! Backpressure: what one client sends, reads or leaves unread affects that client only.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod app;
mod busy;
mod client;
mod flood;
mod reading;
mod stuck;

/// Longer than anything here takes. Only a test that hangs reaches it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
