//! The simulated world: one thread, one clock, nodes with objects, a network between the nodes, and clients. It is not
//! part of the public API. The kit and this project's simulation (`crates/dog-sim`) are built on it.
//!
//! From the bottom up; each file uses only files above it:
//!
//! - `random`: random numbers from a seed; `clock`: virtual time and events; `tasks`: the executor; `reply`: the answer
//!   to a call, on its way; `trace`: the text of what has happened; `traffic`: counts of messages
//! - `bugs`: bugs that can be planted; `config`: how a world is made
//! - `life`: one life of an object; `network`: delays, cuts and losses; `nodes`: which nodes are up, paused, isolated
//!   or struck off; `observer`: the trait that is told what happens; `storage`: durable entries and alarms, fenced by
//!   epoch
//! - `core`: what the services below share
//! - `lives`: which lives run, and where; `store`: storage as objects reach it, with delays and alarms
//! - `client`: a client's end of a connection; `connections`: both ends, and what travels between them
//! - `labels`: the names of messages in a trace; `mail`: the transport of messages; `messages`: their kinds
//! - `services`: all services together
//! - `life_host`: the engine's [`Host`](dog_engine::host::Host), one per life
//! - `world`: all of it put together; `outages`: nodes that crash, pause or are isolated

mod bugs;
mod client;
mod clock;
mod config;
mod connections;
mod core;
mod labels;
mod life;
mod life_host;
mod lives;
mod mail;
mod messages;
mod network;
mod nodes;
mod observer;
mod outages;
mod random;
mod reply;
mod services;
mod storage;
mod store;
mod tasks;
mod trace;
mod traffic;
#[allow(clippy::module_inception, reason = "the file of the struct World")]
mod world;

pub use bugs::Bug;
pub use client::{ClientKey, ClientState};
pub use clock::Micros;
pub use config::{DiskConfig, WorldConfig};
pub use connections::OpenSocket;
pub use life::{Driver, Life, Party, RunningLife};
pub use network::Weather;
pub use nodes::HEARD_WITHIN;
pub use observer::{Admission, Observer};
pub use random::Random;
pub use traffic::{Amount, Traffic};
pub use world::World;
