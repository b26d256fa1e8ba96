//! The Centrifuge client protocol: messages, codes and bytes. Pure code.
//!
//! - `codec`: [`Codec`], JSON and Protobuf, frames and their bounds; `json`: how payloads stand in JSON
//! - `command`: what a client sends; `reply`: what it is answered; `push`: what it is told unasked
//! - `publication`: what both have in common
//! - `error_code`: [`ErrorCode`]; `disconnect`: [`Disconnect`]; `unsubscribed`: [`Unsubscribed`]
//!
//! The messages are those of `client.proto` of `centrifugal/protocol`, version 2 of the protocol. In JSON, absent fields have their
//! default (zero, empty), as in Protobuf, and a payload is any JSON value; in Protobuf it is any bytes.

mod codec;
mod command;
mod disconnect;
mod error_code;
mod json;
mod publication;
mod push;
mod reply;
mod unsubscribed;

pub use codec::{Codec, FrameError, InvalidChannel, MAX_CHANNEL, MAX_COMMANDS, MAX_FRAME, NotJson, check_channel};
pub use command::{
    ClientCommand, ConnectRequest, HistoryRequest, PingRequest, PresenceRequest, PresenceStatsRequest, PublishRequest,
    RefreshRequest, RpcRequest, SendRequest, StreamPosition, SubRefreshRequest, SubscribeRequest, UnsubscribeRequest,
};
pub use disconnect::Disconnect;
pub use error_code::ErrorCode;
pub use publication::{ChannelPublication, ClientInfo};
pub use push::{DisconnectPush, Join, Leave, MessagePush, Push, RefreshPush, SubscribePush, UnsubscribePush};
pub use reply::{
    CommandError, ConnectResult, HistoryResult, PresenceResult, PresenceStatsResult, PublishResult, RefreshResult,
    RpcResult, ServerReply, SubRefreshResult, SubscribeResult, UnsubscribeResult,
};
pub use unsubscribed::Unsubscribed;
