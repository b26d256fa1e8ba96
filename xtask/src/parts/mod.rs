//! The parts of `cargo xtask test`.
//!
//! A new part is one file here and one entry in `table`. `plan` runs them, `report` prints the closing table.

mod autobahn;
mod browser;
mod bundle;
mod clients;
mod cluster;
mod copied;
mod count;
mod deny;
mod door;
mod faults;
pub(crate) mod fuzz;
mod layers;
mod length;
mod lints;
mod packaging;
pub(crate) mod plan;
mod report;
mod sdks;
pub(crate) mod sim;
mod sources;
mod table;
mod tests;
mod twins;
mod wasm;
mod workers;

pub(crate) use self::bundle::compressed as compressed_size;
pub(crate) use self::cluster::nats_server;
pub(crate) use self::length::Length;
pub(crate) use self::table::{list, names};
