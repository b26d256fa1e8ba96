//! What comes in and goes out as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::protocol::{ChannelPublication, ClientInfo, CommandError, StreamPosition};

/// The most commands of a batch, or channels of a broadcast: 1,000.
pub const MAX_API_COMMANDS: usize = 1_000;

/// The fields of all methods. Each method takes its own; others are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiRequest {
    pub(super) channel: String,
    pub(super) channels: Vec<String>,
    pub(super) data: Option<Box<RawValue>>,
    pub(super) b64data: String,
    pub(super) skip_history: bool,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) idempotency_key: String,
    pub(super) user: String,
    pub(super) client: String,
    pub(super) info: Option<Box<RawValue>>,
    pub(super) disconnect: Option<ApiDisconnect>,
    pub(super) whitelist: Vec<String>,
    pub(super) limit: i32,
    pub(super) since: Option<StreamPosition>,
    pub(super) reverse: bool,
    pub(super) pattern: String,
    pub(super) commands: Vec<BTreeMap<String, ApiRequest>>,
}

/// How a client is closed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiDisconnect {
    pub(super) code: u16,
    pub(super) reason: String,
}

/// What a request is answered.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ApiAnswer {
    Result(ApiResult),
    Error(CommandError),
}

/// What a method returns.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ApiResult {
    Published { offset: u64, epoch: String },
    Broadcast { responses: Vec<ApiAnswer> },
    Presence { presence: BTreeMap<String, ClientInfo> },
    Stats { num_clients: u32, num_users: u32 },
    History { publications: Vec<ChannelPublication>, epoch: String, offset: u64 },
    Channels { channels: BTreeMap<String, ApiChannel> },
    Info { nodes: Vec<ApiNode> },
    Batch { replies: Vec<BTreeMap<String, ApiReply>> },
    Done {},
}

/// What a command of a batch is answered.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ApiReply {
    Result(ApiResult),
    Error(CommandError),
}

#[derive(Serialize)]
pub(super) struct ApiChannel {
    pub(super) num_clients: u32,
}

#[derive(Serialize)]
pub(super) struct ApiNode {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) num_clients: usize,
    pub(super) num_users: usize,
    pub(super) num_channels: usize,
}
