//! The native host of [Durable Object Groups](dog): worker threads, each with its objects and its connections; HTTP and
//! WebSocket on all of them.
//!
//! A program is an [`App`](dog::App) and a [`Server`] that runs it; see there. Mounted in an axum router, it is a
//! [`Service`].
//!
//! # The files, in reading order
//! - `server`: [`Server`]; `config`: the settings and their defaults; `error`: [`Error`]
//! - `place`: where objects live and what they keep; [`cluster`]: the ports of a cluster of servers
//! - `running`: [`Running`], and the signals; `workers`: the threads, their beginning and end
//! - `front`: HTTP, and the hand-over of a connection to its Replica's thread; `service`: [`Service`]
//! - `listening`: addresses; `pace`: how long a client may take; `newcomers`: connections that have said nothing yet
//! - `passing`: connections whose Replica lives at another node; `streams`: streamed responses at the end of a server
//! - `worker`: a thread's objects and its loop; `worker/mail`: what crosses threads
//! - `storage`: what objects keep for good
//! - `repeats`: what comes again and again, in the log
//! - `descriptors`: how many files and sockets there may be
//! - `admin`: metrics, health and readiness; `metrics`: what is counted; `watch`: whether the workers live
//! - `connection`: the sockets of a worker; `websocket`: the protocol, without I/O
//! - `cli` (feature `cli`): flags, a log and a graceful shutdown for programs

mod addresses;
mod admin;
mod backend;
#[cfg(feature = "cli")]
pub mod cli;
mod clock;
pub mod cluster;
mod config;
mod connection;
mod descriptors;
mod error;
mod front;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod heartbeat;
mod listening;
mod mail;
mod metrics;
mod newcomers;
mod pace;
mod post;
mod repeats;
mod running;
mod server;
mod service;
mod shared;
mod shutdown_watch;
mod standing_in;
mod storage;
mod tunnel;
mod upgrade;
mod watchdog;
#[doc(hidden)]
pub mod websocket;
mod worker;
mod workers;

pub use config::{Compression, SlowConsumer};
pub use error::Error;
pub use running::Running;
pub use server::Server;
pub use service::Service;

/// The program in the README, compiled.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
