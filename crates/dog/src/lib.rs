#![doc = include_str!("front_page.md")]
//!
//! # The files, in reading order
//! - `app`: [`App`], [`Dog`]; `app/refused`: handshakes that are accepted and closed; `groups`: [`Groups`]; `group_names`: names that the compiler checks; `handles`: [`GroupHandle`], [`ReplicaHandle`]
//! - `group`: [`Group`]; `group/limit`: [`Limit`]; `placement`: [`Placement`], [`Policy`]; `replica`: [`Replica`] and its handlers; `auto_response`: [`AutoResponse`]; `replica/message_rate`: [`MessageRate`]; `replica/format`: [`Format`]
//! - `context`: [`Context`], what handlers are given; `object_methods`: what it and [`GroupContext`] have in common; `socket`: [`Socket`], [`To`]
//! - `event_stream`: sockets that only send; `stream_format`: how they write messages; `session`: requests of their clients
//! - `call`: how large calls to a Group may be; `replies`: [`GossipReplies`], [`BroadcastReport`]; `except`: who is left out of a verb; `verbs`: what a Group does without its own code; `presence`: who is in a Group
//! - `request`: the peer's address, the identity and the subprotocols of a request; `accept`: [`Accept`]
//! - `message`: [`Message`]; `topic`: [`Topic`], and what is done with it; `log`: [`Log`], `position`; `close`: [`CloseCode`], and how a socket ends
//! - `storage`: [`Storage`]; `transaction`: [`Transaction`]; `writes`: what is written as one; `list`: [`List`], which entries are listed; `alarm`: [`Alarm`], which is set beside them, and how
//! - `body`: [`Request`] and [`Response`]; `id`: [`ClientId`] and the ids of objects; `anonymous`: [`Anonymous`]; `id/place`: [`Place`]
//! - `numbers`: [`SocketId`], [`Epoch`]; `time`: [`Timestamp`]; `timers`: [`Sleep`], [`Interval`]; `tasks`: [`Task`]; `env`: [`Env`]
//! - `error`: [`Error`] and [`Failure`]; `codec`: how values become bytes; `port`: what the engine implements; `features`: what an App may leave out

mod accept;
mod alarm;
mod anonymous;
mod app;
mod auto_response;
mod body;
mod call;
mod close;
mod codec;
mod context;
mod env;
mod error;
#[cfg(feature = "streams")]
mod event_stream;
mod except;
mod features;
mod group;
mod group_names;
mod groups;
mod handles;
mod id;
#[doc(hidden)]
pub mod internal;
mod list;
mod log;
mod message;
mod numbers;
mod object_methods;
mod placement;
mod port;
mod position;
mod presence;
mod replica;
mod replies;
mod request;
mod session;
mod socket;
mod storage;
mod stream_format;
mod tasks;
mod time;
mod timers;
mod topic;
mod transaction;
mod verbs;
mod writes;

pub use accept::Accept;
pub use alarm::{Alarm, MAX_ALARM_NAME, MAX_ALARM_PAYLOAD, MAX_ALARMS};
pub use anonymous::Anonymous;
pub use app::{AnyApp, App, Dog};
pub use auto_response::{AutoResponse, MAX_AUTO_RESPONSE};
pub use body::{Body, Request, Response, json_response, query_param, query_params, text_response};
#[doc = include_str!("bytes.md")]
pub use bytes::Bytes;
pub use call::MAX_CALL;
pub use close::{Close, CloseCode, SocketError};
pub use context::Context;
pub use env::Env;
pub use error::{Error, Failure, Result};
pub use group::{Group, GroupContext, InvalidLimit, Limit};
pub use groups::Groups;
pub use handles::{GroupHandle, ReplicaHandle};
pub use http;
pub use id::{ClientId, GroupId, Jurisdiction, MAX_CLIENT_ID, Place, Region, ReplicaId};
pub use list::List;
pub use log::api::*;
pub use message::{IntoMessage, Message, MessageKind};
pub use numbers::{Epoch, SocketId};
pub use placement::{Placement, Policy};
pub use presence::api::*;
pub use replica::{Format, MAX_FORMATS, MessageRate, OverRate, Replica};
pub use replies::{BroadcastReport, Coverage, GossipReplies};
pub use request::{MAX_IDENTITY, identity, offered_subprotocols, peer_address, set_peer_address};
pub use session::MAX_DELIVERED;
pub use socket::{MAX_ATTACHMENT, Socket, To};
pub use storage::Storage;
pub use tasks::{MAX_TASKS, Task};
pub use time::Timestamp;
pub use timers::{Interval, Sleep};
#[cfg(feature = "topics")]
pub use topic::{MAX_TOPIC, MAX_TOPIC_BYTES, MAX_TOPICS, Topic};
pub use transaction::Transaction;
pub use verbs::{ClientCount, ClientPage, MAX_CLIENT_PAGE};
pub use writes::{MAX_KEY, MAX_VALUE};
