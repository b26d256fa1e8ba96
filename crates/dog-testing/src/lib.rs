//! A test kit for Durable Object Groups: your App, its Groups and its Replicas in one thread, on a virtual clock that
//! moves only when the test moves it.
//!
//! A [`Cluster`] runs an App on the same engine as every host, inside a plain `#[test]` function: no runtime, no thread,
//! no real time. Clients' sockets are values. Objects leave memory, crash and are cut off when the test says so. The same
//! test gives the same result every time. `docs/testing.md` is a tour.
//!
//! ```
//! # use dog::*;
//! # struct Lobby;
//! # impl Group for Lobby {
//! #     type Replica = Room;
//! #     const NAME: &'static str = "lobby";
//! #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
//! #     fn limit(&self) -> Limit { Limit::new(2) }
//! # }
//! # struct Room;
//! # impl Replica for Room {
//! #     type Group = Lobby;
//! #     type Gossip = ();
//! #     type Answer = ();
//! #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
//! #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
//! #         Ok(cx.connect(request))
//! #     }
//! #     async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
//! #         Ok(socket.broadcast(message, To::Others)?)
//! #     }
//! # }
//! # struct Chat;
//! # impl App for Chat {
//! #     type Groups = (Lobby,);
//! #     async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
//! #         let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
//! #         Ok(dog.group::<Lobby>("main").identify(&client).await?.fetch(request).await?)
//! #     }
//! # }
//! use dog_testing::Cluster;
//!
//! // #[test]
//! fn clients_on_two_replicas_hear_each_other() {
//!     let cluster = Cluster::new(Chat);
//!     let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| cluster.connect(&format!("/ws?u={name}")));
//!     assert_ne!(ann.replica(), cid.replica());
//!
//!     cid.send("hello");
//!     cluster.run();
//!     assert_eq!(ann.received_texts(), ["hello"]);
//!     assert_eq!(bob.received_texts(), ["hello"]);
//!     assert!(cid.received().is_empty() && cluster.failures().is_empty());
//! }
//! # clients_on_two_replicas_hear_each_other();
//! ```
//!
//! # The files, in reading order
//! - `kit`: [`Cluster`], its [`Builder`], and the clients' sockets
//! - `world`: what the kit runs on: clock, executor, network, disk, connections, and this crate's
//!   [`Host`](dog_engine::host::Host). It is not part of the public API; only this project's simulation (`crates/dog-sim`)
//!   uses it directly.

mod kit;
#[doc(hidden)]
pub mod world;

pub use kit::{Amount, Builder, ClientSocket, Cluster, MemberSeats, MemberState, Pending, Traffic, websocket};
