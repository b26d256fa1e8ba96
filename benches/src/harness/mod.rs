//! What all scenarios share: one command line, one round loop, one kind of sample, one report.
//!
//! In reading order:
//! - [`family`]: what a family of scenarios supplies, and [`family::run`], which measures and reports it
//! - [`options`]: the command line
//! - [`rounds`]: the loop, which interleaves all entrants round by round
//! - [`sample`]: figures, and the samples of one round; [`store`]: all samples of a run, in a file
//! - [`statistics`]: minimum, median and maximum; [`comparison`], [`table`] and [`plot`]: how figures are shown
//! - [`report`]: the Markdown, and the document that it goes into

pub mod comparison;
pub mod family;
pub mod options;
pub mod plot;
pub mod report;
pub mod rounds;
pub mod sample;
pub mod statistics;
pub mod store;
pub mod table;
