//! What users test their own Groups and Replicas with.

mod client;
mod cluster;

pub use client::ClientSocket;
pub use cluster::{Builder, Cluster, websocket};
