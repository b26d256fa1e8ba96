//! Benchmarks of Durable Object Groups, always beside something: a floor that does nothing but the system calls, or a
//! peer. A figure alone says more about the machine than about the server, so all of them are read as ratios within
//! one run, with rounds interleaved so that whatever else the machine does hits all alike.
//!
//! `cargo xtask bench`; `cargo xtask bench relay`, or `cargo run --release -p dog-benches --bin fanout -- --help`;
//! `cargo xtask bench workers`; `cargo xtask bench cluster`
//!
//! In reading order:
//! - `bin/suite`: all scenarios beside all peers, with tables of both; `bin/fanout`: one scenario beside the floor, told on
//!   the command line; `bin/workers`: on workerd, beside npm's `dog`; `bin/cluster`: nodes over NATS, beside nodes over Redis;
//!   `bin/verbs`: a server of ours that whispers or
//!   gossips; `peers/`: the relay as others would write it
//! - [`server`]: a server as a child process that never outlives the bench; [`role`]: what this executable is to itself;
//!   [`relay`]: our own, built; [`workerd`]: a Worker on workerd; [`scratch`]: a folder for them
//! - [`floor`]: the least that a server can do: epoll and send, no queues and no objects
//! - [`plan`]: what a crowd does; [`load`]: the one load generator: a crowd of sockets on one thread; [`connect`]: how they
//!   get in
//! - [`frame`] and [`payload`]: the little of WebSocket that a load generator needs; [`ledger`]: who is owed what, and whether it came
//! - [`measure`]: processor time and memory of a process; [`histogram`]: times; [`summary`]: minimum, median, maximum
//! - [`http`]: what other servers tell of themselves
//! - [`table`]: what is printed; [`document`]: where it is kept
//!
//! Everything stays on the loopback address, and everything has an end: a server that does not start, a socket that
//! is not let in and a message that does not arrive are errors after a few seconds.

pub mod connect;
pub mod document;
pub mod floor;
pub mod frame;
pub mod histogram;
pub mod http;
pub mod ledger;
pub mod load;
pub mod measure;
pub mod payload;
pub mod plan;
pub mod relay;
pub mod role;
pub mod scratch;
pub mod server;
pub mod summary;
pub mod table;
pub mod workerd;
