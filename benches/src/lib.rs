//! Benchmarks of Durable Object Groups. Everything is measured beside something: a floor that makes the system calls and does
//! nothing else, or a peer. A single figure says more about the machine than about the server. All figures are therefore
//! read as ratios within one round, and the rounds of all servers are interleaved.
//!
//! `cargo xtask bench NAME` builds the servers, installs the peers and calls the program `dog-bench` (src/main.rs):
//!
//! | command | what it measures | report |
//! |---|---|---|
//! | `cargo xtask bench` | our server beside all peers | docs/performance.md |
//! | `cargo xtask bench relay` | our server beside the floor, with settings from the command line | printed |
//! | `cargo xtask bench instructions` | the instructions of a delivery, counted by valgrind | printed |
//! | `cargo xtask bench cluster` | nodes over NATS beside nodes over Redis | docs/performance/cluster.md |
//! | `cargo xtask bench log` | publications beside broadcasts, sockets that resume, and presence | printed |
//! | `cargo xtask bench tls` | TLS beside no TLS, of our server and of nginx | printed |
//! | `cargo xtask bench workers` | the relay on workerd beside the same on npm's `dog` | printed |
//!
//! In reading order:
//! - [`harness`]: the command line, the round loop, samples and the report, the same for all scenarios
//! - [`scenarios`]: what is measured, in seven families
//! - [`servers`]: which servers there are, and how they are started; `bin/verbs.rs` is our server that uses the
//!   other verbs; `peers/` has the relay as others would write it
//! - [`load`]: the load generator
//! - [`measure`]: processor time and memory of a process; [`machine`]: the machine
//!
//! Everything runs over the loopback address, and everything ends: a server that does not start, a client that is not accepted
//! and a message that does not arrive are errors after ten seconds.

pub mod harness;
pub mod load;
pub mod machine;
pub mod measure;
pub mod scenarios;
pub mod servers;
