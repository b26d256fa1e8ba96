//! What a delivery costs, asserted by counting and never by time: no memory, one system call per socket for all
//! messages that arrived together, and fewer wakes of other threads than messages.
//!
//! `app`: a relay; `crowd`: its clients, which allocate nothing; `encrypted`: what TLS adds; `child`: the relay in a process of its own under
//! `strace`. The part `counting` of `cargo xtask test` checks that `strace` is installed. Where a process may not trace
//! another, the tests that need it print that they did not run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod allocations;
mod app;
mod calls;
mod child;
mod crowd;
mod encrypted;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts the allocations of the whole process. The clients in it allocate nothing while it counts.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Held by each test, because the counts of a process include what other tests do.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
