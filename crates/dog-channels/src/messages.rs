//! What the objects of a server of channels tell each other. Payloads of the protocol travel as its bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use dog::{Group, Position, Replica};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::protocol::{ClientInfo, Disconnect, ErrorCode};

/// What is to be published in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewChannelPublication {
    /// The channel.
    pub channel: String,
    /// What is published. Subscribers that speak JSON can only get JSON: if it is none, they are disconnected.
    pub data: Bytes,
    /// What is said of it.
    pub tags: BTreeMap<String, String>,
    /// The idempotency key: see [`dog::NewPublication::key`]. Only in channels with a history. Empty: none.
    pub key: String,
    /// Whether it is told without being kept.
    pub skips_history: bool,
    /// The connection that publishes it: a [`ClientInfo`] as bytes of the protocol. `None`: a backend does.
    pub publisher: Option<Bytes>,
}

impl NewChannelPublication {
    /// A publication without tags and key.
    pub fn new(channel: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self { channel: channel.into(), data: data.into(), ..Self::default() }
    }

    /// Says which connection publishes it.
    #[must_use]
    pub(crate) fn by(self, publisher: &ClientInfo) -> Self {
        Self { publisher: Some(publisher.encode_to_vec().into()), ..self }
    }

    /// The connection that publishes it.
    pub(crate) fn info(&self) -> Option<ClientInfo> {
        self.publisher.as_ref().and_then(|publisher| ClientInfo::decode(&publisher[..]).ok())
    }
}

/// A Group that is a server of channels: [`ChannelGroup`](crate::ChannelGroup).
pub trait SpeaksChannels:
    Group<Call = ChannelCall, Reply = ChannelReply, Replica: Replica<Gossip = ChannelAsk, Answer = ChannelTell>>
{
}

impl<G> SpeaksChannels for G where
    G: Group<Call = ChannelCall, Reply = ChannelReply, Replica: Replica<Gossip = ChannelAsk, Answer = ChannelTell>>
{
}

/// What the Group is asked to do, because only one object may number publications.
#[doc(hidden)]
#[derive(Debug, Serialize, Deserialize)]
pub enum ChannelCall {
    Publish(NewChannelPublication),
    RemoveHistory(String),
}

/// What it answers: where the publication is, or where the history begins again. `None`: nobody can read it in JSON.
#[doc(hidden)]
pub type ChannelReply = Result<Published, ErrorCode>;

/// Where a publication is, for those who speak JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its position. `None`: the channel has no history, or it is not JSON.
    pub position: Option<Position>,
    /// Whether it could not be written as JSON.
    pub(crate) is_not_json: bool,
}

/// Which connections are meant: those of a user, or one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The user.
    pub user: String,
    /// The connection. Empty: all of the user.
    pub client: String,
}

/// What Replicas are asked.
#[doc(hidden)]
#[derive(Debug, Serialize, Deserialize)]
pub enum ChannelAsk {
    /// Who is subscribed to this channel?
    Presence(String),
    /// Which users are subscribed to this channel, with how many connections?
    Users(String),
    /// Which channels have how many subscribers?
    Channels,
    /// Subscribe these connections, and say this to others.
    Subscribe { target: Target, channel: String, info: Bytes },
    /// End the subscriptions of these connections.
    Unsubscribe { target: Target, channel: String },
    /// Close these connections, except some.
    Disconnect { target: Target, except: Vec<String>, code: u16, reason: String },
    /// Something was published that these cannot read: close them.
    NotJson(String),
}

/// What they answer.
#[doc(hidden)]
#[derive(Debug, Serialize, Deserialize)]
pub enum ChannelTell {
    /// Connections, as bytes of the protocol.
    Presence(Vec<Bytes>),
    /// How many of each.
    Numbers(BTreeMap<String, u32>),
    /// For how many connections it was done.
    Done(u32),
}

impl ChannelAsk {
    pub(crate) fn disconnect(target: Target, except: Vec<String>, disconnect: &Disconnect) -> Self {
        Self::Disconnect { target, except, code: disconnect.code(), reason: disconnect.reason().to_owned() }
    }
}
