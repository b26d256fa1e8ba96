//! A simulated JetStream for tests: one stream in memory, on the virtual time of a paused Tokio runtime and a seeded random
//! source. It does what a cluster of NATS servers may do to a client:
//!
//! - a request or its answer is lost: the client waits for the whole timeout, and a write may have been stored
//! - a request is late, by more than the client waits for it
//! - a request is delivered twice, and either answer arrives first
//! - a write is in flight for seconds, while reads still give the message before it
//! - the leader changes: requests fail or get no answer for seconds, and each write in flight is stored or lost
//! - a follower is late, skips messages that were replaced, or ends with an error
//!
//! Writes of one stream are stored in the order in which its leader accepted them. Two streams have no common order.
//!
//! - [`FakeStream`]: the servers, with the history that tests judge
//! - [`FakeClient`]: the stream as one process sees it, which can be cut off and suspended

mod client;
mod server;

pub(crate) use client::{FakeClient, Suspension};
pub(crate) use server::{Commit, FakeStream, Weather};
