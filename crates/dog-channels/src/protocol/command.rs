//! What a client sends: [`ClientCommand`] with one request.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::json;

/// A command. It has one request; if it has more, the first in the order of the fields counts. Without an id and a request it is a
/// pong: the answer to an empty reply.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientCommand {
    /// The number that the reply repeats. 0 for `send` and for a pong, which are not answered.
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub id: u32,
    /// Begins the connection. Nothing else comes before it.
    #[prost(message, optional, boxed, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Box<ConnectRequest>>,
    /// Subscribes to a channel.
    #[prost(message, optional, boxed, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Box<SubscribeRequest>>,
    /// Ends a subscription.
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<UnsubscribeRequest>,
    /// Publishes to a channel.
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<PublishRequest>,
    /// Asks who is subscribed to a channel.
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceRequest>,
    /// Asks how many are subscribed to a channel.
    #[prost(message, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_stats: Option<PresenceStatsRequest>,
    /// Reads the history of a channel.
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryRequest>,
    /// Not part of version 2 of the protocol: it is answered with an error.
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingRequest>,
    /// A message that is not answered.
    #[prost(message, optional, tag = "12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<SendRequest>,
    /// Calls a method of the server.
    #[prost(message, optional, tag = "13")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpc: Option<RpcRequest>,
    /// Brings another token for the connection.
    #[prost(message, optional, tag = "14")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshRequest>,
    /// Brings another token for a subscription.
    #[prost(message, optional, tag = "15")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_refresh: Option<SubRefreshRequest>,
}

/// Begins a connection.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectRequest {
    /// Who it is. Empty: no token.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// Anything that the server should know.
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Where the client has been in the channels to which the server subscribes it.
    #[prost(btree_map = "string, message", tag = "3")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subs: BTreeMap<String, SubscribeRequest>,
    /// What the client program is called.
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What a browser cannot send as headers of the handshake.
    #[prost(btree_map = "string, string", tag = "6")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Which extensions the client knows, as bits.
    #[prost(int64, tag = "7")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub flag: i64,
}

/// Subscribes to a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscribeRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// What permits it. Empty: no token.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// Whether the client has been there before, at `epoch` and `offset`, and wants what it has missed.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub recover: bool,
    /// The epoch of the position.
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub epoch: String,
    /// The offset of the last publication that the client has.
    #[prost(uint64, tag = "7")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub offset: u64,
    /// Anything that the server should know.
    #[prost(bytes = "bytes", tag = "8")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Whether the client wants positions.
    #[prost(bool, tag = "9")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub positioned: bool,
    /// Whether the client wants to be able to recover.
    #[prost(bool, tag = "10")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub recoverable: bool,
    /// Whether the client wants to hear who comes and goes.
    #[prost(bool, tag = "11")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub join_leave: bool,
    /// The kind of differences that the client knows. Not offered.
    #[prost(string, tag = "12")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delta: String,
    /// A filter by tags. Not offered, and not read.
    #[prost(bytes = "bytes", tag = "13")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub tf: Bytes,
    /// Which extensions the client wants, as bits.
    #[prost(int64, tag = "14")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub flag: i64,
    /// The kind of subscription. 0: to publications. No other is offered.
    #[prost(int32, tag = "15")]
    #[serde(rename = "type", skip_serializing_if = "json::is_default")]
    pub kind: i32,
}

/// Ends a subscription.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct UnsubscribeRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
}

/// Publishes to a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// What is published.
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// The kind of publication. 0: a plain one. No other is offered.
    #[prost(int32, tag = "3")]
    #[serde(rename = "type", skip_serializing_if = "json::is_default")]
    pub kind: i32,
}

/// Asks who is subscribed to a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
}

/// Asks how many are subscribed to a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceStatsRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
}

/// Reads the history of a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// How many publications at most. 0: none, only the position. Negative: as many as the server gives.
    #[prost(int32, tag = "7")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub limit: i32,
    /// Begins after this position; with `reverse`, before it.
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<StreamPosition>,
    /// Whether the newest come first.
    #[prost(bool, tag = "9")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub reverse: bool,
}

/// A place in the history of a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamPosition {
    /// The offset of a publication. 0: before the first.
    #[prost(uint64, tag = "1")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub offset: u64,
    /// The epoch of the history.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub epoch: String,
}

/// Not part of version 2 of the protocol.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PingRequest {}

/// A message that is not answered.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SendRequest {
    /// The message.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
}

/// Calls a method of the server.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcRequest {
    /// What is passed to it.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// The method.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
}

/// Brings another token for the connection.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RefreshRequest {
    /// The token.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
}

/// Brings another token for a subscription.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SubRefreshRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// The token.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// What is asked for. 0: another token. Nothing else is offered.
    #[prost(int32, tag = "3")]
    #[serde(rename = "type", skip_serializing_if = "json::is_default")]
    pub kind: i32,
}
