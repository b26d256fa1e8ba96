#![doc = include_str!("../README.md")]
//!
//! # The files, in reading order
//! - `kit`: [`Cluster`], its [`Builder`], and the clients' sockets
//! - `world`: what the kit runs on: clock, executor, network, nodes, disk, connections, and this crate's
//!   [`Host`](dog_engine::host::Host). It is not part of the public API; only this project's simulation
//!   (`crates/dog-sim`) uses it directly.

mod kit;
#[doc(hidden)]
pub mod world;

pub use kit::{
    Amount, Builder, ClientSocket, Cluster, EventClient, MemberSeats, MemberState, PendingRequest, SeatCount, Traffic,
    refused_after_upgrade, websocket,
};
