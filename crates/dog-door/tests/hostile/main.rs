//! Tokens that somebody has forged, damaged or made for something else, and requests of pages and programs that should not come in.

#![cfg(feature = "public-keys")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod forged;
mod issuer;
mod requests;
mod rotation;
