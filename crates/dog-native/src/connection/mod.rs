//! The WebSocket connections of one worker: small records in one slab, polled together, and written once per turn.
//!
//! - `stream`: what carries the bytes; `tls`: encryption; `transport`: both, on their way to a worker
//! - `record`: the state of one connection
//! - `outbox`: the frames queued for one connection; `fan_out`: frames that many connections share; `compression`:
//!   compression of outgoing messages; `lagging`: sockets that senders wait for
//! - `table`: all connections; in it `deliver`: messages for sockets, and `write`: when they are written

mod compression;
mod fan_out;
mod lagging;
mod outbox;
mod record;
mod stream;
mod table;
mod tls;
mod transport;

pub(crate) use compression::Lane;
pub(crate) use record::Phase;
pub(crate) use stream::Stream;
pub(crate) use table::{Connections, moment};
pub(crate) use tls::{Received, Session};
pub(crate) use transport::Transport;
