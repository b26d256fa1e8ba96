//! TLS on the native host, with clients that others have written: rustls, OpenSSL and Node.
//!
//! `kit`: a server with certificates of the test, and its clients; `handshake`: versions, resumption, and clients that do it
//! wrong; `sockets`: WebSockets over TLS; `reload`: new certificates; `files`: files that cannot be used; `others`: OpenSSL and
//! Node.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod handshake;
mod kit;
mod others;
mod reload;
mod sockets;
