//! Clusters over a real NATS. `cargo xtask test cluster` installs it. Without xtask, set `DOG_NATS_SERVER` to the path
//! of nats-server, 2.12 or later. A test with random choices prints its seed: `DOG_SEED` repeats it.
//!
//! What clients do and get is recorded (`record`) and checked afterwards (`checker`, `linearizability`).

mod access;
mod app;
mod checker;
mod child;
mod client;
mod clocks;
mod conformance;
mod cuts;
mod faults;
mod forwarding;
mod history;
mod join_errors;
mod leases;
mod linearizability;
mod network;
mod record;
mod registers;
mod release;
mod rolling;
mod scene;
mod seeds;
mod server;
mod speakers;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stepped;
mod storage;
mod talk;
mod upgrade;
