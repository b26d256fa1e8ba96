//! The servers that are measured: which there are, and how they are started and ended.
//!
//! In reading order:
//! - [`entrant`]: a server that takes part in a scenario
//! - [`programs`]: where the servers' programs are
//! - [`launcher`]: starts an entrant on one or several nodes
//! - [`encryption`]: the certificate of servers with TLS, and clients that trust it
//! - [`deployment`]: the running nodes and their broker
//! - [`process`]: one server as a child process; [`callgrind`]: one whose instructions are counted
//! - [`broker`]: NATS and Redis; [`workerd`]: a Worker; [`nchan`]: nginx with nchan; [`nats_gateway`]: NATS for browsers;
//!   [`floor`]: the bare loop of epoll and send
//! - [`http`]: reads what servers report about themselves

pub mod broker;
pub mod callgrind;
pub mod deployment;
pub mod encryption;
pub mod entrant;
pub mod floor;
mod floor_client;
pub mod http;
pub mod launcher;
pub mod nats_gateway;
pub mod nchan;
pub mod process;
pub mod programs;
pub mod workerd;
