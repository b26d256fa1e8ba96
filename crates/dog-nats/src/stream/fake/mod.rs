//! A simulated JetStream for tests: one stream in memory. It uses the virtual time of a paused Tokio runtime and a
//! seeded random source. It shows a client every behaviour that a cluster of NATS servers may show:
//!
//! - A request or its answer is lost. The client waits for the whole timeout, and a write may have been stored.
//! - A request arrives after the client has stopped waiting for its answer.
//! - A request is delivered twice, and either answer may arrive first.
//! - A write is in flight for seconds, while reads still return the message before it.
//! - The leader changes. Requests fail or get no answer for seconds, and each write in flight is stored or lost.
//! - A follower is late, skips messages that were replaced, or ends with an error.
//!
//! Writes of one stream are stored in the order in which its leader accepted them. Two streams have no common order.
//!
//! - [`FakeStream`]: the servers, with the history that tests check
//! - [`FakeClient`]: the stream as one process sees it. The process can be cut off and suspended.

mod client;
mod server;

pub(crate) use client::{FakeClient, Suspension};
pub(crate) use server::{Commit, FakeStream, Weather};
