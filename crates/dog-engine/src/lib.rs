//! What a Group and a Replica of Durable Object Groups decide. All hosts run this engine, and differ only in how bytes move.
//! The engine uses no runtime, clock or socket: time, ids and messages come in, decisions go out.
//!
//! # Where to find what, in reading order
//! The pure part:
//! - [`address`]: objects, tickets, seats, views
//! - [`message`]: the calls and casts between objects
//! - [`books`]: a Group's books: placement, membership, reports
//! - [`seats`]: a Replica's books: who has which seat, and what is not acknowledged yet
//! - [`log`]: the log of a topic, in its Group and in its Replicas
//! - [`presence`]: who is in a Group, in the Group and in the Replicas that follow it
//!
//! What runs the user's code:
//! - [`host`]: what a host provides, one trait per purpose, and how it drives objects; [`reply`]: the answer to one call
//! - [`driver`]: runs a user's Group, Replica and App over a host
//!
//! What hosts share:
//! - [`request`]: validates an HTTP/1 request; [`handshake`]: the opening handshake of a WebSocket, and its compression
//! - `event_stream`: sockets that are streamed responses
//! - `socket_map`: maps from sockets
//! - `wire` (feature `wire`): messages as bytes, for hosts of more than one process
//! - [`departures`]: bundles messages, for hosts where each message is a request
//! - [`repeats`]: limits how often one kind of event is logged
//!
//! A Group's books can be tried out by hand:
//!
//! ```
//! use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};
//! use dog_engine::books::{Books, Decision};
//! use dog_engine::seats::Seats;
//!
//! let now = Timestamp::from_millis(0);
//! let mut books = Books::new(Epoch::from_raw(1), Limit::new(2), Policy::default());
//! let ann = ClientId::new("ann")?;
//! assert_eq!(books.identify(&ann, None, now), Decision::Grow);
//!
//! let room = ReplicaId::from_name("room", "1");
//! books.admit(room, now);
//! let seats = Seats::new(room, Epoch::from_raw(1), books.limit());
//! books.joined(&seats.census(), now);
//! let Decision::Placed { ticket, joined: true } = books.identify(&ann, None, now) else { panic!() };
//! assert_eq!(ticket.replica, room);
//! # Ok::<(), dog::Error>(())
//! ```

pub mod address;
pub mod books;
pub mod departures;
pub mod driver;
mod event_stream;
#[doc(hidden)]
pub mod fault_injection;
pub mod handshake;
pub mod host;
pub mod log;
pub mod message;
pub mod presence;
pub mod repeats;
pub mod reply;
pub mod request;
pub mod seats;
mod socket_map;
#[cfg(feature = "wire")]
pub mod wire;

pub use driver::{Class, Front, Upgrade, app_port, classes};
pub use event_stream::{EventStream, Relief, StreamBacklog};
