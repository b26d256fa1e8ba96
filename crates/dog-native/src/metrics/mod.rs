//! What is counted, and how it is told.
//!
//! - `counters`: numbers that one thread counts; `figures`: what a worker says of itself when it is asked
//! - `text`: Prometheus' exposition format; `report`: the families of metrics, by name
//!
//! Nothing here is shared while messages flow: a worker adds to plain numbers of its own, and they are added up when
//! somebody asks.

pub(crate) mod counters;
pub(crate) mod figures;
mod report;
mod text;

pub(crate) use report::{Process, report};
pub(crate) use text::CONTENT_TYPE;
