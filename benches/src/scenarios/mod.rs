//! The scenarios, in seven families. Each family is one command, `cargo xtask bench NAME`, and one report.
//!
//! In reading order:
//! - [`figures`]: every figure that is measured
//! - [`messages`], [`connects`], [`memory`], [`slow_reader`], [`timers`]: how they are measured
//! - [`relay`]: our server beside the floor, with settings from the command line
//! - [`instructions`]: the instructions of a delivery, counted; [`builds`]: the relay of another build
//! - [`peers`]: our server beside all peers; the family `all`
//! - [`cluster`]: nodes over NATS beside nodes over Redis
//! - [`log`]: publications beside broadcasts, durable publications, sockets that resume, presence; [`resumes`]
//! - [`tls`]: TLS beside no TLS, of our server and of nginx
//! - [`workers`]: the relay on workerd beside the same on npm's `dog`

pub mod builds;
pub mod cluster;
pub mod connects;
pub mod figures;
pub mod instructions;
pub mod log;
pub mod memory;
pub mod messages;
pub mod peers;
pub mod relay;
pub mod resumes;
pub mod slow_reader;
pub mod timers;
pub mod tls;
pub mod workers;
