//! What a client is answered: [`ServerReply`] with one result, or with an [`CommandError`].

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::json;
use super::publication::{ChannelPublication, ClientInfo};
use super::push::Push;

/// A reply to a command, or a push. Without anything in it, it is a ping.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerReply {
    /// The id of the command. 0: a push or a ping.
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub id: u32,
    /// Why the command has failed.
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<CommandError>,
    /// What the client is told unasked.
    #[prost(message, optional, boxed, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<Box<Push>>,
    /// The connection has begun.
    #[prost(message, optional, boxed, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Box<ConnectResult>>,
    /// The client is subscribed.
    #[prost(message, optional, boxed, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Box<SubscribeResult>>,
    /// The subscription has ended.
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<UnsubscribeResult>,
    /// It is published.
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<PublishResult>,
    /// Who is there.
    #[prost(message, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceResult>,
    /// How many are there.
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_stats: Option<PresenceStatsResult>,
    /// A part of the history.
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryResult>,
    /// What the method returns.
    #[prost(message, optional, tag = "13")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpc: Option<RpcResult>,
    /// The connection goes on.
    #[prost(message, optional, tag = "14")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshResult>,
    /// The subscription goes on.
    #[prost(message, optional, tag = "15")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_refresh: Option<SubRefreshResult>,
}

/// Why a command has failed. See [`ErrorCode`](super::ErrorCode).
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandError {
    /// The number of the error.
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub code: u32,
    /// What it says to people.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether the same command may succeed later.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub temporary: bool,
}

/// The connection has begun.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectResult {
    /// The id of the connection.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// The version of the server.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Whether it ends, and the client has to bring another token before.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub expires: bool,
    /// In how many seconds it ends.
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub ttl: u32,
    /// Anything that the client should know.
    #[prost(bytes = "bytes", tag = "5")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// The channels to which the server has subscribed the client.
    #[prost(btree_map = "string, message", tag = "6")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subs: BTreeMap<String, SubscribeResult>,
    /// The client is sent a ping each time this number of seconds has passed. 0: none.
    #[prost(uint32, tag = "7")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub ping: u32,
    /// Whether the client has to answer pings.
    #[prost(bool, tag = "8")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub pong: bool,
    /// Names the connection to the emulation endpoint.
    #[prost(string, tag = "9")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Names the server to the emulation endpoint.
    #[prost(string, tag = "10")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// The time of the server, in milliseconds since 1970. 0: not told.
    #[prost(int64, tag = "11")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub time: i64,
}

/// The client is subscribed.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscribeResult {
    /// Whether it ends, and the client has to bring another token before.
    #[prost(bool, tag = "1")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub expires: bool,
    /// In how many seconds it ends.
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub ttl: u32,
    /// Whether the client can recover.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub recoverable: bool,
    /// The epoch of the history.
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub epoch: String,
    /// What the client has missed.
    #[prost(message, repeated, tag = "7")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publications: Vec<ChannelPublication>,
    /// Whether the client has all that it has missed, or will be sent it.
    #[prost(bool, tag = "8")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub recovered: bool,
    /// The position from which the client goes on.
    #[prost(uint64, tag = "9")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub offset: u64,
    /// Whether publications have positions.
    #[prost(bool, tag = "10")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub positioned: bool,
    /// Anything that the client should know.
    #[prost(bytes = "bytes", tag = "11")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Whether the client has asked for what it has missed.
    #[prost(bool, tag = "12")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub was_recovering: bool,
}

/// The subscription has ended.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct UnsubscribeResult {}

/// It is published.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishResult {}

/// Who is subscribed to a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceResult {
    /// The connections, by their ids.
    #[prost(btree_map = "string, message", tag = "1")]
    pub presence: BTreeMap<String, ClientInfo>,
}

/// How many are subscribed to a channel. Clients expect the numbers in JSON although they are 0.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceStatsResult {
    /// Connections.
    #[prost(uint32, tag = "1")]
    pub num_clients: u32,
    /// Users.
    #[prost(uint32, tag = "2")]
    pub num_users: u32,
}

/// A part of the history of a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryResult {
    /// The publications.
    #[prost(message, repeated, tag = "1")]
    pub publications: Vec<ChannelPublication>,
    /// The epoch of the history.
    #[prost(string, tag = "2")]
    pub epoch: String,
    /// The offset of its newest publication.
    #[prost(uint64, tag = "3")]
    pub offset: u64,
}

/// What the method returns.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcResult {
    /// What it returns.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
}

/// The connection goes on.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RefreshResult {
    /// The id of the connection.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// The version of the server.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Whether it ends, and the client has to bring another token before.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub expires: bool,
    /// In how many seconds it ends.
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub ttl: u32,
}

/// The subscription goes on.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SubRefreshResult {
    /// Whether it ends, and the client has to bring another token before.
    #[prost(bool, tag = "1")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub expires: bool,
    /// In how many seconds it ends.
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub ttl: u32,
}
