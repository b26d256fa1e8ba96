//! How the native host serves HTTP: clients that stop, vanish or finish early, and requests that the standard refuses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod app;
mod refused;
mod stalls;
