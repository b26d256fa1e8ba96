//! The WebSocket connections of one worker: small records in one slab, polled together, and written once per turn.
//!
//! - `stream`: what bytes go over; `record`: the state of one connection
//! - `outbox`: what waits to be written to one connection; `fan_out`: what waits for many alike; `compression`: messages that
//!   go out compressed; `lagging`: sockets that others wait for
//! - `table`: all connections; in it `deliver`: messages for sockets, and `write`: when they are written

mod compression;
mod fan_out;
mod lagging;
mod outbox;
mod record;
mod stream;
mod table;

pub(crate) use compression::Lane;
pub(crate) use record::Phase;
pub(crate) use stream::Stream;
pub(crate) use table::{Connections, moment};
