//! The test kit, tested: every method of it, in tests that fail without it.

mod app;
mod faults;
mod inside;
mod lives;
mod sockets;
mod time;
mod traffic;
