//! **Durable Object Groups**: named clusters of single-threaded objects that hold client connections.
//!
//! A [`Group`] coordinates one cluster: it takes a [`ClientId`] and answers with the [`Replica`] that is to serve it. A
//! Replica answers requests and owns WebSockets; from any handler it can `emit` (its own sockets), `broadcast` (the
//! whole cluster), `whisper` (one client, wherever it is) and `gossip` (ask its siblings). You write both once, and a
//! *host* runs them: natively, as a cluster, on Cloudflare Workers. This crate has no runtime and builds for wasm.
//!
//! ```
//! use dog::{App, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica};
//! use dog::{Request, Response, Result, Socket, To};
//!
//! struct Lobby;
//! impl Group for Lobby {
//!     type Replica = Room;
//!     const NAME: &'static str = "lobby";
//!     async fn activate(_: &GroupContext) -> Result<Self> {
//!         Ok(Lobby)
//!     }
//!     fn limit(&self) -> Limit {
//!         Limit::new(50)
//!     }
//! }
//!
//! struct Room;
//! impl Replica for Room {
//!     type Group = Lobby;
//!     type Gossip = ();
//!     type Answer = ();
//!     async fn activate(_: &Context<Self>) -> Result<Self> {
//!         Ok(Room)
//!     }
//!     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
//!         Ok(cx.connect(request))
//!     }
//!     async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
//!         Ok(socket.broadcast(message, To::Everyone)?)
//!     }
//! }
//!
//! struct Chat;
//! impl App for Chat {
//!     type Groups = (Lobby,);
//!     async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
//!         let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
//!         let replica = dog.group::<Lobby>("lobby-id").identify(&client).await?;
//!         Ok(replica.fetch(request).await?)
//!     }
//! }
//! ```
//!
//! # The files, in reading order
//! - `app`: [`App`], and [`Dog`], its way to the Groups
//! - `group`: [`Group`], its [`Limit`] and [`Policy`]
//! - `replica`: [`Replica`], its handlers, its [`AutoResponse`]; `context`: [`Context`], what they are given
//! - `socket`: [`Socket`], [`To`]; `message`: [`Message`]; `close`: [`CloseCode`] and how a socket ends
//! - `storage`: [`Storage`], what an object keeps for good
//! - `id`, `time`, `env`, `body`: [`ClientId`] and other ids, [`Place`], [`Timestamp`], [`Env`], [`Request`] and [`Response`]
//! - `error`: [`Error`] and [`Failure`]; `codec`: how values become bytes; `port`: what the engine implements

mod app;
mod body;
mod close;
mod codec;
mod context;
mod env;
mod error;
mod group;
mod group_names;
mod id;
#[doc(hidden)]
pub mod internal;
mod message;
mod port;
mod replica;
mod socket;
mod storage;
mod time;

pub use app::{App, Dog, GroupHandle, Groups, ReplicaHandle};
pub use body::{Body, Request, Response, query_param, text_response};
pub use close::{Close, CloseCode, SocketError};
pub use context::{Context, GossipReplies};
pub use env::Env;
pub use error::{Error, Failure, Result};
pub use group::{Group, GroupContext, InvalidLimit, Limit, Policy};
pub use http;
pub use id::{ClientId, Epoch, GroupId, Jurisdiction, MAX_CLIENT_ID, Place, Region, ReplicaId, SocketId};
pub use message::{Message, MessageKind};
pub use replica::{AutoResponse, MAX_AUTO_RESPONSE, Replica};
pub use socket::{BroadcastReport, MAX_ATTACHMENT, Socket, To};
pub use storage::{List, MAX_KEY, MAX_VALUE, Storage, Transaction};
pub use time::Timestamp;
