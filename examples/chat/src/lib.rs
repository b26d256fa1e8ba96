//! The chat room: one room that spreads over as many Replicas as it has people, two to a Replica unless told otherwise.
//!
//! `cargo run --release -p chat`, then open <http://127.0.0.1:8787> in a few windows.
//!
//! # The files, in reading order
//! - `app`: [`Chat`](app::Chat) answers requests, [`Lobby`](app::Lobby) is the Group, [`Room`](app::Room) the Replica
//! - `protocol`: what travels over the socket, and the commands that begin with a slash
//! - `page.html`: what the browser shows; one file, no build step
//! - `main.rs`: the native program; `worker`: the same for Cloudflare Workers; no other file names a host

pub mod app;
mod protocol;
#[cfg(target_family = "wasm")]
mod worker;

/// The page about testing, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct Testing;
