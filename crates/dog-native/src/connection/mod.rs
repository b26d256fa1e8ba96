//! The WebSocket connections of one worker: small records in one slab, polled together, written once a turn.
//!
//! - `stream`: what bytes go over; `outbox`: what waits to be written; `run`: what waits for many alike; `packing`: what
//!   goes out compressed
//! - `writing`: what may wait for one of them, and when it is written; `lagging`: those that are waited for because much waits for them
//! - `record`: what is known of one connection; `table`: all of them, and what is done to one of them

mod lagging;
mod outbox;
mod packing;
mod record;
mod run;
mod stream;
mod table;
mod writing;

pub(crate) use packing::Lane;
pub(crate) use record::Phase;
pub(crate) use stream::Stream;
pub(crate) use table::{Connections, moment};
