//! Clusters over a real NATS. `cargo xtask test cluster` installs it; by hand, name the program nats-server, 2.12 or
//! later, in `DOG_NATS_SERVER`. Where a test leaves something to chance it prints a seed: `DOG_SEED` has it again.
//!
//! What clients do and get is taken down (`record`), and judged afterwards (`checker`, `linear`).

mod access;
mod app;
mod chance;
mod checker;
mod child;
mod client;
mod clocks;
mod conformance;
mod cuts;
mod faults;
mod history;
mod leases;
mod linear;
mod network;
mod passing;
mod record;
mod registers;
mod release;
mod rolling;
mod scene;
mod server;
mod speakers;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stepped;
mod storage;
mod talk;
mod trouble;
mod upgrade;
