//! Clusters over a real NATS. `cargo xtask test cluster` installs it; by hand, name the program nats-server, 2.12 or
//! later, in `DOG_NATS_SERVER`.

mod app;
mod child;
mod clocks;
mod conformance;
mod cuts;
mod faults;
mod history;
mod network;
mod passing;
mod release;
mod rolling;
mod scene;
mod server;
mod talk;
mod trouble;
mod upgrade;
