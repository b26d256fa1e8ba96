//! What a delivery takes, asserted by counting and never by time: no memory, one system call a socket whatever the number
//! of messages that came together, and no wake of another thread a message.
//!
//! `app`: a relay; `crowd`: its clients, which allocate nothing; `child`: the relay as a process of its own, traced. The
//! part `counting` of `cargo xtask test` sees that there is `strace`; where a process may not trace another, what needs
//! that says so and is not run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod allocations;
mod app;
mod calls;
mod child;
mod crowd;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts for the whole process, clients included: theirs allocate nothing while they are counted.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Held by each test: what is counted, the others would count for.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
