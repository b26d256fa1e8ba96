//! The WebSocket connections of one worker: small records in one slab, polled together, written once a turn.
//!
//! - `stream`: what bytes go over; `outbox`: what waits to be written
//! - `table`: the records, and what is done to one of them

mod outbox;
mod stream;
mod table;

pub(crate) use stream::Stream;
pub(crate) use table::{Connections, Phase};
