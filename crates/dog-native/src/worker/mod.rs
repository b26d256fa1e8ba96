//! One worker thread: its objects, its sockets, and the loop that drives them.
//!
//! The worker and its loop:
//! - `core`: [`Worker`], which owns all of the following; `turn`: the loop; `dispatch`: how mail is handled; `host`:
//!   what the engine requires of the worker; `fence`: the end of the lease
//!
//! The parts that it owns, each with its own state:
//! - `objects`: the Groups and Replicas in memory; `alarms`: when to wake them
//! - `pending_writes`, `pending_calls`: writes and calls that are not completed; `call_limit`: how many calls may be in
//!   flight
//! - `sockets`: connections and reading them; `backpressure`: which sockets are held back; `lagging_streams`: event streams for
//!   which they are
//! - `outbound`: mail to this worker and to others
//! - `router`: how mail reaches every object. In a cluster it is `cluster_router`, with `routes`: where objects live,
//!   and `node_outbox`: messages to other nodes
//! - `shutdown`: the progress of a graceful shutdown; `drain_plan`: when sockets are closed; `stream_end`: the end of
//!   streamed responses
//! - `requests`: requests from outside, and the App; `spans`: their spans in the log
//! - `turn_state`: the current turn

mod alarms;
mod backpressure;
mod call_limit;
mod cluster_router;
mod core;
mod dispatch;
mod drain_plan;
mod fence;
mod host;
mod lagging_streams;
mod node_outbox;
mod objects;
mod outbound;
mod pending_calls;
mod pending_writes;
mod requests;
mod router;
mod routes;
mod shutdown;
mod sockets;
mod spans;
pub(crate) mod stream_end;
mod turn;
mod turn_state;

pub(crate) use core::Worker;
pub(crate) use shutdown::longest_drain;
pub(crate) use turn::run;
