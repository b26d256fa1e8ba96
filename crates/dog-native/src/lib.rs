//! The native host of [Durable Object Groups](dog): worker threads, each with its own objects, connections, and
//! listeners for HTTP and WebSocket.
//!
//! Give a [`Server`] your [`App`](dog::App) and run it. To mount it in an axum router, make it a [`Service`].
//!
//! # The files, in reading order
//! Starting a server:
//! - `server`: [`Server`]; `config`: the settings and their defaults; `error`: [`Error`]
//! - `backend`: where objects live and where they are stored; `workers`: the threads; `running`: [`Running`] and
//!   signals
//! - `cli` (feature `cli`): flags, a log and a graceful shutdown for programs
//!
//! From a client to its Replica:
//! - `listening`: addresses to sockets; `front`: HTTP; `addresses`: connections per client; `limits`: what each address
//!   may do per second; `rates`: [`Rate`]; `proxies`:
//!   the address of a client behind proxies; `descriptors`: connections
//!   per process; `pace`: the timeouts of HTTP; `standing_in`: accepting for a worker that is stuck; `service`:
//!   [`Service`]
//! - `handle`: [`Handle`], for the rest of the process
//! - `tls`: certificates and the handshake
//! - `upgrade`: a connection becomes a WebSocket; `tunnel`: a WebSocket whose Replica lives on another node
//! - `connection`: the sockets of a worker; `websocket`: the protocol, without I/O
//!
//! The workers:
//! - `worker`: its objects and its loop; `shared`: what all workers share; `shutdown_watch`: a worker's shutdown, as
//!   its streams see it
//! - `mail`: the messages between threads; `post`: the mailboxes
//! - `storage`: what objects store on disk
//! - [`cluster`]: the ports of a cluster, and the protocol between nodes; `newcomers`: connections that have not
//!   authenticated yet
//!
//! For operators:
//! - `admin`: metrics, health and readiness; `metrics`: what is counted; `heartbeat` and `watchdog`: whether a worker
//!   is stuck; `repeats`: the limit on log lines; `clock`: the time

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
mod handle;
mod heartbeat;
mod limits;
mod listening;
mod mail;
mod metrics;
mod newcomers;
mod pace;
mod post;
mod proxies;
mod rates;
mod repeats;
mod running;
mod server;
mod service;
mod shared;
mod shutdown_watch;
mod standing_in;
mod storage;
mod tls;
mod tunnel;
mod upgrade;
mod watchdog;
#[doc(hidden)]
pub mod websocket;
mod worker;
mod workers;

pub use config::{Compression, SlowConsumer};
pub use error::Error;
pub use handle::{Handle, RemoteGroup, SendFuture, Unchecked};
pub use proxies::Network;
pub use rates::Rate;
pub use running::Running;
pub use server::Server;
pub use service::Service;

/// Compiles the program in the README.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
