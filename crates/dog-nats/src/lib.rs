//! Clusters of [Durable Object Groups](dog): several `dog-native` servers that communicate over NATS with JetStream
//! (nats-server 2.12 or later). The App stays the same. `main` gets one more call:
//!
//! ```no_run
//! # struct Chat;
//! # impl dog::App for Chat {
//! #     type Groups = ();
//! #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> { Ok(dog::text_response(dog::http::StatusCode::OK, "")) }
//! # }
//! use dog_nats::Nats;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), dog_native::Error> {
//!     dog_native::Server::new(Chat).cluster(Nats::connect("nats://127.0.0.1:4222")).run().await
//! }
//! ```
//!
//! docs/cluster.md explains how to run a cluster. DESIGN.md states its promises and the assumptions behind them.
//!
//! # The files, in reading order
//! Setting up:
//! - `nats`: [`Nats`], the builder; `settings`: its values; `address`: the addresses of NATS
//! - `connect`: the connection; `setup`: what a cluster requires of NATS; `failover` and `servers`: which NATS server a
//!   node uses
//! - `names`: subjects and streams
//! - `cli` (feature `cli`): the flags of a node
//!
//! The parts of a node:
//! - `stream`: one JetStream stream, as a trait
//! - `clock`, `lease`: a node's lease, its deadline and its renewal; `identity`: which node this process is
//! - `members`: the other nodes
//! - `claim`, `ownership`: which node owns an object; `writes`: what an object stores, fenced by its claim; `alarms`:
//!   all alarms
//! - `bus`, `link`: node messages
//! - `events`: what a node reports to its server; `leave`: how the server asks the node to leave
//!
//! The assembly:
//! - `parts`: what the parts share; `life`: joining, losing the lease, leaving
//! - `directory`, `storage`: the ports of `dog_native::cluster`, together with `link`
//! - `node`: the thread of a node
//!
//! For tests: `faults` lists the rules that a test can break on purpose. `properties` runs nodes over a simulated
//! JetStream.

mod address;
mod alarms;
mod bus;
mod claim;
#[cfg(feature = "cli")]
pub mod cli;
mod clock;
mod connect;
mod directory;
mod events;
mod failover;
mod faults;
mod identity;
mod lease;
mod leave;
mod life;
mod link;
mod members;
mod names;
mod nats;
mod node;
mod ownership;
mod parts;
#[cfg(test)]
mod properties;
mod servers;
mod settings;
mod setup;
mod storage;
mod stream;
mod writes;

pub use nats::Nats;
