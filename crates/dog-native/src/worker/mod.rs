//! One worker thread: its objects, its sockets, and the loop that drives them.
//!
//! The worker and its loop:
//! - `core`: [`Worker`], which owns all of the following; `turn`: the loop; `dispatch`: what is done with mail; `host`: what
//!   the engine asks of the worker; `fence`: the end of the lease
//!
//! The objects that it owns, each with its own state:
//! - `objects`: the Groups and Replicas in memory; `alarms`: when to wake them
//! - `pending_writes`, `pending_calls`: what is not done yet; `call_limit`: how many calls may be in flight
//! - `sockets`: connections and their reading; `backpressure`: whose bytes have to wait
//! - `outbound`: mail to this worker and to others
//! - `router`: the way to every object. In a cluster it is `cluster_router`, with `routes`: where objects live, and
//!   `node_outbox`: messages to other nodes
//! - `shutdown`: how far the graceful shutdown has come; `drain_plan`: when sockets are closed; `stream_end`: streamed
//!   responses at the end
//! - `requests`: requests from outside, and the App; `spans`: their spans in the log
//! - `turn_state`: the present turn

mod alarms;
mod backpressure;
mod call_limit;
mod cluster_router;
mod core;
mod dispatch;
mod drain_plan;
mod fence;
mod host;
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
