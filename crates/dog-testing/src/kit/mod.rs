//! The test kit, with which users test their own Groups and Replicas.
//!
//! - `client`: a client's socket as a value, and a request that has no answer yet
//! - `events`: a client's end of an event stream; `received`: what either has received, as values
//! - `refused`: connections that are refused after the upgrade
//! - `builder`: the settings of a cluster; `steps`: the limit of steps while the clock does not move
//! - `cluster`: requests and their answers, and the clock
//! - `inside`: what objects have in memory and on disk; `faults`: hibernation, crashes, cuts and a failing disk

mod builder;
mod client;
mod cluster;
mod events;
mod faults;
mod inside;
mod received;
mod refused;
mod steps;

pub use crate::world::{Amount, Traffic};
pub use builder::Builder;
pub use client::{ClientSocket, PendingRequest};
pub use cluster::{Cluster, websocket};
pub use dog_engine::books::{MemberSeats, MemberState};
pub use dog_engine::message::SeatCount;
pub use events::EventClient;
pub use refused::refused_after_upgrade;
