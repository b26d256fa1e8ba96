//! What users test their own Groups and Replicas with.
//!
//! - `builder`: how a cluster is made; `cluster`: requests, and time by hand; `running`: how far things go by themselves
//! - `inside`: what objects have in memory and on disk; `faults`: rest, crashes, cuts, a disk that fails
//! - `client`: a client's socket as a value, and a request that is not answered yet

mod builder;
mod client;
mod cluster;
mod faults;
mod inside;
mod running;

pub use crate::world::{Amount, Traffic};
pub use builder::Builder;
pub use client::{ClientSocket, Pending};
pub use cluster::{Cluster, websocket};
pub use dog_engine::books::{MemberSeats, MemberState};
