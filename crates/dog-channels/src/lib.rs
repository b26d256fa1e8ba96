#![doc = include_str!("../README.md")]
//!
//! # The files, in reading order
//! - `protocol`: what goes between client and server: [`ClientCommand`](protocol::ClientCommand), [`ServerReply`](protocol::ServerReply),
//!   [`Push`](protocol::Push), and [`Codec`](protocol::Codec), which turns them into bytes and back

pub mod protocol;
