//! What a Group and a Replica of Durable Object Groups decide. Hosts differ only in how bytes move; all the rest is
//! here, once, and knows no runtime, no clock and no socket.
//!
//! # The files, in reading order
//! - `address`: objects, tickets, seats, views; `message`: what objects say to each other
//! - `books`: a Group's pure books: placement, membership, counting
//! - `seats`: a Replica's pure books: who sits where, what the Group has not heard of yet
//! - `request`: what a request over HTTP/1 must be before anyone sees it, pure
//! - `handshake`: the opening of a WebSocket, pure; `handshake/deflate`: whether its messages are compressed
//! - `host`: what a host provides, split by purpose, and how it drives objects; `reply`: an answer that is owed
//! - `wire`: what they say, as bytes, for hosts of more than one process
//! - `departures`: for hosts that call one object at a time: what may leave for others now, and what waits
//! - `repeats`: what of a kind that comes again and again is logged
//! - `driver`: runs a user's Group, Replica and App over a host
//!
//! A Group's books can be tried out by hand; time comes in, decisions go out:
//!
//! ```
//! use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};
//! use dog_engine::books::{Books, Placement};
//! use dog_engine::seats::Seats;
//!
//! let now = Timestamp::from_millis(0);
//! let mut books = Books::new(Epoch::from_raw(1), Limit::new(2), Policy::default());
//! let ann = ClientId::new("ann")?;
//! assert_eq!(books.identify(&ann, None, now), Placement::Grow);
//!
//! let room = ReplicaId::from_name("room", "1");
//! books.admit(room, now);
//! let seats = Seats::new(room, Epoch::from_raw(1), books.limit());
//! books.joined(&seats.census(), now);
//! let Placement::Placed { ticket, joined: true } = books.identify(&ann, None, now) else { panic!() };
//! assert_eq!(ticket.replica, room);
//! # Ok::<(), dog::Error>(())
//! ```

pub mod address;
pub mod books;
#[cfg(feature = "bugs")]
#[doc(hidden)]
pub mod bugs;
pub mod departures;
pub mod driver;
pub mod handshake;
pub mod host;
pub mod message;
pub mod repeats;
pub mod reply;
pub mod request;
pub mod seats;
#[cfg(feature = "wire")]
pub mod wire;

pub use driver::{Class, Front, Upgrade, classes};
