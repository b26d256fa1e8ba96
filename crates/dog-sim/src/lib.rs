//! A host of Durable Object Groups in one thread, on a clock that stands still until it is moved. Everything is
//! deterministic: no thread, no real time, no chance but what follows from a seed.
//!
//! # For users: the test kit
//! A [`Cluster`] runs your App with your Groups and Replicas, on the same engine as every host, within a plain `#[test]`.
//! Clients' sockets are values; time passes by hand; objects are evicted, crash, and are cut off when told to. See
//! `docs/testing.md` for a tour.
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
//! #     async fn fetch(&self, request: Request, dog: &Dog) -> Result<Response> {
//! #         let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
//! #         Ok(dog.group::<Lobby>("main").identify(&client).await?.fetch(request).await?)
//! #     }
//! # }
//! use dog_sim::Cluster;
//!
//! // #[test]
//! fn three_of_two_to_a_replica_hear_each_other() {
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
//! # three_of_two_to_a_replica_hear_each_other();
//! ```
//!
//! # For this project: the simulation
//! [`explore`](explore()) runs an App of its own from a seed, with random work and random faults, and asks after every
//! step whether a promise of DESIGN.md was broken; a [`Bug`] put in shows that it would be found. `cargo xtask sim` runs
//! many seeds. None of it is of use to test an App of yours.
//!
//! # The files, in reading order
//! - `kit`: [`Cluster`] and what belongs to it
//! - `world`: what both stand on: clock, executor, network, disk, connections; the engine's
//!   [`Host`](dog_engine::host::Host) of this crate
//! - `explore`: runs that follow from a seed, and their judges; `bugs`: faults to be put in
//! - `random`: chance that is none

mod bugs;
mod explore;
mod kit;
mod random;
mod world;

pub use bugs::Bug;
pub use explore::{Checks, Failure, Options, Outcome, Summary, explore, explore_and_tell, explore_many};
pub use kit::{Amount, Builder, ClientSocket, Cluster, MemberSeats, Pending, Standing, Traffic, websocket};
