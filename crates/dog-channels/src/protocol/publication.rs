//! What is published, and by whom: [`ChannelPublication`], [`ClientInfo`].

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::json;

/// A publication in a channel.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelPublication {
    /// What was published.
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Who has published it, if a client has.
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<ClientInfo>,
    /// Its place in the history of the channel. 0: the channel has none.
    #[prost(uint64, tag = "6")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub offset: u64,
    /// What the publisher says of it, for filters and for readers.
    #[prost(btree_map = "string, string", tag = "7")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether `data` is a difference to the publication before.
    #[prost(bool, tag = "8")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub delta: bool,
    /// When it was made, in milliseconds since 1970. 0: not told.
    #[prost(int64, tag = "9")]
    #[serde(skip_serializing_if = "json::is_default")]
    pub time: i64,
    /// Its channel, where the subscription has a pattern.
    #[prost(string, tag = "10")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
}

/// A connection, as others see it.
#[derive(Clone, PartialEq, ::prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientInfo {
    /// The user. Empty: not known.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The id of the connection.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// What is told of the connection.
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub conn_info: Bytes,
    /// What is told of its subscription.
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(with = "json::payload", skip_serializing_if = "Bytes::is_empty")]
    pub chan_info: Bytes,
}
