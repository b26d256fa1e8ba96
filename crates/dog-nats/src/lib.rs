//! Clusters of [Durable Object Groups](dog): many servers of `dog-native` over one NATS with JetStream, nats-server 2.12
//! or later. The same App, and one more line in `main`:
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
//! How to run one is in docs/cluster.md; what it promises, with what it stands on, in DESIGN.md.
//!
//! # The files, in reading order
//! - `connect`: [`Nats`], how it is set up; `address`: where NATS is, and who a node is there; `ready`: what a NATS must have, and what is said where it has not
//! - `names`: subjects and streams; `jetstream`: the few requests that are made of it
//! - `node`: a node's life: the thread, joining, leaving; `lease`: its lease; `nodes`: the others;
//!   `servers`: which NATS server it speaks to
//! - `directory`: which node has an object; `entries`: what objects keep; `writing`: one object's writes, fenced;
//!   `alarms`: all alarms of the cluster
//! - `link`: letters between nodes
//! - `cli` (feature `cli`): the flags of a node

mod address;
mod alarms;
#[cfg(feature = "cli")]
pub mod cli;
mod connect;
mod directory;
mod entries;
mod jetstream;
mod lease;
mod link;
mod names;
mod node;
mod nodes;
mod ready;
mod servers;
mod writing;

pub use connect::Nats;
