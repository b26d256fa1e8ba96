//! Tests of the test kit: every method has a test that fails without it.

mod app;
mod events;
mod faults;
mod inside;
mod late_identity;
mod lives;
mod rates;
mod requests;
mod sockets;
mod time;
mod traffic;
