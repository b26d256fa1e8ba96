//! How the native host serves HTTP: clients that stall, vanish or finish early, and requests that HTTP's standard
//! refuses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod app;
mod refused;
mod stalls;
