//! What is counted, and how it is reported.
//!
//! - `counters`: counters and histograms of one thread; `figures`: the counts of one worker at one moment
//! - `text`: Prometheus' text format; `report`: the names of all metrics
//!
//! No thread shares these numbers while it handles messages. Each worker adds to its own, and a report adds them up.

pub(crate) mod counters;
pub(crate) mod figures;
mod report;
mod text;

pub(crate) use report::{Process, report};
pub(crate) use text::CONTENT_TYPE;
