//! Tests of clusters with real NATS servers. `cargo xtask test cluster` installs nats-server and runs them. Without
//! xtask, set `DOG_NATS_SERVER` to the path of nats-server 2.12 or later. A test with random choices prints its seed.
//! Set `DOG_SEED` to that number to repeat the run.
//!
//! `record` records what clients do and what they receive. `checker` and `linearizability` check the record afterwards.

mod access;
mod app;
mod checker;
mod child;
mod client;
mod clocks;
mod conformance;
mod cuts;
mod encrypted;
mod faults;
mod forwarding;
mod handles;
mod history;
mod join_errors;
mod leases;
mod linearizability;
mod network;
mod power;
mod publications;
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
