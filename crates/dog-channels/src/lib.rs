#![doc = include_str!("../README.md")]
//!
//! # The files, in reading order
//! - `protocol`: what goes between client and server: [`ClientCommand`](protocol::ClientCommand),
//!   [`ServerReply`](protocol::ServerReply), [`Push`](protocol::Push), and [`Codec`](protocol::Codec), which turns them into bytes and
//!   back
//! - `channels`: [`Channels`], what an App decides; `session`: [`ClientSession`], what is known of a connection (pure); `link`: pings, and
//!   what expires (pure)
//! - `server`: [`ChannelServer`], what backends do; `api`: the same over HTTP
//! - `streams`: requests for connections without a WebSocket; [`emulation`](emulation()): what the clients of these say
//! - `objects`: [`ChannelGroup`], and [`ChannelReplica`], which holds the connections; `numbering`: where publications get their
//!   numbers
//! - `messages`: what these tell each other; `topics`, `render`: how channels become topics, and pushes become messages

mod api;
mod channels;
mod emulation;
mod link;
mod messages;
mod numbering;
mod objects;
pub mod protocol;
mod render;
mod server;
mod session;
mod streams;
mod topics;

pub use api::{MAX_API_BODY, MAX_API_COMMANDS, http_api};
pub use channels::{
    Action, ChannelContext, ChannelOptions, Channels, Connecting, Connection, Refused, Subscribing, Subscription,
    Validity,
};
pub use emulation::emulation;
pub use messages::{
    ChannelAsk, ChannelCall, ChannelReply, ChannelTell, NewChannelPublication, Published, SpeaksChannels, Target,
};
pub use objects::{ChannelGroup, ChannelReplica};
pub use server::{ChannelServer, MAX_HISTORY};
pub use session::{ClientSession, MAX_CHANNELS};
pub use streams::MAX_FIRST;
