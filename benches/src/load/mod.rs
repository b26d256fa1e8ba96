//! The load generator: one thread that owns all client sockets, so that it takes little of the machine from the server.
//!
//! In reading order:
//! - [`workload`]: what the clients do
//! - [`generator`]: the loop that does it
//! - [`connection`]: a connection, with TLS or without; [`connect`]: the handshakes
//! - [`frame`] and [`payload`]: the part of RFC 6455 that it needs; [`nats`]: the part of the protocol of NATS
//! - [`deliveries`]: which message each socket must receive next; [`latencies`]: how long that took

pub mod connect;
pub mod connection;
pub mod deliveries;
pub mod frame;
pub mod generator;
pub mod latencies;
pub mod nats;
pub mod payload;
pub mod workload;
